"""What a WaffleIron wants to know of the points: neighbours, and cells of its grids.

Shape letters: M points, K neighbours of a point, G grids.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lidistill.backbones.waffleiron.cells import cell_indices, cells_of_tensor
from lidistill.backbones.waffleiron.gpu.hash_neighbors import hash_neighbors
from lidistill.backbones.waffleiron.grid import GridConfig
from lidistill.backbones.waffleiron.neighbors import nearest_neighbors
from lidistill.records import Batch, FieldOfView
from lidistill.samples.preparer import Channel


@dataclass(frozen=True, slots=True, kw_only=True)
class WaffleInputs:
    """See ``Inputs``."""

    neighbors: Tensor
    """(M, 1 + K) int64 nearest points of the same scan, the point itself first."""
    cells: Tensor
    """(M, G) int64 row-major cell of each point in each grid, inside the grids of its own scan."""

    def __post_init__(self) -> None:
        shapes = tuple(self.neighbors.shape), tuple(self.cells.shape)
        if not (len(shapes[0]) == len(shapes[1]) == 2 and shapes[0][0] == shapes[1][0]):
            msg = f"neighbors has shape {shapes[0]}, cells has shape {shapes[1]}; expected one row "
            raise ValueError(f"{msg}for every point in both")

    def __len__(self) -> int:
        return len(self.cells)

    def to(self, device: torch.device | str) -> Self:
        """See ``Inputs.to``."""
        return type(self)(neighbors=self.neighbors.to(device), cells=self.cells.to(device))

    @classmethod
    def collate(cls, parts: Sequence[Self], starts: Sequence[int]) -> Self:
        """See ``Inputs.collate``."""
        shifted = [part.neighbors + start for part, start in zip(parts, starts, strict=True)]
        return cls(neighbors=torch.cat(shifted), cells=torch.cat([part.cells for part in parts]))


@dataclass(frozen=True, slots=True, kw_only=True)
class WafflePreparer:
    """See ``Preparer``."""

    channels: tuple[Channel, ...]
    grid: GridConfig
    num_neighbors: int

    @property
    def field_of_view(self) -> FieldOfView:
        """See ``Preparer.field_of_view``."""
        return self.grid.field_of_view

    def prepare(self, coords: NDArray[np.floating], features: NDArray[np.float32]) -> WaffleInputs:
        """See ``Preparer.prepare``."""
        del features
        return WaffleInputs(
            neighbors=torch.from_numpy(nearest_neighbors(coords, self.num_neighbors)),
            cells=torch.from_numpy(cell_indices(coords, self.grid)),
        )

    def prepare_on_device(self, coords: Tensor, features: Tensor) -> WaffleInputs:
        """See ``Preparer.prepare_on_device``; neighbours on the same distance in any order."""
        del features
        return WaffleInputs(
            neighbors=hash_neighbors(coords, self.num_neighbors),
            cells=cells_of_tensor(coords, self.grid),
        )


def waffle_inputs(batch: Batch) -> WaffleInputs:
    """The inputs of a batch that was prepared for a WaffleIron.

    Raises:
        TypeError: If it was prepared for another kind of network.
    """
    if not isinstance(batch.inputs, WaffleInputs):
        msg = f"the batch holds {type(batch.inputs).__name__}, a WaffleIron needs WaffleInputs"
        raise TypeError(msg)
    return batch.inputs
