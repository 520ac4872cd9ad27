"""The simulated benchmark sim-street: four sensors, trained in three districts, scored in a fourth.

Simulates the vehicles of nuScenes, SemanticKITTI and PandaSet, distils one student on every sensor
and one on all four, and probes every sensor on every student, on random weights, and against the
same network trained from scratch with labels:

    python benchmarks/sim_street.py --output runs/sim-street --parallel 2

Writes ``table.md`` and ``table.json``.
"""

import argparse
import json
import statistics
import time
from pathlib import Path
from typing import Any

from jobs import Job, run_jobs

from lidistill.sim import SimulationConfig, simulate
from lidistill.training.checkpoint import versions

SENSORS: dict[str, dict[str, Any]] = {
    "nuscenes": {"kind": "nuscenes", "missing": "skip"},
    "semantic_kitti": {"kind": "semantic_kitti", "missing": "skip"},
    "pandar64": {"kind": "pandaset", "sensor": "pandar64"},
    "pandargt": {"kind": "pandaset", "sensor": "pandargt"},
}
SIMULATION = {"train_drives": 3, "val_drives": 1, "frames": 10, "frame_rate": 1.0}


def simulate_all(root: Path, workers: int) -> dict[str, float]:
    """Seconds that the simulation of each format took; nothing is simulated twice."""
    seconds = {}
    for kind in ("nuscenes", "semantic_kitti", "pandaset"):
        started = time.monotonic()
        config = SimulationConfig.model_validate({"format": kind, **SIMULATION})
        simulate(root / kind, config, workers=workers)
        seconds[kind] = time.monotonic() - started
        print(f"{kind}: {seconds[kind]:.0f} s", flush=True)
    return seconds


def one_set(data: Path, sensor: str, **changes: str) -> str:
    """A list of one data set, as an override."""
    values = SENSORS[sensor]
    return json.dumps([values | {"root": str(data / values["kind"])} | changes])


def jobs(root: Path, seeds: list[int], steps: int | None) -> list[Job]:
    """All runs, each after what it needs, of the recipes' steps or of so many."""
    data, found = root / "data", []
    length = () if steps is None else (f"train.steps={steps}",)

    def add(name: str, *command: str, needs: tuple[str, ...] = ()) -> None:
        output = root / name
        common = [f"output={output}", f"name={name}", *length]
        if command[0] != "finetune":
            common.append(f"teacher_cache={root / 'teacher'}")
        found.append(Job(name=name, command=(*command, *common), output=output, needs=needs))

    for seed in seeds:
        here = f"seed={seed}"
        for source in (*SENSORS, "all"):
            members = list(SENSORS) if source == "all" else [source]
            sets = [json.loads(one_set(data, m, split="train"))[0] for m in members]
            sets_text = f"data.sets={json.dumps(sets)}"
            add(f"distil-{source}-{seed}", "pretrain", "pretrain/sim-street", here, sets_text)
        for target in SENSORS:
            sets_of = [
                f"{part}.sets={one_set(data, target, split=split, labels='required')}"
                for part, split in (("data", "train"), ("evaluation", "val"))
            ]
            probe = ("probe", "probe/sim-street", here, *sets_of)
            for source in (*SENSORS, "all"):
                run = f"distil-{source}-{seed}"
                start = f"checkpoint={root / run}"
                add(f"probe-{target}-{source}-{seed}", *probe, start, needs=(run,))
            network = f"checkpoint={root / f'distil-all-{seed}'}"
            needs = (f"distil-all-{seed}",)
            add(f"probe-{target}-random-{seed}", *probe, network, "features=random", needs=needs)
            scratch = ("finetune", "finetune/sim-street", here, *sets_of, "features=random")
            add(f"probe-{target}-scratch-{seed}", *scratch, network, needs=needs)
    return found


def table(root: Path, seeds: list[int]) -> dict[str, dict[str, list[float]]]:
    """Scores (mIoU) of every seed, by the sensor that is probed and what the probe stands on."""
    columns = ("random", *SENSORS, "all", "scratch")
    return {
        target: {
            column: [
                json.loads(
                    (root / f"probe-{target}-{column}-{seed}" / "results.json").read_text("utf-8")
                )["all_points"]["mean_iou_of_truth"]
                for seed in seeds
            ]
            for column in columns
        }
        for target in SENSORS
    }


def mean_and_spread(scores: list[float]) -> str:
    """Mean of the seeds with their standard deviation, if there are several."""
    spread = f" ± {statistics.stdev(scores):.1f}" if len(scores) > 1 else ""
    return f"{statistics.mean(scores):.1f}{spread}"


def main() -> None:
    """Simulate, run everything and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=Path("runs/sim-street"))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--steps", type=int, help="of every run; the default is its recipe's")
    parser.add_argument("--parallel", type=int, default=2, help="processes of one thread each")
    arguments = parser.parse_args()
    started = time.monotonic()
    seconds = simulate_all(arguments.output / "data", arguments.parallel)
    run_jobs(jobs(arguments.output, arguments.seeds, arguments.steps), parallel=arguments.parallel)
    result = table(arguments.output, arguments.seeds)
    record = {
        "table": result,
        "simulation": SIMULATION,
        "simulation_seconds": seconds,
        "seconds": time.monotonic() - started,
        "versions": versions(),
    }
    (arguments.output / "table.json").write_text(json.dumps(record, indent=1), encoding="utf-8")
    columns = list(next(iter(result.values())))
    lines = ["| probe on | " + " | ".join(columns) + " |", "|---" * (len(columns) + 1) + "|"]
    for target, row in result.items():
        cells = [mean_and_spread(scores) for scores in row.values()]
        lines.append(f"| {target} | " + " | ".join(cells) + " |")
    text = "\n".join(lines)
    (arguments.output / "table.md").write_text(text + "\n", encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
