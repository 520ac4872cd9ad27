"""A scan as a map: points seen from above, each as a pixel."""

import numpy as np
from numpy.typing import NDArray

_BACKGROUND = (18, 20, 26)


def from_above(
    points: NDArray[np.floating],
    colors: NDArray[np.uint8],
    *,
    reach: float = 40.0,
    side: int = 480,
) -> NDArray[np.uint8]:
    """(side, side, 3) map around the lidar, its y axis up; higher points cover lower ones.

    Args:
        points: (N, 3) metres.
        colors: (N, 3).
        reach: Metres from the middle to the edge.
        side: Pixels.
    """
    near = np.flatnonzero((np.abs(points[:, :2]) < reach).all(axis=1))
    order = near[np.argsort(points[near, 2], kind="stable")]
    cell = (points[order, :2] + reach) * (side / (2 * reach))
    column, row = np.clip(cell.astype(np.int64), 0, side - 1).T
    drawn = np.empty((side, side, 3), dtype=np.uint8)
    drawn[:] = _BACKGROUND
    drawn[side - 1 - row, column] = colors[order]
    return drawn
