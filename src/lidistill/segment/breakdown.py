"""Groups of points that are scored on their own: rings of distance, and how dense the scan is.

Shape letters: N points of a frame.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from lidistill.records import Frame

_CUBE: Final = 1.0  # metres, edge of the cubes in which points are counted
_RANGE: Final = 2**20  # cubes along an axis; points are at most some hundred metres away


@dataclass(frozen=True, slots=True, kw_only=True)
class Breakdown:
    """A way to divide the points of a frame into groups, by thresholds on one number."""

    names: tuple[str, ...]
    """Of the groups, from low to high."""
    limits: tuple[float, ...]
    """Where one group ends and the next begins; one fewer than groups."""
    measure: Callable[[Frame], NDArray[np.floating]]
    """(N,) number of each point."""

    def groups(self, frame: Frame) -> NDArray[np.intp]:
        """(N,) group of each point."""
        return np.digitize(self.measure(frame), self.limits)


def distance(frame: Frame) -> NDArray[np.floating]:
    """(N,) horizontal distance from the sensor, metres."""
    return np.hypot(frame.points[:, 0], frame.points[:, 1])


def neighbourhood(frame: Frame) -> NDArray[np.floating]:
    """(N,) points of the scan in the same cube of one metre, the point itself included."""
    finite = np.isfinite(frame.points).all(axis=1)
    cube = np.floor(frame.points[finite] / _CUBE).astype(np.int64) + _RANGE // 2
    key = (cube[:, 0] * _RANGE + cube[:, 1]) * _RANGE + cube[:, 2]
    _, inverse, counts = np.unique(key, return_inverse=True, return_counts=True)
    number = np.zeros(len(frame.points))
    number[finite] = counts[inverse]
    return number


BREAKDOWNS: Final = {
    "distance": Breakdown(
        names=("0-20 m", "20-40 m", "40+ m"), limits=(20.0, 40.0), measure=distance
    ),
    "points_in_1m": Breakdown(
        names=("1-4 points", "5-19 points", "20-99 points", "100+ points"),
        limits=(5.0, 20.0, 100.0),
        measure=neighbourhood,
    ),
}
"""Every breakdown of an evaluation, by its key in ``results.json``."""
