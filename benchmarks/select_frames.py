"""Linear probes on few labelled frames, chosen by ``lidistill select`` and by its baselines.

    python benchmarks/select_frames.py DATA/pandaset RUN --frames 0-34 --scored-frames 36-54

Makes an index of the frames that a probe may learn from, lets every strategy choose among them, and
runs the recipe's probe on what it has chosen, for every seed; what is done is skipped. For data in
PandaSet's layout. Writes ``table.md`` and ``table.json``.
"""

import argparse
import json
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final, get_args

from jobs import Job, run_jobs
from measure import write_record

from lidistill.apps.fleet_index import EncodeFrame, about_index, by_density, index_frames
from lidistill.apps.fleet_select import select_frames
from lidistill.apps.load_features import load
from lidistill.datasets.pandaset.dataset import PandaSetConfig
from lidistill.fleet.selection import Strategy
from lidistill.fleet.table import FleetIndex

_UNASKED: Final = "uncertain"  # needs classes, which a distillation has none of
STRATEGIES: Final = tuple(one for one in get_args(Strategy) if one != _UNASKED)


def make_index(run: Path, options: argparse.Namespace, folder: Path) -> FleetIndex:
    """The index of the frames that may be learned from."""
    values = {"root": options.data, "sensor": options.sensor, "split": "all", "missing": "skip"}
    values |= {"drives": options.drives, "frames": options.frames}
    config = PandaSetConfig.model_validate(values)
    model = load(run, "cpu", sensor=options.sensor)
    about = about_index(model, run=run, data=[options.data], head=False, sensor=options.sensor)
    index = FleetIndex.create(str(folder), about)
    encode = EncodeFrame(model=model, head=False)
    for _ in index_frames(config.build(), encode, by_density(), index):
        pass
    return index


def labelled(options: argparse.Namespace, drive: str, frames: object) -> dict[str, object]:
    """The labelled frames of a drive, as a recipe names them."""
    where = {"kind": "pandaset", "root": str(options.data), "sensor": options.sensor}
    return where | {"split": "all", "drives": [drive], "frames": frames, "labels": "required"}


def jobs(options: argparse.Namespace, seed: int, run: Path, index: FleetIndex) -> list[Job]:
    """A probe for every strategy and number of frames."""
    found = []
    scored = [labelled(options, drive, options.scored_frames) for drive in options.scored_drives]
    for strategy in STRATEGIES:
        for count in options.counts:
            chosen: dict[str, list[int]] = {}
            for row in select_frames(index, count, strategy, seed=seed):
                drive, number = row["frame"].split("/")[:2]
                chosen.setdefault(drive, []).append(int(number))
            sets = [labelled(options, drive, sorted(chosen[drive])) for drive in sorted(chosen)]
            name = f"{strategy}-{count}-{seed}"
            output = options.output / name
            command = [
                *("probe", options.recipe, f"checkpoint={run}", f"seed={seed}"),
                *(f"output={output}", f"name={name}", f"data.sets={json.dumps(sets)}"),
                *(f"evaluation.sets={json.dumps(scored)}", *options.overrides),
            ]
            found.append(Job(name=name, command=tuple(command), output=output))
    return found


def table(output: Path, counts: Sequence[int], seeds: Sequence[int]) -> list[dict[str, object]]:
    """Mean and single scores of every strategy and number of frames."""
    rows: list[dict[str, object]] = []
    for strategy in STRATEGIES:
        for count in counts:
            files = [output / f"{strategy}-{count}-{seed}" / "results.json" for seed in seeds]
            records = [json.loads(file.read_text(encoding="utf-8")) for file in files]
            scores = [record["all_points"]["mean_iou"] for record in records]
            row: dict[str, object] = {"strategy": strategy, "frames": count}
            rows.append(row | {"mean": statistics.mean(scores), "scores": scores})
    return rows


def main() -> None:
    """Index, choose, probe, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, help="the folder that holds the drives")
    parser.add_argument("runs", type=Path, nargs="+", help="a distillation, or one for each seed")
    parser.add_argument("--recipe", default="probe/pandaset-002")
    parser.add_argument("--sensor", default="pandar64")
    parser.add_argument("--drives", nargs="+", default=["002"], help="that may be learned from")
    parser.add_argument("--frames", default="0-38", help="of these drives")
    parser.add_argument("--scored-drives", nargs="+", default=["002"])
    parser.add_argument("--scored-frames", default="44-54")
    parser.add_argument("--counts", type=int, nargs="+", default=[1, 3, 10])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--overrides", nargs="*", default=[], help="of the recipe: key=value")
    parser.add_argument("--parallel", type=int, default=1)
    parser.add_argument("--output", type=Path, default=Path("runs/select-frames"))
    options = parser.parse_args()
    if len(options.runs) not in (1, len(options.seeds)):
        parser.error(f"{len(options.runs)} runs for {len(options.seeds)} seeds: one, or as many")
    runs = options.runs * len(options.seeds) if len(options.runs) == 1 else options.runs
    options.output.mkdir(parents=True, exist_ok=True)
    todo: list[Job] = []
    indices: dict[Path, FleetIndex] = {}
    for number, (seed, run) in enumerate(zip(options.seeds, runs, strict=True)):
        if run not in indices:
            indices[run] = make_index(run, options, options.output / f"index-{number}")
        todo += jobs(options, seed, run, indices[run])
    run_jobs(todo, parallel=options.parallel)
    rows = table(options.output, options.counts, options.seeds)
    write_record(options.output / "table.json", {"table": rows})
    lines = ["| strategy | frames | mIoU % | single scores |", "|---|---|---|---|"]
    for row in rows:
        scores = row["scores"]
        single = ", ".join(f"{score:.1f}" for score in scores) if isinstance(scores, list) else ""
        lines.append(f"| {row['strategy']} | {row['frames']} | {row['mean']:.1f} | {single} |")
    text = "\n".join(lines) + "\n"
    (options.output / "table.md").write_text(text, encoding="utf-8")
    sys.stdout.write(text)


if __name__ == "__main__":
    main()
