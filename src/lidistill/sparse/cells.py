"""Occupied cells of a grid: their numbers, each of them once, and the coarser ones around them.

Shape letters: M cells, D columns of their coordinates: x, y, z, or batch, x, y, z.
"""

from dataclasses import dataclass
from math import prod
from typing import Final, NamedTuple

import torch
from torch import Tensor

MAX_CELLS: Final = 1 << 61
"""Of the box around cells and a margin: a step out of it, at either end, stays below 64 bits."""


@dataclass(frozen=True, slots=True)
class CellKeys:
    """One number for each cell that sorts like its coordinates, the last one fastest."""

    keys: Tensor
    """(M,) int64."""
    strides: tuple[int, ...]
    """D numbers: what a step along each axis adds to a key."""


def cell_keys(cells: Tensor, margin: int = 0) -> CellKeys:
    """Keys of cells.

    Args:
        cells: (M, D) integers of any sign; the last three columns are x, y, z.
        margin: How far a step may lead out of the box around the cells along x, y and z without
            ending at the key of another cell.

    Raises:
        ValueError: If the cells lie too far apart for 64 bits.
    """
    cells = cells.long()
    low = cells.amin(0) if len(cells) else cells.new_zeros(cells.shape[1])
    extents = (cells.amax(0) - low).tolist() if len(cells) else low.tolist()
    sizes = [e + 1 + (margin if axis >= len(extents) - 3 else 0) for axis, e in enumerate(extents)]
    if min(extents) < 0 or prod(sizes) >= MAX_CELLS:
        shown = " x ".join(f"{e + 1:,}" for e in extents)
        msg = f"cells span {shown}, too many to be numbered; are there points without a place?"
        raise ValueError(msg)
    strides = tuple(prod(sizes[axis + 1 :]) for axis in range(len(sizes)))
    columns = (cells - low).unbind(1)
    keys = sum(
        (column * stride for column, stride in zip(columns, strides, strict=True)),
        start=torch.zeros_like(columns[0]),
    )
    return CellKeys(keys, strides)


class UniqueCells(NamedTuple):
    """Cells without repetitions."""

    cells: Tensor
    """(U, D) int64 in lexicographic order."""
    inverse: Tensor
    """(M,) int64 which of them each given cell is."""
    first: Tensor
    """(U,) int64 the first given cell that is each of them."""


def unique_cells(cells: Tensor) -> UniqueCells:
    """Each cell once.

    Args:
        cells: (M, D) integers of any sign.

    Raises:
        ValueError: If the cells lie too far apart for 64 bits.
    """
    ordered, order = cell_keys(cells).keys.sort(stable=True)
    begins = ordered.new_ones(len(ordered), dtype=torch.bool)
    begins[1:] = ordered[1:] != ordered[:-1]
    inverse = order.new_empty(len(order))
    inverse[order] = begins.long().cumsum(0) - 1
    first = order[begins]
    return UniqueCells(cells.long()[first], inverse, first)


def coarser(cells: Tensor) -> Tensor:
    """(M, D) cells of twice the edge that hold the cells; a batch column stays as it is."""
    batch = cells.shape[1] - 3
    halved = cells.clone()
    halved[:, batch:] >>= 1  # rounds down, below zero too
    return halved
