"""How the cost of the student grows with points, depth and batch: time and memory.

    python benchmarks/scaling.py --scan 000000.bin --output scaling.json

Points beyond those of the scan are copies of it, moved by a few metres.
"""

import argparse
from pathlib import Path

import numpy as np
import torch
from measure import spread, write_record
from student import GRID, NEIGHBORS, Contender, batch_of, measure, ours, read_points, warm_up

from lidistill.backbones import WaffleIronConfig
from lidistill.records import Batch
from lidistill.samples.augmentation import crop_mask

POINTS = (5_000, 20_000, 80_000, 200_000)
DEPTHS = (12, 24, 48)
BATCHES = (1, 4, 16)


def many_points(scan: Path, count: int) -> Batch:
    """So many points in the field of view, as one scan."""
    points = read_points(scan)
    copies = [points]
    while sum(map(len, copies)) < 2 * count:
        moved = points.copy()
        moved[:, :2] += 0.37 * len(copies)
        copies.append(moved)
    every = np.concatenate(copies)
    every = every[crop_mask(every[:, :3], GRID.field_of_view)]
    stride = np.linspace(0, len(every) - 1, count).astype(np.int64)
    return batch_of([every[stride]])


def many_scans(scan: Path, count: int, num_points: int) -> Batch:
    """So many scans of so many points each."""
    points = read_points(scan)
    points = points[crop_mask(points[:, :3], GRID.field_of_view)]
    return batch_of([points[number::count][:num_points] for number in range(count)])


def run(batch: Batch, config: WaffleIronConfig, mode: str, repeats: int) -> dict[str, object]:
    """Time and peak memory of a forward pass or of a step, in bfloat16."""
    torch.manual_seed(0)
    contender: Contender = ours(config.build(), batch, mode, "bf16")
    measure(contender, mode)  # compiles, where nothing is on disk yet
    _, memory = warm_up(contender, mode)
    runs = [measure(contender, mode) for _ in range(repeats)]
    case = {
        "pass": mode,
        "points": len(batch.features),
        "scans": batch.num_scans,
        "depth": config.depth,
        "peak_bytes": memory,
        "wall_s": spread([one["wall_s"] for one in runs]),
        "cpu_s": spread([one["cpu_s"] for one in runs]),
    }
    print(case, flush=True)
    return case


def main() -> None:
    """Vary one quantity at a time and write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--scan", type=Path, required=True, help="a KITTI .bin file")
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--most", type=int, default=POINTS[-1], help="points, at most")
    parser.add_argument("--output", type=Path, default=Path("scaling.json"))
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    few = min(arguments.most, 20_000)
    cases = [(many_points(arguments.scan, n), 12) for n in POINTS if n <= arguments.most]
    cases += [(many_points(arguments.scan, few), depth) for depth in DEPTHS[1:]]
    cases += [(many_scans(arguments.scan, count, 5_000), 12) for count in BATCHES]
    results = [
        run(batch, WaffleIronConfig(width=arguments.width, depth=depth), mode, arguments.repeats)
        for batch, depth in cases
        for mode in ("forward", "step")
    ]
    settings = {"width": arguments.width, "neighbors": NEIGHBORS, "precision": "bf16"}
    write_record(arguments.output, {"settings": settings, "cases": results})


if __name__ == "__main__":
    main()
