"""What a distillation sample costs to prepare, part by part, in milliseconds on one thread.

    python benchmarks/data_path.py DATA/pandaset DATA/semantic_kitti --output data_path.json

The settings are those of ScaLR: one camera, its points only, voxels of 0.1 m, 20,000 points, 16
neighbours, pictures of 224 x 448. The code that is timed is the one that training runs.
"""

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from measure import spread, write_record

from lidistill.config import GridConfig
from lidistill.data import FrameDataset, sampling
from lidistill.data.onhand import LAYOUTS, detect_format
from lidistill.data.sampling import SamplingConfig, distillation_sample, sample_rng

PARTS = {
    "draw": "draw",
    "voxel_subset": "voxelise",
    "pair_view": "project and pair",
    "limit_to_nearest": "limit",
    "nearest_neighbors": "neighbours",
    "cell_indices": "cells",
    "read_picture": "decode",
    "resize_all": "resize",
}
"""Functions that ``distillation_sample`` calls, and what they are for."""


class Clock:
    """Milliseconds of CPU that went into each part since the last reset."""

    def __init__(self) -> None:
        self.spent: dict[str, float] = {}

    def call(self, part: str, function: Callable[..., Any], *args: Any, **options: Any) -> Any:
        """Call a function and add its time to a part."""
        start = time.thread_time()
        result = function(*args, **options)
        self.spent[part] = self.spent.get(part, 0.0) + (time.thread_time() - start) * 1e3
        return result

    def watch(self, module: Any, name: str, part: str) -> None:
        """Add up the time of every call of a module's function."""
        function = getattr(module, name)
        setattr(module, name, lambda *args, **options: self.call(part, function, *args, **options))


def frames_of(dataset: FrameDataset, most: int) -> list[int]:
    """Frames spread over a data set."""
    return sorted(set(np.linspace(0, len(dataset) - 1, most).astype(int).tolist()))


def measure(dataset: FrameDataset, clock: Clock, *, frames: int, repeats: int) -> dict[str, Any]:
    """Milliseconds of every part over some frames, each prepared several times."""
    config, grid = SamplingConfig(), GridConfig()
    values: dict[str, list[float]] = {}
    sizes = []
    for epoch in range(repeats + 1):
        for index in frames_of(dataset, frames):
            clock.spent = {}
            start = time.thread_time()
            frame = clock.call("read", dataset.__getitem__, index)
            if not frame.views:
                continue
            rng = sample_rng(0, epoch, index)
            sample = distillation_sample(frame, config, grid, rng)
            whole = (time.thread_time() - start) * 1e3
            if not epoch:  # warms up: compiled loops, the disk's cache, tables read once
                continue
            rest = whole - sum(clock.spent.values())
            for part, spent in (clock.spent | {"rest": rest, "all": whole}).items():
                values.setdefault(part, []).append(spent)
            sizes.append([len(frame.points), len(sample)])
    return {
        "cpu_ms": {part: spread(spent) for part, spent in values.items()},
        "samples": len(sizes),
        "points_of_scan_and_sample": np.median(sizes, axis=0).tolist(),
    }


def main() -> None:
    """Measure the sets that are given and write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("roots", type=Path, nargs="+", help="roots of data sets")
    parser.add_argument("--frames", type=int, default=4)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--output", type=Path, default=Path("data_path.json"))
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    clock = Clock()
    for name, part in PARTS.items():
        clock.watch(sampling, name, part)
    results: dict[str, Any] = {}
    for root in arguments.roots:
        name = detect_format(root)
        for config in LAYOUTS[name].configs(root):
            dataset = config.model_copy(update={"labels": "none"}).build()
            sensor = f"{name} {dataset.sensor}"
            results[sensor] = measure(
                dataset, clock, frames=arguments.frames, repeats=arguments.repeats
            )
            line = {part: round(ms["median"], 1) for part, ms in results[sensor]["cpu_ms"].items()}
            print(sensor, line, flush=True)
    write_record(arguments.output, {"sets": results, "target_ms": 30})


if __name__ == "__main__":
    main()
