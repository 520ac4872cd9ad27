"""Memory for a teacher's features at the pairs, against a map of every pixel.

    python benchmarks/teacher_memory.py --output teacher_memory.json

Random cells of a ViT-L/14 take the place of the teacher's own: 1024 channels, 14 pixels a cell.
"""

import argparse
from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F
from measure import with_peak_memory, write_record
from torch import Tensor

from lidistill.teachers.base import TeacherMaps, read_maps

PATCH = 14
CHANNELS = 1024


def main() -> None:
    """Measure both ways, compare what they give, and write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, nargs=2, default=[224, 448], metavar=("H", "W"))
    parser.add_argument("--pairs", type=int, default=10_000)
    parser.add_argument("--output", type=Path, default=Path("teacher_memory.json"))
    arguments = parser.parse_args()
    height, width = arguments.size
    rng = torch.Generator().manual_seed(0)
    level = torch.randn(1, CHANNELS, height // PATCH, width // PATCH, generator=rng)
    strides = ((height - 1) / (level.shape[2] - 1),)
    maps = TeacherMaps(levels=(level,), alignment="corners", strides=strides, origins=(0.0,))
    rows = torch.randint(height, (arguments.pairs,), generator=rng)
    columns = torch.randint(width, (arguments.pairs,), generator=rng)
    uv = torch.stack([columns, rows], dim=1).float()
    view = torch.zeros(len(uv), dtype=torch.int64)

    def at_pairs() -> Tensor:
        return read_maps(maps, view, uv, (height, width), normalize=False)

    def from_full_map() -> Tensor:
        full = F.interpolate(level, size=(height, width), mode="bilinear", align_corners=True)
        return full[0, :, rows, columns].t()

    calls: dict[str, Callable[[], Tensor]] = {"at_pairs": at_pairs, "full_map": from_full_map}
    at_pairs()  # what the first call sets up is no part of it
    found = {name: with_peak_memory(call) for name, call in calls.items()}
    difference = (found["at_pairs"][0] - found["full_map"][0]).abs().max()
    peaks = {name: peak for name, (_, peak) in found.items()}
    result = {"output": uv.shape[0] * CHANNELS * 4, "difference": float(difference)}
    print(peaks, result)
    settings = {"size_hw": arguments.size, "pairs": arguments.pairs, "channels": CHANNELS}
    write_record(arguments.output, settings | {"peak_bytes": peaks} | result)


if __name__ == "__main__":
    main()
