"""What a MinkUNet wants to know of the points: occupied cells, and which of them meet.

Shape letters: M points, U occupied cells, L levels of the U-Net.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal, Self, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lidistill.samples.preparer import Channel, FieldOfView
from lidistill.sparse.cells import unique_cells
from lidistill.sparse.kernel_map import KernelMap, strided_map, submanifold_map

Coordinates: TypeAlias = Literal["cylindrical", "cartesian"]

NUM_STRIDES: Final = 4
"""How often the edge of a cell is doubled; L is one more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MinkInputs:
    """See ``Inputs``."""

    cell: Tensor
    """(M,) int64 the cell that each point lies in."""
    first: Tensor
    """(U,) int64 the first point of each cell; the cell has its input channels."""
    same: tuple[KernelMap, ...]
    """L maps, from the finest cells to the coarsest: kernels of 3 on their own level."""
    down: tuple[KernelMap, ...]
    """L - 1 maps: from each level to cells of twice the edge."""
    wide: KernelMap | None
    """The map of a first kernel that is wider than 3."""

    def __len__(self) -> int:
        return len(self.cell)

    @classmethod
    def collate(cls, parts: Sequence[Self], starts: Sequence[int]) -> Self:
        """See ``Inputs.collate``."""
        cells = np.cumsum([0, *(len(part.first) for part in parts)]).tolist()
        wide = [part.wide for part in parts if part.wide is not None]
        return cls(
            cell=torch.cat([part.cell + cell for part, cell in zip(parts, cells, strict=False)]),
            first=torch.cat([part.first + s for part, s in zip(parts, starts, strict=True)]),
            same=tuple(map(KernelMap.collate, zip(*(part.same for part in parts), strict=True))),
            down=tuple(map(KernelMap.collate, zip(*(part.down for part in parts), strict=True))),
            wide=KernelMap.collate(wide) if wide else None,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class MinkPreparer:
    """See ``Preparer``."""

    channels: tuple[Channel, ...]
    field_of_view: FieldOfView
    coordinates: Coordinates
    cell_size: float
    """Metres."""
    cell_angle: float
    """Degrees."""
    kernel_size: int
    """Of the first convolution."""

    def prepare(self, coords: NDArray[np.floating], features: NDArray[np.float32]) -> MinkInputs:
        """See ``Preparer.prepare``."""
        return self.prepare_on_device(torch.from_numpy(coords), torch.from_numpy(features))

    def prepare_on_device(self, coords: Tensor, features: Tensor) -> MinkInputs:
        """See ``Preparer.prepare_on_device``.

        On another device the last bit of an angle may differ, and with it the cell of a point that
        lies on a border.
        """
        del features
        return inputs_of_cells(self.cells(coords), self.kernel_size)

    def cells(self, coords: Tensor) -> Tensor:
        """(M, 3) int64 cell of each of the (M, 3) points: x, y, z, or distance, angle, z.

        Reckoned in float32, in the order of the authors of SLidR: in float64 one point of some
        thousands falls into the next cell. Cells at +180 and -180 degrees are no neighbours.
        """
        coords = coords.float()
        if self.coordinates == "cylindrical":
            x, y, z = coords.unbind(1)
            angle = torch.atan2(y, x) * 180 / math.pi
            coords = torch.stack([torch.sqrt(x * x + y * y), angle, z], 1)
        across = self.cell_angle if self.coordinates == "cylindrical" else self.cell_size
        # A tensor, because a GPU multiplies by the reciprocal of a plain number.
        edges = coords.new_tensor([self.cell_size, across, self.cell_size])
        return torch.floor(coords / edges).long()


def inputs_of_cells(cells: Tensor, kernel_size: int) -> MinkInputs:
    """Everything that a MinkUNet wants to know, from the cells of the points alone.

    Args:
        cells: (M, 3) x, y, z or (M, 4) batch, x, y, z of each point, integers of any sign.
        kernel_size: Of the first convolution.
    """
    finest = unique_cells(cells)
    level, same, down = finest.cells, [submanifold_map(finest.cells, 3)], []
    for _ in range(NUM_STRIDES):
        level, kernel_map = strided_map(level)
        down.append(kernel_map)
        same.append(submanifold_map(level, 3))
    return MinkInputs(
        cell=finest.inverse,
        first=finest.first,
        same=tuple(same),
        down=tuple(down),
        wide=submanifold_map(finest.cells, kernel_size) if kernel_size > 3 else None,
    )
