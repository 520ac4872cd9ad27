"""The smallest rectangle around points seen from above.

Shape letters: N points, H corners of their convex hull.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import ConvexHull, QhullError


@dataclass(frozen=True, slots=True, kw_only=True)
class Rectangle:
    """A rectangle that stands on one of its sides or is turned."""

    long: float
    """Metres."""
    short: float
    """Metres."""
    center: tuple[float, float]
    """x, y, metres."""
    heading: float
    """Direction of the long side, radians from the x axis, in [0, pi)."""


def smallest_rectangle(xy: NDArray[np.floating]) -> Rectangle | None:
    """The rectangle of least area around points; None where they lie on a line.

    One side of it lies on an edge of the convex hull.

    Args:
        xy: (N, 2) metres.

    References:
        Freeman and Shapira, "Determining the minimum-area encasing rectangle for an arbitrary
        closed curve", Communications of the ACM 1975.
    """
    if len(xy) < 3:
        return None
    try:
        hull = xy[ConvexHull(xy).vertices].astype(np.float64)
    except QhullError:
        return None
    edges = np.roll(hull, -1, axis=0) - hull
    angles = np.unique(np.arctan2(edges[:, 1], edges[:, 0]) % (np.pi / 2))
    cos, sin = np.cos(angles), np.sin(angles)
    along = np.outer(hull[:, 0], cos) + np.outer(hull[:, 1], sin)  # (H, angles)
    across = np.outer(hull[:, 1], cos) - np.outer(hull[:, 0], sin)
    length, width = np.ptp(along, axis=0), np.ptp(across, axis=0)
    best = int(np.argmin(length * width))
    u = (along[:, best].max() + along[:, best].min()) / 2
    v = (across[:, best].max() + across[:, best].min()) / 2
    turned = width[best] > length[best]
    return Rectangle(
        long=float(max(length[best], width[best])),
        short=float(min(length[best], width[best])),
        center=(float(u * cos[best] - v * sin[best]), float(u * sin[best] + v * cos[best])),
        heading=float(angles[best] + (np.pi / 2 if turned else 0.0)),
    )
