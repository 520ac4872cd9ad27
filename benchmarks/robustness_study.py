"""Does distillation make a network more robust, and does corruption as augmentation help?

On a simulated street (SemanticKITTI's lidar, scored in a district of its own) and on PandaSet 002:
random weights, from scratch, and a distilled backbone probed and fine-tuned, distilled with and
without corruptions; all under 24 conditions and the shifts, with from-scratch as the baseline. On
PandaSet 002 also distilled with wrong extrinsics and late cameras, and probed.

    python benchmarks/robustness_study.py --output runs/robustness-study --seeds 0 1 2

Writes ``table.md`` and ``table.json``; a second call runs only what is not done.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from jobs import Job, run_jobs

from lidistill.sim import SimulationConfig, simulate
from lidistill.training.checkpoint import versions

AUGMENTED = "data.corruption={probability: 0.5}"
ERRORS = {
    "0.5deg": "{angle_deg: 0.5}",
    "1deg": "{angle_deg: 1}",
    "2deg": "{angle_deg: 2}",
    "5cm": "{offset_m: 0.05}",
    "10cm": "{offset_m: 0.1}",
    "50ms": "{camera_delay_s: 0.05, frame_rate: 5}",
    "100ms": "{camera_delay_s: 0.1, frame_rate: 5}",
}
FOLDS = {"fold-1": "36,40,44,48,52", "fold-2": "0,4,8,12,16"}
"""Of PandaSet 002, with every second of the frames at hand that a probe of each is scored on."""
ROWS = ("random", "scratch", "distilled", "augmented", "finetuned", "augmented-finetuned")
SUMMARY = ("clean", "mRR", "mCE")


@dataclass(frozen=True, kw_only=True)
class World:
    """Data to learn on and to score on, and the recipes."""

    name: str
    recipe: str
    """Second part of the name of the distillation's recipe."""
    data: tuple[str, ...]
    """Overrides that say which frames a distillation sees."""
    labelled: tuple[str, ...]
    """Overrides that say which labels are learned, and which are scored."""
    folds: Mapping[str, tuple[str, ...]]
    """What the names of the recipes that learn labels end with, each with the overrides that say
    which of its frames are scored under all conditions."""

    def of_fold(self, fold: str, name: str, seed: int) -> str:
        """The name of a run."""
        return "-".join(part for part in (self.name, fold, name, str(seed)) if part)


def worlds(root: Path, pandaset: Path | None) -> list[World]:
    """The simulated street, and PandaSet 002 where it is at hand."""
    street = {"kind": "semantic_kitti", "root": str(root / "street"), "missing": "skip"}
    found = [
        World(
            name="street",
            recipe="sim-street",
            data=(f"data.sets={json.dumps([street | {'split': 'train'}])}",),
            labelled=tuple(
                f"{part}.sets={json.dumps([street | {'split': split, 'labels': 'required'}])}"
                for part, split in (("data", "train"), ("evaluation", "val"))
            ),
            folds={"": ()},
        )
    ]
    if pandaset is not None:
        where = f"data.sets.0.root={pandaset}"
        scored = f"evaluation.sets.0.root={pandaset}"
        found.append(
            World(
                name="pandaset",
                recipe="pandaset-002",
                data=(where,),
                labelled=(where, scored),
                folds={
                    fold: (f"evaluation.sets.0.frames={frames}",) for fold, frames in FOLDS.items()
                },
            )
        )
    return found


def jobs(root: Path, world: World, seed: int, options: argparse.Namespace) -> list[Job]:
    """All runs of a seed, each after what it needs."""
    found: list[Job] = []
    steps = options.steps
    length = () if steps is None else (f"train.steps={steps}", "train.epochs=null")

    def add(name: str, *command: str, fold: str = "", needs: str | None = None) -> None:
        full = world.of_fold(fold, name, seed)
        before = () if needs is None else (world.of_fold("", needs, seed),)
        start = [f"checkpoint={root / one}" for one in before]
        common = (f"output={root / full}", f"name={full}", f"seed={seed}", *start, *length)
        if command[0] != "finetune":
            common += (f"teacher_cache={root / f'teacher-{world.name}'}",)
        found.append(Job(name=full, command=(*command, *common), output=root / full, needs=before))

    recipe = f"pretrain/{world.recipe}"
    pretrain = ("pretrain", recipe, *world.data, *options.distillation)
    errors = ERRORS if world.name == "pandaset" else {}
    add("teach", *pretrain)
    add("teach-augmented", *pretrain, AUGMENTED)
    for fold in world.folds:
        ending = f"-{fold}" if fold else ""
        probe = ("probe", f"probe/{world.recipe}{ending}", *world.labelled)
        finetune = ("finetune", f"finetune/{world.recipe}{ending}", *world.labelled)
        add("random", *probe, "features=random", fold=fold, needs="teach")
        add("scratch", *finetune, "features=random", fold=fold, needs="teach")
        for name, teach in (("distilled", "teach"), ("augmented", "teach-augmented")):
            add(name, *probe, fold=fold, needs=teach)
        add("finetuned", *finetune, fold=fold, needs="teach")
        add("augmented-finetuned", *finetune, fold=fold, needs="teach-augmented")
    for name, error in errors.items():
        add(f"teach-{name}", *pretrain, f"data.miscalibration={error}")
        for fold in world.folds:
            probe = ("probe", f"probe/{world.recipe}-{fold}", *world.labelled)
            add(f"probe-{name}", *probe, fold=fold, needs=f"teach-{name}")
    return found


