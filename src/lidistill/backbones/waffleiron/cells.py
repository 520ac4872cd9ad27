"""Which cell of each 2D grid a point falls into, of arrays and of tensors.

Shape letters: M points, G grids.
"""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lidistill.backbones.waffleiron.grid import GridConfig


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
