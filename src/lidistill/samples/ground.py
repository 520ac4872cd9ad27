"""Height over the ground around a point, fast enough for every training sample.

``instances.ground`` finds the ground more exactly, in cells of half a metre, to tell objects from
it; a network's input wants a number that is about right in a millisecond, whatever the lidar's
height and tilt.

Shape letters: N points of a scan; R x C cells seen from above.
"""

import math
from typing import Final

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from scipy import ndimage

from lidistill.compiled import compiled_exactly, compiling

CELL: Final = 1.0
"""Side of a cell, metres; larger where a scan spans more than ``MOST_CELLS`` of them."""
MOST_CELLS: Final = 2048  # along each side
SLOPE: Final = 0.2
"""Metres that the ground may rise a metre; what rises faster stands on it."""
PIT: Final = 0.5
"""Metres; a deeper hole of less than three cells is a reflection from below the ground."""
_DIAGONAL: Final = math.sqrt(2.0)


def height_over_ground(points: NDArray[np.floating]) -> NDArray[np.float32]:
    """(N,) metres over the ground below each point; NaN where a point is not finite.

    The lowest point of every cell makes a surface. Narrow deep holes in it are filled up to their
    rim; then the ground is the highest surface below it that nowhere rises faster than ``SLOPE``
    from cell to cell, where a step to one of eight neighbours is 1 or the root of 2.

    Args:
        points: (N, 3) metres, z up.
    """
    if not compiling():
        return _by_definition(points)
    xyz = np.ascontiguousarray(points)
    low, high = _extremes(xyz)
    if not (low <= high).all():
        return np.full(len(points), np.nan, dtype=np.float32)
    cell, first, lowest = _empty_cells(low, high)
    places = _lower(xyz, cell, first, lowest)
    ground = _without_pits(lowest)
    _sweep(ground, SLOPE * cell)
    return _above(xyz, places, ground)


def _by_definition(points: NDArray[np.floating]) -> NDArray[np.float32]:
    """See ``height_over_ground``."""
    height = np.full(len(points), np.nan, dtype=np.float32)
    known = np.isfinite(points).all(axis=1)
    if not known.any():
        return height
    xy, z = points[known, :2].astype(np.float64), points[known, 2].astype(np.float64)
    cell, first, lowest = _empty_cells(xy.min(axis=0), xy.max(axis=0))
    place = tuple((np.floor(xy / cell).astype(np.int64) - first).T)
    np.minimum.at(lowest, place, z)
    height[known] = z - _ground_by_definition(lowest, SLOPE * cell)[place]
    return height


def _empty_cells(
    low: NDArray[np.float64], high: NDArray[np.float64]
) -> tuple[float, NDArray[np.int64], NDArray[np.float64]]:
    """Side of a cell, (2,) the first one, and (R, C) infinite heights, for points from x, y on."""
    cell = max(CELL, float((high - low).max()) / MOST_CELLS)
    first = np.floor(low / cell).astype(np.int64)
    rows, columns = (np.floor(high / cell).astype(np.int64) - first + 1).tolist()
    return cell, first, np.full((rows, columns), np.inf)


def _ground_by_definition(lowest: NDArray[np.float64], rise: float) -> NDArray[np.float64]:
    """(R, C) ground below the lowest points; cells without any are infinite."""
    known = np.where(np.isfinite(lowest), lowest, -np.inf)
    rim = ndimage.minimum_filter(
        ndimage.maximum_filter(known, size=3, mode="nearest"), size=3, mode="nearest"
    )
    ground: NDArray[np.float64] = np.where(rim - lowest > PIT, rim, lowest)
    step = rise * np.array([[_DIAGONAL, 1, _DIAGONAL], [1, 0, 1], [_DIAGONAL, 1, _DIAGONAL]])
    while True:
        around = sliding_window_view(np.pad(ground, 1, constant_values=np.inf), (3, 3))
        lower = (around + step).min(axis=(2, 3))
        if np.array_equal(lower, ground):
            return ground
        ground = lower


