"""How much of the ground's light a lidar loses in its noise, as seen in the scan itself.

Shape letters: G points on the ground, D bins of distance, I bins of intensity.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from lidistill.robustness.scan import Float32, Float64

_NEAR, _FAR = 10.0, 70.0  # metres
_NUM_DISTANCES: Final = 50
_NUM_INTENSITIES: Final = 2555
_LEAST: Final = 5.0
_FEW: Final = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A straight line over distance."""

    slope: float
    height: float

    def at(self, distance: Float64) -> Float64:
        """(G,) its values."""
        return self.slope * distance + self.height


@dataclass(frozen=True, slots=True, kw_only=True)
class GroundLight:
    """The points on the ground, as a lidar with a flat road below sees them."""

    distance: Float64
    """(G,) metres."""
    angle: Float64
    """(G,) incidence: radians from straight down."""
    cosine: Float64
    """(G,) of the angle."""
    facing: Float64
    """(G,) intensity as it would be straight down."""

    @property
    def trend(self) -> Line:
        """Straight line through the intensities."""
        return fitted(self.distance, self.facing)

    def noise(self, low: float) -> Line:
        """The intensities below which nothing was noticed, over distance.

        In each of 50 bins of distance, it is the lower edge of the first of the least filled bins
        of intensity; empty ones do not count. Where fewer than four lie above 5, it is the trend.

        Args:
            low: Where the histogram of intensities begins.
        """
        counts, centres, edges = self._histogram(low)
        counts[counts == 0] = len(self.distance)
        least = edges[np.argmin(counts, axis=1)]
        usable = least > _LEAST
        if np.count_nonzero(usable) <= _FEW:
            return self.trend
        return fitted(centres[usable], least[usable])

    def _histogram(self, low: float) -> tuple[NDArray[np.int64], Float64, Float64]:
        """(D, I) counts, (D,) middles of the distances, (I + 1,) edges of the intensities."""
        high = float(self.facing.max())
        along = np.linspace(_NEAR, _FAR, _NUM_DISTANCES + 1)
        edges = np.linspace(low, high, _NUM_INTENSITIES + 1)
        row = _bin_of(self.distance, along)
        column = _bin_of(self.facing, edges)
        inside = (row >= 0) & (column >= 0)
        cell = row[inside] * _NUM_INTENSITIES + column[inside]
        counts = np.bincount(cell, minlength=_NUM_DISTANCES * _NUM_INTENSITIES)
        return counts.reshape(_NUM_DISTANCES, -1), (along[:-1] + along[1:]) / 2, edges


def _bin_of(values: Float64, edges: Float64) -> NDArray[np.int64]:
    """(G,) bin of each value; -1 outside. The last bin holds its upper edge, too."""
    num = len(edges) - 1
    found = np.searchsorted(edges, values, side="right") - 1
    found[values == edges[-1]] = num - 1
    found[found >= num] = -1
    return found


def ground_light(points: Float32, distance: Float64, intensity: Float64) -> GroundLight:
    """What the points on the ground send back.

    Args:
        points: (G, 3) metres, in a frame whose z axis points up from the lidar.
        distance: (G,) their range, metres.
        intensity: (G,) their intensity.
    """
    cosine = -points[:, 2] / distance
    return GroundLight(
        distance=distance, angle=np.arccos(cosine), cosine=cosine, facing=intensity / cosine
    )


def fitted(x: Float64, y: Float64) -> Line:
    """Least squares: the straight line through (G,) values over (G,) places."""
    middle, level = x.mean(), y.mean()
    away = x - middle
    slope = float(away @ (y - level) / (away @ away))
    return Line(slope=slope, height=float(level - slope * middle))
