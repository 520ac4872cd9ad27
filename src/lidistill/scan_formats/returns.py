"""Beams that did not come back: one mark for them, whatever convention their file has.

Some drivers write NaN or infinity, others (0, 0, 0). Readers turn both into points whose three
coordinates are NaN. Such a point keeps its row, so that labels and features still fit, and plays no
part in anything else.

Shape letters: N points.
"""

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from lidistill.records import Frame

Real = TypeVar("Real", bound=np.floating)


def has_return(points: NDArray[np.floating]) -> NDArray[np.bool_]:
    """(N,) whether a beam came back: all coordinates are finite, and not all of them zero.

    Args:
        points: (N, 3) in the lidar's own frame.
    """
    x, y, z = points.T
    finite = np.isfinite(x) & np.isfinite(y) & np.isfinite(z)
    return np.asarray(finite & ((x != 0) | (y != 0) | (z != 0)))


def mark_missing(points: NDArray[Real]) -> NDArray[Real]:
    """(N, 3) the same points, all three coordinates NaN where no beam came back.

    Args:
        points: (N, 3) in the lidar's own frame; left as they are.
    """
    returned = has_return(points)
    if returned.all():
        return points
    marked = points.copy()
    marked[~returned] = np.nan
    return marked


def present(frame: Frame) -> Frame:
    """A frame without the points, intensities and labels of beams that did not come back."""
    returned = has_return(frame.points)
    if returned.all():
        return frame
    return frame.take(returned)
