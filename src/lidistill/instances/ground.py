"""Height over the ground, found without labels.

Shape letters: N points, H x W cells seen from above.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from lidistill.instances.config import GroundConfig

_WINDOWS: Final = (3, 5, 9, 17, 33)
"""Cells of each opening: with cells of half a metre objects up to 16 m wide are taken away."""
_MAX_STEP: Final = 2.5  # metres, however wide the window
_PIT: Final = 3  # cells; narrower holes that are deep are reflections from below the ground
_DEPTH: Final = 0.5  # metres


def height_over_ground(
    points: NDArray[np.floating], config: GroundConfig | None = None
) -> NDArray[np.float64]:
    """(N,) metres over the ground below each point; NaN where a point is not looked at.

    The lowest point of every cell makes a surface, from which openings with growing windows take
    away whatever rises faster than the ground may.

    Args:
        points: (N, 3) metres, z up; those that are not finite or too far are not looked at.
        config: None: as it is by default.

    References:
        Zhang et al., "A progressive morphological filter for removing nonground measurements from
        airborne LIDAR data", IEEE TGRS 2003.
    """
    config = config or GroundConfig()
    height = np.full(len(points), np.nan)
    finite = np.isfinite(points).all(axis=1)
    near = np.flatnonzero(
        finite & (np.abs(np.where(finite[:, None], points, 0.0)[:, :2]) < config.reach).all(axis=1)
    )
    if not len(near):
        return height
    xyz = points[near].astype(np.float64)
    cells = np.floor(xyz[:, :2] / config.cell).astype(np.int64)
    cells -= cells.min(axis=0)
    surface = np.full(tuple(cells.max(axis=0) + 1), np.inf)
    np.minimum.at(surface, (cells[:, 0], cells[:, 1]), xyz[:, 2])
    ground = _opened(_filled(surface), config)
    height[near] = xyz[:, 2] - ground[cells[:, 0], cells[:, 1]]
    return height


def _filled(surface: NDArray[np.float64]) -> NDArray[np.float64]:
    """(H, W) the surface, with the nearest cell's height where a cell has none."""
    empty = ~np.isfinite(surface)
    nearest = ndimage.distance_transform_edt(empty, return_distances=False, return_indices=True)
    filled: NDArray[np.float64] = surface[tuple(nearest)]
    return filled


def _opened(surface: NDArray[np.float64], config: GroundConfig) -> NDArray[np.float64]:
    """(H, W) the ground: the surface without what stands on it."""
    closed = ndimage.grey_closing(surface, size=(_PIT, _PIT))
    ground = np.where(closed - surface > _DEPTH, closed, surface)
    before = 1
    for window in _WINDOWS:
        opened = ndimage.grey_opening(ground, size=(window, window))
        rise = config.slope * (window - before) * config.cell + config.step
        too_high = ground - opened > min(rise, _MAX_STEP)
        ground = np.where(too_high, opened, ground)
        before = window
    return ground
