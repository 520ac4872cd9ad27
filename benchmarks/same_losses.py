"""Hashes of losses, weights and scores of short runs: is a change of the code one of the numbers?

Every run is a command as a user gives it, in a process of its own. Run it before and after a
change on the same machine; hashes differ between processors and versions of PyTorch.

    python benchmarks/same_losses.py before.json
    python benchmarks/same_losses.py after.json --against before.json
"""

import argparse
import hashlib
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

_SPREAD = {
    "workers 0": ("data.workers=0",),
    "workers 2": ("data.workers=2",),
    "two ranks": ("train.batch_size=2",),
}
_QUIET = ("figures.enabled=false", "device=cpu", "train.checkpoint_every=1000")


def main() -> None:
    """Run everything, and write or compare the hashes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("output", type=Path)
    parser.add_argument("--against", type=Path)
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--data", type=Path, default=Path("../shared/data/pandaset"))
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = _all(Path(folder), arguments.data.resolve(), arguments.steps)
    arguments.output.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    for name, values in found.items():
        print(f"{name:45} {'  '.join(f'{k} {v}' for k, v in values.items())}")
    if arguments.against is not None:
        before = json.loads(arguments.against.read_text(encoding="utf-8"))
        different = [name for name in before | found if before.get(name) != found.get(name)]
        print("identical" if not different else f"DIFFERENT: {', '.join(different)}")
        sys.exit(bool(different))


def _all(folder: Path, pandaset: Path, steps: int) -> dict[str, dict[str, str]]:
    street, found = folder / "street", {}
    _lidistill("simulate", street, "frames=8", "column_step=2")
    cache = f"teacher_cache={folder / 'cache'}"
    sets = {
        "pretrain/debug": [f"data.sets.{i}.root={street}" for i in (0, 1)],
        "pretrain/pandaset-002": [f"data.sets.0.root={pandaset}"],
    }
    for recipe, roots in sets.items():
        common = ("pretrain", recipe, cache, *roots, *_QUIET)
        # Compiles the loops and fills the cache: the process that does so lays out its memory in
        # another way, and PyTorch sums up a vector by its place in memory.
        _lidistill(*common, f"output={folder / recipe / 'first'}", "train.steps=3")
        for spread, changes in _SPREAD.items():
            run = folder / recipe / spread.replace(" ", "-")
            ranks = 1 + (spread == "two ranks")
            _lidistill(*common, f"output={run}", f"train.steps={steps}", *changes, ranks=ranks)
            found[f"{recipe}, {spread}"] = _hashes(run)
    start = folder / "pretrain/debug/workers-0"
    for recipe in ("probe/debug", "finetune/debug"):
        roots = [f"{part}.sets.0.root={street}" for part in ("data", "evaluation")]
        for spread, changes in _SPREAD.items():
            run = folder / recipe / spread.replace(" ", "-")
            command = (recipe.split("/")[0], recipe, f"output={run}", f"train.steps={steps}")
            own = [change.removeprefix("data.") for change in changes]  # workers is theirs
            common = (f"checkpoint={start}", "device=cpu", *roots, *own)
            _lidistill(*command, *common, ranks=1 + (spread == "two ranks"))
            found[f"{recipe}, {spread}"] = _hashes(run)
    return found


def _lidistill(*words: object, ranks: int = 1) -> None:
    launcher = [sys.executable]
    if ranks > 1:
        launcher += ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={ranks}"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    command = [*launcher, "-m", "lidistill", *(str(word) for word in words)]
    done = subprocess.run(  # noqa: S603  our own command
        command, env=environment, check=False, capture_output=True, text=True
    )
    if done.returncode:
        raise SystemExit(f"{' '.join(command)}\n{done.stderr}")


def _hashes(run: Path) -> dict[str, str]:
    """Of the losses of every step, of the last weights, and of the scores where there are any."""
    lines = [json.loads(line) for line in (run / "log.jsonl").read_text("utf-8").splitlines()]
    losses = " ".join(f"{line['step']} {line['loss'].hex()}" for line in lines)
    weights = sorted((run / "checkpoints").glob("step-*"))[-1] / "weights.safetensors"
    values = {"losses": losses.encode(), "weights": weights.read_bytes()}
    if (run / "results.json").is_file():
        record = json.loads((run / "results.json").read_text("utf-8"))
        values["confusion"] = json.dumps(record["confusion"]).encode()
    return {name: hashlib.sha256(value).hexdigest()[:16] for name, value in values.items()}


if __name__ == "__main__":
    main()
