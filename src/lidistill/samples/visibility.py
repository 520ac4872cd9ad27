"""Which points a camera can see, judged by the scan alone: a depth test.

A lidar and a camera that sit apart see past different edges: a point behind a pole, as the camera
sees it, falls on the pole's pixels.

Shape letters: P points that fall into an image.
"""

import math
from typing import Final

import numpy as np
import torch.nn.functional as F
from numpy.typing import NDArray
from scipy.ndimage import minimum_filter
from torch import Tensor

from lidistill.compiled import compiled_exactly, compiling

CELL: Final = math.radians(0.4)
"""Side of a cell, as the camera sees it; three of them span the rows of a lidar of 32 beams."""
MARGIN: Final = 0.5
"""Metres that a point may always lie behind the nearest one of its surroundings."""
NEAREST_GROUND: Final = 1.2
"""Metres from the camera to the plane of a road or a wall that it looks along."""


def visible_points(
    uv: NDArray[np.floating],
    depth: NDArray[np.floating],
    size_hw: tuple[int, int],
    *,
    focal_px: float,
    cell: float = CELL,
    margin: float = MARGIN,
    nearest_ground: float = NEAREST_GROUND,
) -> NDArray[np.bool_]:
    """(P,) whether a point is not much deeper than the nearest one around it in the image.

    The image is cut into square cells. Each cell's depth is the smallest among the points in it
    and its eight neighbours. How much deeper a point may lie grows with that depth, as it must on
    a plane that the camera looks along: at a distance h from the camera its inverse depth changes
    by at most 2 cell / h from one end of two cells to the other, so a point is occluded where its
    inverse depth is smaller by more than that, and its depth larger by more than the margin.
    A surface that no beam met hides nothing, so some occluded points pass.

    Args:
        uv: (P, 2) column and row in the image, pixels, inside of it.
        depth: (P,) along the camera's z axis, positive, metres.
        size_hw: Height and width of the image, pixels.
        focal_px: Focal length, pixels.
        cell: Side of a cell, radians in the middle of the image.
        margin: Metres.
        nearest_ground: h, metres.
    """
    if not len(uv):
        return np.zeros(0, dtype=bool)
    side = max(1.0, focal_px * cell)
    grid = (math.ceil(size_hw[0] / side), math.ceil(size_hw[1] / side))
    wide = np.ascontiguousarray(uv, dtype=np.float64), np.ascontiguousarray(depth, dtype=np.float64)
    judge = _judge_compiled if compiling() else _judge
    return judge(*wide, side, grid, 2 * side / focal_px / nearest_ground, margin)


def _judge(
    uv: NDArray[np.float64],
    depth: NDArray[np.float64],
    side: float,
    grid: tuple[int, int],
    slope: float,
    margin: float,
) -> NDArray[np.bool_]:
    """(P,) verdicts on points, by cells of so many pixels, of a grid of rows and columns."""
    rows, columns = grid
    column, row = (uv / side).astype(np.int64).T
    place = np.clip(row, 0, rows - 1) * columns + np.clip(column, 0, columns - 1)
    nearest = np.full(rows * columns, np.inf)
    np.minimum.at(nearest, place, depth)
    front = minimum_filter(nearest.reshape(grid), size=3, mode="nearest").ravel()[place]
    # The difference of both inverses, times their product.
    return np.asarray((depth - front <= slope * front * depth) | (depth <= front + margin))


@compiled_exactly
def _judge_compiled(
    uv: NDArray[np.float64],
    depth: NDArray[np.float64],
    side: float,
    grid: tuple[int, int],
    slope: float,
    margin: float,
) -> NDArray[np.bool_]:
    """See ``_judge``; a border of empty cells saves asking where the image ends."""
    rows, columns = grid
    nearest = np.full((rows + 2, columns + 2), np.inf)
    places = np.empty((len(depth), 2), dtype=np.int32)
    for point in range(len(depth)):
        row = min(max(int(uv[point, 1] / side), 0), rows - 1)
        column = min(max(int(uv[point, 0] / side), 0), columns - 1)
        places[point, 0], places[point, 1] = row, column
        nearest[row + 1, column + 1] = min(nearest[row + 1, column + 1], depth[point])
    across = np.empty((rows + 2, columns))
    for row in range(rows + 2):
        for column in range(columns):
            left, right = nearest[row, column], nearest[row, column + 2]
            across[row, column] = min(left, right, nearest[row, column + 1])
    seen = np.empty(len(depth), dtype=np.bool_)
    for point in range(len(depth)):
        row, column, own = places[point, 0], places[point, 1], depth[point]
        front = min(across[row, column], across[row + 1, column], across[row + 2, column])
        seen[point] = own - front <= slope * front * own or own <= front + margin
    return seen


def visible_on_device(
    uv: Tensor, depth: Tensor, size_hw: tuple[int, int], *, focal_px: float
) -> Tensor:
    """(P,) ``visible_points`` of float64 tensors, on their device."""
    side = max(1.0, focal_px * CELL)
    rows, columns = (math.ceil(length / side) for length in size_hw)
    column, row = (uv / side).long().unbind(1)
    place = row.clamp(0, rows - 1) * columns + column.clamp(0, columns - 1)
    nearest = depth.new_full((rows * columns,), math.inf).scatter_reduce(0, place, depth, "amin")
    around = -F.max_pool2d(-nearest.view(1, rows, columns), kernel_size=3, stride=1, padding=1)
    front = around.flatten()[place]
    slope = 2 * side / focal_px / NEAREST_GROUND
    return (depth - front <= slope * front * depth) | (depth <= front + MARGIN)
