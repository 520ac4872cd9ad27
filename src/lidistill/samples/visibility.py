"""Which points a camera can see, judged by the scan alone: a depth test.

A lidar and a camera that sit apart see past different edges: a point behind a pole, as the camera
sees it, falls on the pole's pixels.

Shape letters: P points that fall into an image.
"""

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import minimum_filter

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
    columns, rows = (math.ceil(length / side) for length in size_hw[::-1])
    column = np.clip((uv[:, 0] / side).astype(np.int64), 0, columns - 1)
    row = np.clip((uv[:, 1] / side).astype(np.int64), 0, rows - 1)
    place = row * columns + column
    nearest = np.full(rows * columns, np.inf)
    np.minimum.at(nearest, place, depth)
    around = minimum_filter(nearest.reshape(rows, columns), size=3, mode="nearest").ravel()
    front = around[place]
    on_one_plane = 1 / front - 1 / depth <= 2 * side / focal_px / nearest_ground
    return np.asarray(on_one_plane | (depth <= front + margin))