def score(root: Path, world: World, fold: str, seed: int) -> dict[str, dict[str, float]]:
    """Clean score, mRR, mCE over from-scratch, and all conditions, of each row."""
    runs = [root / world.of_fold(fold, row, seed) for row in ROWS]
    baseline = root / world.of_fold(fold, "scratch", seed)
    output = root / world.of_fold(fold, "robustness", seed)
    command = [sys.executable, "-m", "lidistill", "robustness", *map(str, runs)]
    command += [*world.folds[fold], "--shifts"]
    if not (output / "robustness.json").is_file():
        subprocess.run(  # noqa: S603
            [*command, "--baseline", str(baseline), "--output", str(output)],
            check=True,
            env=os.environ | {"OMP_NUM_THREADS": "1"},
        )
    record = json.loads((output / "robustness.json").read_text("utf-8"))["runs"]
    return {
        row: {
            "clean": record[run.name]["clean"],
            "mRR": record[run.name]["mRR"],
            "mCE": record[run.name]["against"][baseline.name]["mCE"],
            **record[run.name]["mean_iou"],
        }
        for row, run in zip(ROWS, runs, strict=True)
    }


def probes(root: Path, world: World, fold: str, seed: int) -> dict[str, float]:
    """Clean score of the probe after each wrong calibration."""
    found = {}
    for name in ERRORS:
        file = root / world.of_fold(fold, f"probe-{name}", seed) / "results.json"
        found[name] = json.loads(file.read_text("utf-8"))["all_points"]["mean_iou"]
    return found


def markdown(name: str, seeds: list[dict[str, dict[str, float]]]) -> str:
    """One row a network: means over the seeds, and their spread."""
    lines = [f"| {name} | " + " | ".join(SUMMARY) + " |", "|---" * (1 + len(SUMMARY)) + "|"]
    for row in ROWS:
        cells = []
        for key in SUMMARY:
            values = [seed[row][key] for seed in seeds]
            spread = f" ± {statistics.stdev(values):.1f}" if len(values) > 1 else ""
            cells.append(f"{statistics.mean(values):.1f}{spread}")
        lines.append(f"| {row} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    """Simulate, run everything and write the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=Path("runs/robustness-study"))
    parser.add_argument("--pandaset", type=Path, help="root of PandaSet; left out where not given")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--parallel", type=int, default=2, help="processes of one thread each")
    parser.add_argument("--steps", type=int, help="of every run, in place of the recipes'")
    parser.add_argument(
        "--distillation", nargs="*", default=[], help="overrides of the distillations: key=value"
    )
    parser.add_argument("--frames", type=int, default=10, help="of every simulated drive")
    arguments = parser.parse_args()
    root: Path = arguments.output
    config = SimulationConfig.model_validate(
        {
            "format": "semantic_kitti",
            "train_drives": 3,
            "val_drives": 1,
            "frames": arguments.frames,
        }
    )
    simulate(root / "street", config, workers=arguments.parallel)
    record: dict[str, object] = {"versions": versions()}
    tables = []
    for world in worlds(root, arguments.pandaset):
        todo = [job for seed in arguments.seeds for job in jobs(root, world, seed, arguments)]
        wrong = [job for job in todo if any(error in job.name for error in ERRORS)]
        run_jobs([job for job in todo if job not in wrong], parallel=arguments.parallel)
        with ThreadPoolExecutor(arguments.parallel) as pool:
            found = {
                fold: [pool.submit(score, root, world, fold, seed) for seed in arguments.seeds]
                for fold in world.folds
            }
        for fold, scores in found.items():
            name = f"{world.name} {fold}".strip()
            record[name] = [one.result() for one in scores]
            tables.append(markdown(name, [one.result() for one in scores]))
        write(root, record, tables)
        run_jobs(wrong, parallel=arguments.parallel)
        for fold in world.folds if wrong else ():
            seeds = [probes(root, world, fold, seed) for seed in arguments.seeds]
            record[f"calibration {fold}"] = seeds
        write(root, record, tables)
    print("\n\n".join(tables))


def write(root: Path, record: dict[str, object], tables: list[str]) -> None:
    """Write what is known so far."""
    (root / "table.json").write_text(json.dumps(record, indent=1), encoding="utf-8")
    (root / "table.md").write_text("\n\n".join(tables) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
