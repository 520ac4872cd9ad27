"""What a network of serialised attention wants to know of the points of a sample.

Everything that does not depend on learned values is made here, in the worker processes: cells,
what they are pooled into, which of them convolutions bring together, and their orders.

Shape letters: M points, N cells of the finest level.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal, Self, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lidistill.backbones.litept.levels import Level, grid_cells, packed, pyramid, running_starts
from lidistill.backbones.litept.orders import order_depth, sorted_by
from lidistill.samples.preparer import Channel, FieldOfView
from lidistill.sparse.cells import unique_cells
from lidistill.sparse.kernel_map import KernelMap, submanifold_map

DepthOver: TypeAlias = Literal["scan", "batch"]
"""Whose cells say how many bits an order counts with: each scan's own, or all of the batch, so
that a scan's features depend on those it is packed with, as in the authors' code."""
STEM_KERNEL: Final = 5
"""Cells along the edge of the first convolution."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LevelRule:
    """What each level is prepared for, and how many bits its orders count with."""

    convolved: tuple[bool, ...]
    """Whether each level has convolutions, from the finest to the coarsest."""
    ordered: tuple[bool, ...]
    """Whether it has attention."""
    serialized_per_level: bool
    """Whether each level is serialised for itself, as in LitePT: its bits follow from its own
    largest cell plus one. Else the finest level is, as in PTv3, and each coarser one inherits its
    orders, with a bit less."""
    over: DepthOver

    def depths(self, levels: Sequence[Level]) -> list[int]:
        """Bits of each level.

        Raises:
            ValueError: If the cells reach further than an order can count.
        """
        largest = [int(level.cells.max()) if len(level) else 0 for level in levels]
        if self.serialized_per_level:
            return [order_depth(most, 1) for most in largest]
        finest = order_depth(largest[0], 0)
        return [max(finest - step, 0) for step in range(len(levels))]

    def in_order(self, levels: Sequence[Level]) -> tuple[Level, ...]:
        """The levels of one scan, or of a batch, with their orders."""
        found = []
        for level, depth, wanted in zip(levels, self.depths(levels), self.ordered, strict=True):
            orders = sorted_by(level.cells, level.scan(), depth) if wanted else level.orders
            found.append(replace(level, orders=orders))
        return tuple(found)


@dataclass(frozen=True, slots=True, kw_only=True)
class SerializedInputs:
    """See ``Inputs``."""

    cell_of_point: Tensor
    """(M,) int64 cell of the finest level."""
    point_of_cell: Tensor
    """(N,) int64 the point whose channels a cell takes: its first one."""
    stem: KernelMap
    """Which cells of the finest level the first convolution brings together."""
    levels: tuple[Level, ...]
    """From the finest to the coarsest."""
    rule: LevelRule

    def __len__(self) -> int:
        return len(self.cell_of_point)

    @classmethod
    def collate(cls, parts: Sequence[Self], starts: Sequence[int]) -> Self:
        """See ``Inputs.collate``."""
        by_level = list(zip(*(part.levels for part in parts), strict=True))
        begins = [running_starts([len(level) for level in levels]) for levels in by_level]
        none = [0] * len(parts)
        finer, coarser = [none, *begins[:-1]], [*begins[1:], none]
        levels = tuple(map(packed, by_level, finer, coarser))
        rule = parts[0].rule
        if rule.over == "batch" and len(parts) > 1:
            levels = rule.in_order(levels)
        cells, points = zip(parts, begins[0], strict=True), zip(parts, starts, strict=True)
        return cls(
            cell_of_point=torch.cat([part.cell_of_point + begin for part, begin in cells]),
            point_of_cell=torch.cat([part.point_of_cell + start for part, start in points]),
            stem=KernelMap.collate([part.stem for part in parts]),
            levels=levels,
            rule=rule,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class SerializedPreparer:
    """See ``Preparer``."""

    channels: tuple[Channel, ...]
    field_of_view: FieldOfView
    grid_size: float
    """Edge of the finest cells, metres."""
    rule: LevelRule

    def prepare(
        self, coords: NDArray[np.floating], features: NDArray[np.float32]
    ) -> SerializedInputs:
        """See ``Preparer.prepare``."""
        return self.prepare_on_device(torch.from_numpy(coords), torch.from_numpy(features))

    def prepare_on_device(self, coords: Tensor, features: Tensor) -> SerializedInputs:
        """See ``Preparer.prepare_on_device``."""
        del features
        return inputs_of_cells(grid_cells(coords, self.grid_size), self.rule)


def inputs_of_cells(cells: Tensor, rule: LevelRule) -> SerializedInputs:
    """Inputs of one scan.

    Args:
        cells: (M, 3) int64 cell of every point, none negative.
        rule: What the levels are prepared for.
    """
    own, cell_of_point, point_of_cell = unique_cells(cells)
    return SerializedInputs(
        cell_of_point=cell_of_point,
        point_of_cell=point_of_cell,
        stem=submanifold_map(own, STEM_KERNEL),
        levels=rule.in_order(pyramid(own, rule.convolved)),
        rule=rule,
    )