@compiled_exactly
def _extremes(points: NDArray[np.floating]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Least and greatest x and y of the finite points."""
    low, high = np.full(2, np.inf), np.full(2, -np.inf)
    for x, y, z in points:
        if np.isfinite(x) and np.isfinite(y) and np.isfinite(z):
            low[0], low[1] = min(low[0], x), min(low[1], y)
            high[0], high[1] = max(high[0], x), max(high[1], y)
    return low, high


@compiled_exactly
def _lower(
    points: NDArray[np.floating],
    cell: float,
    first: NDArray[np.int64],
    lowest: NDArray[np.float64],
) -> NDArray[np.int32]:
    """Enter the lowest points into their cells; (N, 2) cell of each point, -1 where none."""
    places = np.full((len(points), 2), -1, dtype=np.int32)
    for point in range(len(points)):
        x, y, z = points[point]
        if np.isfinite(x) and np.isfinite(y) and np.isfinite(z):
            row = int(np.floor(np.float64(x) / cell)) - first[0]
            column = int(np.floor(np.float64(y) / cell)) - first[1]
            places[point, 0], places[point, 1] = row, column
            lowest[row, column] = min(lowest[row, column], z)
    return places


@compiled_exactly
def _above(
    points: NDArray[np.floating], places: NDArray[np.int32], ground: NDArray[np.float64]
) -> NDArray[np.float32]:
    height = np.full(len(points), np.nan, dtype=np.float32)
    for point in range(len(points)):
        row, column = places[point]
        if row >= 0:
            height[point] = points[point, 2] - ground[row, column]
    return height


@compiled_exactly
def _without_pits(lowest: NDArray[np.float64]) -> NDArray[np.float64]:
    rows, columns = lowest.shape
    top = np.full((rows, columns), -np.inf)
    for row in range(rows):
        for column in range(columns):
            value = lowest[row, column]
            if value < np.inf:
                for r in range(max(0, row - 1), min(rows, row + 2)):
                    for c in range(max(0, column - 1), min(columns, column + 2)):
                        top[r, c] = max(top[r, c], value)
    filled = lowest.copy()
    for row in range(rows):
        for column in range(columns):
            if lowest[row, column] < np.inf:
                rim = np.inf
                for r in range(max(0, row - 1), min(rows, row + 2)):
                    for c in range(max(0, column - 1), min(columns, column + 2)):
                        rim = min(rim, top[r, c])
                if rim - lowest[row, column] > PIT:
                    filled[row, column] = rim
    return filled


@compiled_exactly
def _sweep(ground: NDArray[np.float64], rise: float) -> None:
    """Lower a surface, in place, to the highest one that rises slowly: there and back again.

    References:
        Borgefors, "Distance transformations in digital images", CVGIP 1986: two passes suffice.
    """
    rows, columns = ground.shape
    across = rise * _DIAGONAL
    for row in range(rows):
        for column in range(columns):
            value = ground[row, column]
            if column:
                value = min(value, ground[row, column - 1] + rise)
            if row:
                value = min(value, ground[row - 1, column] + rise)
                if column:
                    value = min(value, ground[row - 1, column - 1] + across)
                if column + 1 < columns:
                    value = min(value, ground[row - 1, column + 1] + across)
            ground[row, column] = value
    for row in range(rows - 1, -1, -1):
        for column in range(columns - 1, -1, -1):
            value = ground[row, column]
            if column + 1 < columns:
                value = min(value, ground[row, column + 1] + rise)
            if row + 1 < rows:
                value = min(value, ground[row + 1, column] + rise)
                if column:
                    value = min(value, ground[row + 1, column - 1] + across)
                if column + 1 < columns:
                    value = min(value, ground[row + 1, column + 1] + across)
            ground[row, column] = value
