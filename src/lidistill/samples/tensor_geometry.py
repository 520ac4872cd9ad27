"""Voxels, field of view, cells and the point limit as tensors, on any device.

The NumPy versions, named beside each, are the definition; the integers are the same. Divisors
are tensors: a GPU multiplies by the reciprocal of a plain number, which may round otherwise.

Shape letters: N points of a cloud, V voxels, M points of a sample, G grids.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from lidistill.backbones.waffleiron.cells import MARGIN
from lidistill.config import GridConfig


def first_of_voxels(points: Tensor, size: float, permutation: Tensor) -> Tensor:
    """(V,) point of every voxel that comes first in an order: ``voxel.voxel_permuted``.

    Args:
        points: (N, 3) finite coordinates, metres; the voxel is computed in their own precision.
        size: Edge of a voxel, metres.
        permutation: (N,) int64 order in which the points are visited.
    """
    if not len(points):
        return permutation
    edge = torch.tensor(size, dtype=points.dtype, device=points.device)
    voxel = torch.trunc((points - points.amin(0)) / edge)
    order = permutation
    for axis in (2, 1, 0):  # each stable sort keeps the order of those before
        order = order[torch.argsort(voxel[order, axis], stable=True)]
    in_order = voxel[order]
    starts = torch.ones_like(order, dtype=torch.bool)
    starts[1:] = (in_order[1:] != in_order[:-1]).any(1)
    return order[starts]


def nearest_to(points: Tensor, centre: int, max_points: int) -> Tensor:
    """Indices of the points nearest to one of them: ``transforms.limit_to_nearest``.

    Args:
        points: (N, 3) metres.
        centre: One of them.
        max_points: How many are kept.
    """
    if len(points) <= max_points:
        return torch.arange(len(points), device=points.device)
    distance2 = squared_norm(points - points[centre])
    return torch.argsort(distance2, stable=True)[:max_points]


def squared_norm(points: Tensor) -> Tensor:
    """(N,) sum of three squares, added in their order on every device."""
    x, y, z = (points * points).unbind(1)
    return x + y + z


def inside_view(coords: Tensor, grid: GridConfig) -> Tensor:
    """(N,) whether each (N, 3) point lies in the field of view: ``cells.crop_mask``."""
    position = coords.double()
    low = _float64(grid.fov_min, coords.device) + MARGIN
    high = _float64(grid.fov_max, coords.device) - MARGIN
    return ((position > low) & (position < high)).all(1)


def grid_cells(coords: Tensor, grid: GridConfig) -> Tensor:
    """(M, G) row-major cell of every (M, 3) point in every grid: ``cells.cell_indices``."""
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
