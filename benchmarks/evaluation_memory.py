"""Peak memory of an evaluation over few and over many frames, with and without votes.

Simulates a drive, trains a probe on random features for one step, and then scores it with
``lidistill evaluate``, each time in a process of its own whose peak the operating system reports:

    python benchmarks/evaluation_memory.py --output runs/evaluation-memory

One frame and the next are in memory, so the peak must not depend on how many there are.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from lidistill.training.checkpoint import versions

_BACKBONE = "backbone={kind: waffleiron, width: 32, depth: 6}"


def main() -> None:
    """Measure and write ``memory.json``."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--frames", type=int, nargs="+", default=[10, 100])
    parser.add_argument("--votes", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--column-step", type=int, default=2, help="every n-th column of a scan")
    parser.add_argument("--output", type=Path, default=Path("runs/evaluation-memory"))
    options = parser.parse_args()
    data, run = options.output / "data", options.output / "run"
    _lidistill(
        "simulate", str(data), "format=pandaset", "train_drives=1", "val_drives=0",
        f"frames={max(options.frames)}", f"column_step={options.column_step}",
        "image_size_hw=[112,224]", "--workers", "1",
    )  # fmt: skip
    sets = [f"{key}.sets.0.root={data}" for key in ("data", "evaluation")]
    sets += [f"{key}.sets.0.split=all" for key in ("data", "evaluation")]
    few = [f"{key}.sets.0.frames=0-0" for key in ("data", "evaluation")]
    network = ["checkpoint=null", "features=random", _BACKBONE]
    _lidistill("probe", "probe/debug", f"output={run}", *sets, *few, *network, "train.steps=1")
    rows = []
    for votes in options.votes:
        for frames in options.frames:
            began = time.monotonic()
            peak = _lidistill(
                "evaluate", str(run), f"output={options.output / 'scores'}",
                f"evaluation.sets.0.frames=0-{frames - 1}", f"votes.num_votes={votes}",
            )  # fmt: skip
            seconds = time.monotonic() - began
            rows.append({"votes": votes, "frames": frames, "peak_mib": peak, "seconds": seconds})
            print(rows[-1], flush=True)
    scored = json.loads((options.output / "scores" / "results.json").read_text(encoding="utf-8"))
    record = {
        "rows": rows,
        "labelled_points_a_frame": sum(scored["num_points"]) / scored["num_frames"],
        "backbone": _BACKBONE,
        "machine": platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "versions": versions(),
    }
    (options.output / "memory.json").write_text(json.dumps(record, indent=1), encoding="utf-8")


def _lidistill(*arguments: str) -> float:
    """Run a command with one thread; the largest memory it ever held, MiB."""
    return peak_of([sys.executable, "-m", "lidistill", *arguments])


def peak_of(command: Sequence[str]) -> float:
    """Run a command with one thread, without its output.

    Returns:
        The largest resident memory that the process ever held, MiB.

    Raises:
        SystemExit: If the command fails.
    """
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, env=environment)  # noqa: S603
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} ended with status {process.returncode}.")
    unit = 2**20 if sys.platform == "darwin" else 2**10  # bytes there, KiB elsewhere
    return usage.ru_maxrss / unit


if __name__ == "__main__":
    main()
