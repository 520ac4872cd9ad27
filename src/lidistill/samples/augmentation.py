"""From points to what a network is given: augmentation and field of view.

Shape letters: N points, M of them. Points: metres in the lidar frame; angles: radians.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Final, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from lidistill.config import Config
from lidistill.samples.preparer import FieldOfView

_GOLDEN_RATIO: Final = (5**0.5 - 1) / 2  # its multiples spread over the unit interval
_MAX_CENTRES: Final = 16
CROP_MARGIN: Final = 1e-4  # metres that points must lie further inside a field of view


def rotate(
    points: NDArray[np.floating], angle: float, axes: tuple[int, int] = (0, 1)
) -> NDArray[np.floating]:
    """(N, 3) points turned by an angle from the first of two axes towards the second."""
    first, second = axes
    cos = points.dtype.type(np.cos(angle))
    sin = points.dtype.type(np.sin(angle))
    turned = points.copy()
    turned[:, first] = points[:, first] * cos - points[:, second] * sin
    turned[:, second] = points[:, first] * sin + points[:, second] * cos
    return turned


def flip(points: NDArray[np.floating], axis: int) -> NDArray[np.floating]:
    """(N, 3) points with one coordinate negated."""
    flipped = points.copy()
    flipped[:, axis] = -flipped[:, axis]
    return flipped


def scale(values: NDArray[np.floating], factor: float) -> NDArray[np.floating]:
    """(N, C) values times one factor, in their own precision."""
    return values * values.dtype.type(factor)


def sphere_crop(
    points: NDArray[np.floating], centre_index: int, max_points: int
) -> NDArray[np.int64]:
    """Indices of the points nearest to one of them.

    Returns:
        (min(N, max_points),) indices, the nearest first; all in their order where none is left out.
    """
    if len(points) <= max_points:
        return np.arange(len(points))
    distance2 = squared_norm(points - points[centre_index])
    if distance2.dtype != np.float32:
        return np.argsort(distance2, kind="stable")[:max_points].astype(np.int64, copy=False)
    # Positive numbers sort like their bits. With the index in the low ones values are sorted
    # instead of indices, for which NumPy has vector instructions, and equals keep their order.
    ranked = (distance2.view(np.uint32).astype(np.int64) << 32) | np.arange(len(points))
    return np.sort(ranked)[:max_points] & 0xFFFFFFFF


def candidate_centers(share: float, count: int) -> Iterator[int]:
    """Which of so many points may be the centre of a limit: the drawn one, then others, spread out.

    A long-range lidar has points far outside the field of view, and all neighbours of such a point
    may lie there, too; the next is for a sample that would be empty.

    Args:
        share: In [0, 1), drawn.
        count: Number of points, at least one.
    """
    for attempt in range(_MAX_CENTRES):
        yield int((share + attempt * _GOLDEN_RATIO) % 1.0 * count)


def with_radius(points: NDArray[np.floating]) -> NDArray[np.floating]:
    """(N, 4) x, y, z and the distance from the sensor."""
    channels = np.empty((len(points), 4), dtype=points.dtype)
    channels[:, :3] = points
    channels[:, 3] = np.sqrt(squared_norm(points))
    return channels


def squared_norm(points: NDArray[np.floating]) -> NDArray[np.floating]:
    """(N,) sum of the three squares, in their order; a sum over rows of three takes longer."""
    x, y, z = points.T
    total: NDArray[np.floating] = x * x + y * y + z * z
    return total


@dataclass(frozen=True, slots=True, kw_only=True)
class Augmented:
    """Points after augmentation."""

    coords: NDArray[np.floating]
    """(N, 3) metres; decide on the field of view and the backbone's inputs."""
    channels: NDArray[np.floating]
    """(N, 4) x, y, z and radius as the backbone sees them, metres."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Augmentation:
    """One draw of an augmentation; the default changes nothing."""

    angle: float = 0.0
    """Rotation of the coordinates about z, radians."""
    flip_axis: int | None = None
    """Coordinate that changes its sign, 0 or 1."""
    factor: float = 1.0
    """Scale of x, y and z alike."""
    feature_angle: float | None = None
    """Rotation of the feature copies of x and y, radians; None: features follow the coordinates."""

    def apply(self, points: NDArray[np.floating]) -> Augmented:
        """Augment (N, 3) points.

        References:
            ScaLR (CVPR 2024): for distillation, features are computed from augmented coordinates;
            downstream, they are turned on their own, are not flipped, and alone are scaled.
        """
        coords = rotate(points, self.angle) if self.angle else points
        if self.flip_axis is not None:
            coords = flip(coords, self.flip_axis)
        if self.feature_angle is None:
            coords = scale(coords, self.factor)
            return Augmented(coords=coords, channels=with_radius(coords))
        channels = with_radius(rotate(points, self.feature_angle))
        return Augmented(coords=coords, channels=scale(channels, self.factor))


class AugmentationConfig(Config):
    """How scans are augmented in training.

    ``distill``: coordinates are rotated about z, flipped and scaled, features follow them.
    ``finetune``: features have a rotation of their own, flips act on coordinates only and scales
    on features only.
    """

    kind: Literal["distill", "finetune", "none"] = "distill"
    max_angle: Annotated[float, Field(ge=0)] = float(np.pi)  # radians, to both sides
    flip_probability: Annotated[float, Field(ge=0, le=1)] = 2 / 3  # of x or y, never both
    scale_range: Annotated[float, Field(ge=0, lt=1)] = 0.1  # factors 1 - range to 1 + range

    def draw(self, rng: np.random.Generator) -> Augmentation:
        """Draw the numbers of one augmentation; every kind takes equally many from ``rng``."""
        angle, feature_angle, flipped, axis, factor = rng.uniform(size=5)
        if self.kind == "none":
            return Augmentation()
        return Augmentation(
            angle=(2 * angle - 1) * self.max_angle,
            flip_axis=int(2 * axis) if flipped < self.flip_probability else None,
            factor=1 + (2 * factor - 1) * self.scale_range,
            feature_angle=(2 * feature_angle - 1) * self.max_angle
            if self.kind == "finetune"
            else None,
        )


def crop_mask(coords: NDArray[np.floating], view: FieldOfView) -> NDArray[np.bool_]:
    """(M,) whether each of the (M, 3) points, metres, lies inside the field of view."""
    inside = np.ones(len(coords), dtype=bool)
    for column, low, high in zip(coords.T, view.low, view.high, strict=True):
        # Whatever their own precision, coordinates are compared in double.
        inside &= column > np.float64(low + CROP_MARGIN)
        inside &= column < np.float64(high - CROP_MARGIN)
    return inside
