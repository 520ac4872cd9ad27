"""Objects of a scan that nobody has named: ground taken away, clusters, their boxes.

Shape letters: N points, O objects, C channels.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lidistill.instances.config import DiscoveryConfig
from lidistill.instances.density import density_clusters
from lidistill.instances.ground import height_over_ground
from lidistill.instances.rectangle import Rectangle, smallest_rectangle


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundObject:
    """A cluster that may be an object."""

    number: int
    """In its scan, from 1."""
    num_points: int
    box: Rectangle
    """Seen from above."""
    bottom: float
    """Lowest z, metres."""
    top: float
    """Highest z, metres."""
    height: float
    """Of its highest point over the ground, metres."""


def find_objects(
    points: NDArray[np.floating], config: DiscoveryConfig | None = None
) -> tuple[NDArray[np.int32], tuple[FoundObject, ...]]:
    """(N,) object of each point, from 1, 0: none; and the objects, by the first point.

    Args:
        points: (N, 3) metres, the lidar at the origin, z up; those that are not finite are of none.
        config: None: as it is by default.
    """
    config = config or DiscoveryConfig()
    height = height_over_ground(points, config.ground)
    above = np.flatnonzero(height >= config.ground.step)  # NaN is not
    cluster = density_clusters(
        points[above].astype(np.float64),
        radius=config.radius,
        min_neighbors=config.min_neighbors,
        near=config.near,
    )
    label = np.zeros(len(points), np.int32)
    objects: list[FoundObject] = []
    order = np.argsort(cluster, kind="stable")
    ends = np.cumsum(np.bincount(cluster))[:-1] if len(cluster) else np.zeros(0, np.int64)
    for members in np.split(above[order], ends)[1:]:
        found = _object(points[members], height[members], len(objects) + 1, config)
        if found is not None:
            objects.append(found)
            label[members] = found.number
    return label, tuple(objects)


def mean_features(
    features: NDArray[np.floating], label: NDArray[np.integer], num_objects: int
) -> NDArray[np.float32]:
    """(O, C) mean of the unit features of every object, of length one.

    NaN for an object of which no point has a feature.

    Args:
        features: (N, C); NaN where a point has none.
        label: (N,) objects from 1, 0: none.
        num_objects: O.
    """
    kept = (label > 0) & ~np.isnan(features[:, 0])
    own = label[kept] - 1
    rows = features[kept].astype(np.float64)
    rows /= np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
    total = np.zeros((num_objects, features.shape[1]))
    np.add.at(total, own, rows)
    count = np.bincount(own, minlength=num_objects)
    length = np.linalg.norm(total, axis=1, keepdims=True)
    unit = np.divide(total, length, out=np.full_like(total, np.nan), where=length > 0)
    return np.where(count[:, None] > 0, unit, np.nan).astype(np.float32)


def _object(
    points: NDArray[np.floating],
    height: NDArray[np.float64],
    number: int,
    config: DiscoveryConfig,
) -> FoundObject | None:
    """A cluster's box; None where it is too small, too large, or flat."""
    top = float(height.max())
    if len(points) < config.min_points or top < config.min_height:
        return None
    box = smallest_rectangle(points[:, :2])
    if box is None or box.long > config.max_length:
        return None
    low, high = float(points[:, 2].min()), float(points[:, 2].max())
    return FoundObject(
        number=number, num_points=len(points), box=box, bottom=low, top=high, height=top
    )
