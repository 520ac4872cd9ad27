"""Which cell of each 2D grid a point falls into, and which points lie in the field of view.

Shape letters: M points, G grids.
"""

import numpy as np
from numpy.typing import NDArray

from lidistill.config import GridConfig

MARGIN = 1e-4
"""Points must lie further inside the field of view than this, metres."""


def crop_mask(coords: NDArray[np.floating], grid: GridConfig) -> NDArray[np.bool_]:
    """(M,) whether each of the (M, 3) points, metres, lies inside the field of view."""
    inside = np.ones(len(coords), dtype=bool)
    for column, low, high in zip(coords.T, grid.fov_min, grid.fov_max, strict=True):
        # Whatever their own precision, coordinates are compared in double.
        inside &= column > np.float64(low + MARGIN)
        inside &= column < np.float64(high - MARGIN)
    return inside


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
