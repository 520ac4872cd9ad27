"""Cells of a scan, and the coarser ones that they are pooled into.

Shape letters: M points, N cells of a level, L cells of the next coarser one.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Final

import torch
from torch import Tensor

from lidistill.sparse.cells import coarser, unique_cells
from lidistill.sparse.kernel_map import KernelMap, submanifold_map

_CHILDREN: Final = 8  # of a cell that is twice as large
_KERNEL: Final = 3  # cells along the edge of a block's convolution


@dataclass(frozen=True, slots=True, kw_only=True)
class Level:
    """Occupied cells of one size, sorted by scan, x, y and z."""

    cells: Tensor
    """(N, 3) int64 from the corner of their own scan, none negative."""
    lengths: tuple[int, ...]
    """Cells of each scan."""
    parent: Tensor
    """(N,) int64 cell of the next coarser level; empty in the coarsest."""
    children: Tensor
    """(N, 8) int64 cells of the next finer level, the first one again where there are fewer;
    (0, 8) in the finest."""
    orders: Tensor
    """(4, N) int64 cells in each of ``orders.ORDERS``; (4, 0) where the level has no attention."""
    near: KernelMap | None
    """Which cells the convolutions bring together; None where the level has none."""

    def __len__(self) -> int:
        return len(self.cells)

    def scan(self) -> Tensor:
        """(N,) int64 scan of each cell."""
        lengths = torch.tensor(self.lengths, device=self.cells.device)
        scans = torch.arange(len(lengths), device=self.cells.device)
        return torch.repeat_interleave(scans, lengths, output_size=len(self))


def grid_cells(coords: Tensor, size: float) -> Tensor:
    """(M, 3) int64 cell of every point, counted from the least one on each axis.

    Args:
        coords: (M, 3) metres; cells are computed in double.
        size: Edge of a cell, metres.
    """
    edge = torch.tensor(size, dtype=torch.float64, device=coords.device)
    cells = torch.floor(coords.double() / edge).long()
    return cells - cells.amin(0) if len(cells) else cells


def pyramid(cells: Tensor, convolved: Sequence[bool]) -> tuple[Level, ...]:
    """Levels of one scan, each with cells twice as large as the one before; without orders.

    Args:
        cells: (N, 3) int64 distinct ones, sorted by x, then y, then z.
        convolved: Whether each level has convolutions, from the finest to the coarsest.
    """
    levels = []
    children = cells.new_zeros(0, _CHILDREN)
    for number, has_convolutions in enumerate(convolved):
        coarse, parent = cells[:0], cells.new_zeros(0)
        if number + 1 < len(convolved):
            coarse, parent, _ = unique_cells(coarser(cells))
        level = Level(
            cells=cells,
            lengths=(len(cells),),
            parent=parent,
            children=children,
            orders=cells.new_zeros(4, 0),
            near=submanifold_map(cells, _KERNEL) if has_convolutions else None,
        )
        levels.append(level)
        children, cells = _children(parent, len(coarse)), coarse
    return tuple(levels)


def _children(parent: Tensor, count: int) -> Tensor:
    """(L, 8) cells of the finer level in every cell; see ``Level.children``."""
    order = parent.argsort(stable=True)
    grouped = parent[order]
    begin = torch.searchsorted(grouped, torch.arange(count, device=parent.device))
    place = torch.arange(len(parent), device=parent.device) - begin[grouped]
    children = order[begin][:, None].repeat(1, _CHILDREN)
    children[grouped, place] = order
    return children


def packed(parts: Sequence[Level], finer: Sequence[int], coarser_starts: Sequence[int]) -> Level:
    """One level of several samples, one after the other.

    Args:
        parts: That level of each sample.
        finer: Where the cells of the next finer level of each sample begin.
        coarser_starts: Where those of the next coarser level begin.
    """
    starts = running_starts([len(part) for part in parts])
    parents = zip(parts, coarser_starts, strict=True)
    maps = [part.near for part in parts if part.near is not None]
    return Level(
        cells=torch.cat([part.cells for part in parts]),
        lengths=tuple(length for part in parts for length in part.lengths),
        parent=torch.cat([part.parent + start for part, start in parents]),
        children=torch.cat([p.children + start for p, start in zip(parts, finer, strict=True)]),
        orders=torch.cat([p.orders + start for p, start in zip(parts, starts, strict=True)], 1),
        near=KernelMap.collate(maps) if maps else None,
    )


def running_starts(lengths: Sequence[int]) -> list[int]:
    """Where each of several things begins that lie one after the other."""
    return list(accumulate(lengths[:-1], initial=0))
