"""What faults cost a run: the table of docs/results.md.

    python tests/faults/every_fault.py --output runs/faults --scale 1

``--scale 1`` runs the full numbers (about an hour on a quiet machine with two cores), 0.1 a tenth
of them. ``--only`` takes names from the list that ``--help`` shows. Filling a disk needs the right
to mount a file system in memory; without it those rows are left out, and that is said.
"""

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

sys.path[0] = str(Path(__file__).parents[1])  # the tests, not this folder
os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch
from faults import disk as disks
from faults import hostile, not_finite, parents, ranks, trials
from faults.tasks import all_tasks
from faults.trials import Tally, World

from lidistill.training.checkpoint import versions

FULL = {
    "kill": 100,
    "resume": 40,
    "ranks": 3,
    "kill-rank": 20,
    "kill-worker": 20,
    "kill-worker-in-save": 20,
    "kill-agent": 10,
    "sigterm": 50,
    "file-size": 8,
    "disk-full": 8,
    "read-only": 4,
    "numbers": 50,
    "hostile": 60,
}


def main() -> int:
    """Run the trials, print the table, write it as JSON."""
    options = _options()
    torch.set_num_threads(1)
    options.output.mkdir(parents=True, exist_ok=True)
    tallies = []
    with tempfile.TemporaryDirectory(prefix="faults-") as work:
        world = trials.build_world(Path(work) / "world")
        for name, trial in _rows(world, options).items():
            if options.only and name not in options.only:
                continue
            began = time.monotonic()
            tally = trial()
            if tally is None:
                print(f"{name}: left out, no file system can be mounted here", flush=True)
                continue
            tally.facts["seconds in all"] = time.monotonic() - began
            tallies.append(tally)
            print(_line(tally), flush=True)
            for failure in tally.failures[:5]:
                print(f"    {failure}", flush=True)
            record = {"versions": versions(), "rows": [asdict(each) for each in tallies]}
            file = options.output / "faults.json"
            file.write_text(json.dumps(record, indent=1), encoding="utf-8")
    return 1 if any(tally.failures for tally in tallies) else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, default=Path("runs/faults"))
    parser.add_argument("--scale", type=float, default=1.0, help="share of the full numbers")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs="*", choices=FULL, help="rows to run; all where empty")
    return parser.parse_args()


def _rows(world: World, options: argparse.Namespace) -> dict[str, Callable[[], Tally | None]]:
    rng = np.random.default_rng(options.seed)
    n = {name: max(1, round(count * options.scale)) for name, count in FULL.items()}
    long = 100 if options.scale >= 1 else 20

    def resume() -> Tally:
        longer = trials.build_world(world.folder / "long", steps=long, every=5)
        return trials.resumed(longer, 5, (0, 2))

    def on_disk(fault: str) -> Callable[[], Tally | None]:
        def trial() -> Tally | None:
            with disks.small_disk() as mounted:
                if mounted is None:
                    return None
                disk, remount = mounted
                if fault == "disk-full":
                    return disks.full_disk(world, disk, n[fault], rng)
                return disks.read_only(world, disk, remount, n[fault])

        return trial

    return {
        "numbers": lambda: not_finite.not_finite(world, n["numbers"], rng),
        "kill": lambda: trials.killed(world, n["kill"], rng),
        "sigterm": lambda: trials.stopped(world, n["sigterm"], rng),
        "resume": resume,
        "file-size": lambda: disks.small_files(world, n["file-size"], rng),
        "disk-full": on_disk("disk-full"),
        "read-only": on_disk("read-only"),
        "hostile": lambda: hostile.hostile(world, n["hostile"]),
        "ranks": lambda: ranks.two_as_one(world, all_tasks(world)),
        "kill-rank": lambda: ranks.killed_rank(world, n["kill-rank"], rng),
        "kill-worker": lambda: ranks.killed_worker(world, n["kill-worker"], rng),
        "kill-worker-in-save": lambda: parents.killed_worker_in_save(
            world, n["kill-worker-in-save"], rng
        ),
        "kill-agent": lambda: parents.killed_agent(world, n["kill-agent"], rng),
    }


def _line(tally: Tally) -> str:
    facts = ", ".join(f"{name} {value:.3g}" for name, value in tally.facts.items())
    return f"| {tally.fault} | {tally.trials} | {len(tally.failures)} | {facts} |"


if __name__ == "__main__":
    sys.exit(main())
