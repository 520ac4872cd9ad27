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

from lidistill.backbones.base import own_inputs
from lidistill.backbones.waffleiron.cpu.neighbor_search import search
from lidistill.backbones.waffleiron.gpu.hash_neighbors import hash_neighbors
from lidistill.backbones.waffleiron.grid import GridConfig
from lidistill.backbones.waffleiron.plane import Flatten, Plane, build_plane
from lidistill.compiled import compiling
from lidistill.records import Batch
from lidistill.samples.nearest import nearest_by_scipy
from lidistill.samples.preparer import Channel, FieldOfView


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


def build_planes(batch: Batch, grid: GridConfig, depth: int, flatten: Flatten) -> list[Plane]:
    """Tables of the grids that the first ``depth`` layers use, built once per batch.

    Raises:
        ValueError: If the batch was prepared for another number of grids.
    """
    cells = own_inputs(batch, WaffleInputs).cells
    found, expected = cells.shape[1], len(grid.planes)
    if found != expected:
        msg = f"the batch has the cells of {found} grids, this backbone needs {expected}"
        raise ValueError(msg)
    scan = batch.scan_index()
    return [
        build_plane(cells[:, i], scan, num_scans=batch.num_scans, size_hw=size, flatten=flatten)
        for i, size in enumerate(grid.planes[:depth])
    ]


def nearest_neighbors(points: NDArray[np.floating], k: int) -> NDArray[np.int64]:
    """Every point and its ``k`` nearest others, the nearest first.

    Args:
        points: (M, 3) metres.
        k: Number of neighbours beside the point itself.

    Returns:
        (M, 1 + K) indices. The point itself comes first even where others lie on the same spot.
        With fewer than K other points the row is filled up with the point itself, whose
        difference to itself is zero. Points on exactly the same distance come in any order.
    """
    if not len(points):
        return np.zeros((0, 1 + k), dtype=np.int64)
    return search(points, k) if k and compiling() else nearest_by_scipy(points, k)


def cell_indices(coords: NDArray[np.floating], grid: GridConfig) -> NDArray[np.int64]:
    """Row-major cell of every point in the plane of every grid.

    Args:
        coords: (M, 3) metres, inside the field of view.
        grid: Field of view, axes and planes.

    Returns:
        (M, G) ``first * width + second``, where the plane is spanned by the axes that are not
        projected out, in increasing order.

    References:
        WaffleIron (ICCV 2023), section 3.2.
    """
    position = coords.astype(np.float64) - np.array(grid.fov_min)
    extent = np.array(grid.fov_max) - np.array(grid.fov_min)
    columns = []
    for axis, (height, width) in zip(grid.axes, grid.planes, strict=True):
        first, second = (other for other in range(3) if other != axis)
        row = (position[:, first] / (extent[first] / height)).astype(np.int64)
        column = (position[:, second] / (extent[second] / width)).astype(np.int64)
        columns.append(row * width + column)
    return np.stack(columns, axis=1)


def cells_of_tensor(coords: Tensor, grid: GridConfig) -> Tensor:
    """(M, G) ``cell_indices`` of (M, 3) points, on their device; the integers are the same.

    Divisors are tensors: a GPU multiplies by the reciprocal of a plain number, which may round
    otherwise.
    """
    low, high = _float64(grid.fov_min, coords.device), _float64(grid.fov_max, coords.device)
    position, extent = coords.double() - low, high - low
    columns = []
    for axis, size_hw in zip(grid.axes, grid.planes, strict=True):
        rest = [other for other in range(3) if other != axis]
        edge = extent[rest] / _float64(size_hw, coords.device)
        row, column = (position[:, rest] / edge).long().unbind(1)
        columns.append(row * size_hw[1] + column)
    return torch.stack(columns, 1)


def _float64(values: Sequence[float], device: torch.device) -> Tensor:
    return torch.tensor(values, dtype=torch.float64, device=device)
