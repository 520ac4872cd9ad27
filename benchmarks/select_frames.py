"""Linear probes on few labelled frames, chosen by ``lidistill select`` and by its baselines.

    python benchmarks/select_frames.py runs/pretrain/pandaset-002 data/pandaset

Makes an index of the frames that a probe may learn from, lets every strategy choose among them, and
runs the recipe's probe on what it has chosen, for every seed; what is done is skipped. For data in
PandaSet's layout, one drive. Writes ``table.md`` and ``table.json``.
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


def make_index(run: Path, data: Path, drive: str, frames: str, folder: Path) -> FleetIndex:
    """The index of the frames that may be learned from."""
    values = {"root": data, "sensor": "pandar64", "split": "all", "drives": (drive,)}
    config = PandaSetConfig.model_validate(values | {"frames": frames, "missing": "skip"})
    model = load(run, "cpu", sensor="pandar64")
    about = about_index(model, run=run, data=[data], head=False, sensor="pandar64")
    index = FleetIndex.create(str(folder), about)
    encode = EncodeFrame(model=model, head=False)
    for _ in index_frames(config.build(), encode, by_density(), index):
        pass
    return index


def jobs(options: argparse.Namespace, index: FleetIndex) -> list[Job]:
    """A probe for every strategy, number of frames and seed."""
    found = []
    for strategy in STRATEGIES:
        for count in options.counts:
            for seed in options.seeds:
                rows = select_frames(index, count, strategy, seed=seed)
                numbers = sorted(int(row["frame"].split("/")[1]) for row in rows)
                name = f"{strategy}-{count}-{seed}"
                output = options.output / name
                command = [
                    *("probe", options.recipe, f"checkpoint={options.run}", f"seed={seed}"),
                    *(f"output={output}", f"name={name}", f"data.sets.0.root={options.data}"),
                    f"evaluation.sets.0.root={options.data}",
                    f"data.sets.0.frames=[{','.join(map(str, numbers))}]",
                    *(f"{key}.sets.0.drives=['{options.drive}']" for key in ("data", "evaluation")),
                    *options.overrides,
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
    parser.add_argument("run", type=Path, help="a distillation")
    parser.add_argument("data", type=Path, help="the folder that holds the drive")
    parser.add_argument("--recipe", default="probe/pandaset-002")
    parser.add_argument("--drive", default="002")
    parser.add_argument("--frames", default="0-38", help="that may be learned from")
    parser.add_argument("--counts", type=int, nargs="+", default=[1, 3, 10])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--overrides", nargs="*", default=[], help="of the recipe: key=value")
    parser.add_argument("--parallel", type=int, default=1)
    parser.add_argument("--output", type=Path, default=Path("runs/select-frames"))
    options = parser.parse_args()
    options.output.mkdir(parents=True, exist_ok=True)
    place = options.output / "index"
    index = make_index(options.run, options.data, options.drive, options.frames, place)
    run_jobs(jobs(options, index), parallel=options.parallel)
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
