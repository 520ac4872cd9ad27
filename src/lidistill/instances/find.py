"""Points of known classes, told apart into single objects.

Shape letters: N points, M points of one class.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lidistill.instances.boxes import InstanceConfig
from lidistill.instances.clusters import NeighborGraph
from lidistill.instances.rectangle import smallest_rectangle

_FINEST = 1e-3  # metres, where the search for a distance that cuts a cluster in two ends


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """How the points of one class are told apart."""

    long: float
    """Side of an object, metres."""
    short: float
    """Metres; points nearer than this may be joined."""
    neighbors: int
    """Nearest points that a point may be joined to."""
    margin: float | None
    """How many times an object's size a cluster may have; None: it is never cut."""


class InstanceFinder:
    """Tells objects apart by the size of their class, without any training.

    In each class every point is joined to its nearest neighbours, seen from above, if they are
    nearer than the short side of the class's box; what hangs together is an object. If wanted,
    clusters that are larger than the box are cut in two, again and again.

    Args:
        config: The boxes.
        class_names: Of the run, in the order of their ids.

    Raises:
        ConfigError: If a box is of none of the classes.

    References:
        Sautier et al., "Clustering is back: Reaching state-of-the-art LiDAR instance segmentation
        without training" (Alpine), 3DV 2026.
    """

    def __init__(self, config: InstanceConfig, class_names: Sequence[str]) -> None:
        self.config = config
        boxes = config.by_id(class_names)
        self.things = tuple(boxes)
        """Training ids of the classes whose points are told apart."""
        neighbors = config.num_neighbors(boxes)
        margin = config.margin if config.split else None
        self._rules = {
            number: Rule(long=long, short=short, neighbors=neighbors, margin=margin)
            for number, (long, short) in boxes.items()
        }

    def __call__(
        self, points: NDArray[np.floating], classes: NDArray[np.integer]
    ) -> NDArray[np.int32]:
        """(N,) object of each point, from 1; 0 where a class is of no things.

        Args:
            points: (N, 2 or 3) metres; those that are not finite are of no object.
            classes: (N,) training ids.
        """
        return find_instances(points, classes, self._rules)


def find_instances(
    points: NDArray[np.floating], classes: NDArray[np.integer], rules: Mapping[int, Rule]
) -> NDArray[np.int32]:
    """(N,) object of each point, from 1 by class and by the first point; 0: none.

    Args:
        points: (N, 2 or 3) metres; those that are not finite are of no object.
        classes: (N,) training ids.
        rules: By training id, in the order in which objects are counted.
    """
    found = np.zeros(len(points), np.int32)
    finite = np.isfinite(points[:, :2]).all(axis=1)
    count = 0
    for number, rule in rules.items():
        own = np.flatnonzero(finite & (classes == number))
        if len(own):
            label = _objects_of_class(points[own, :2], rule)
            found[own] = label + 1 + count
            count += int(label.max()) + 1
    return found


def _objects_of_class(xy: NDArray[np.floating], rule: Rule) -> NDArray[np.intp]:
    """(M,) objects from 0, by their first point."""
    if len(xy) == 1:
        return np.zeros(1, np.intp)
    graph = NeighborGraph.of(xy, neighbors=rule.neighbors, limit=rule.short)
    number, label = graph.components(rule.short)
    if rule.margin is not None:
        order = np.argsort(label, kind="stable")
        ends = np.cumsum(np.bincount(label, minlength=number))[:-1]
        for cluster in np.split(order, ends):
            for part in _cut(xy[cluster], rule)[1:]:  # the first one keeps its number
                label[cluster[part]] = number
                number += 1
    _, first, inverse = np.unique(label, return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first))[inverse]


def _cut(xy: NDArray[np.floating], rule: Rule) -> list[NDArray[np.intp]]:
    """A cluster's points, in as many parts as are needed for each to fit its box."""
    whole: list[NDArray[np.intp]] = []
    waiting = [(np.arange(len(xy)), rule.short)]
    while waiting:
        part, limit = waiting.pop()
        halves = None if _fits(xy[part], rule) else _halves(xy[part], limit, rule.neighbors)
        if halves is None:
            whole.append(part)
        else:
            first, shorter = halves
            waiting += [(part[first], shorter), (part[~first], shorter)]
    return whole


def _fits(xy: NDArray[np.floating], rule: Rule) -> bool:
    """Whether a cluster is small enough, or has no size that could be compared."""
    assert rule.margin is not None  # noqa: S101  clusters are cut only with one
    rectangle = smallest_rectangle(xy)
    if rectangle is None:
        return True
    return rectangle.long < rule.margin * rule.long and rectangle.short < rule.margin * rule.short


def _halves(
    xy: NDArray[np.floating], limit: float, neighbors: int
) -> tuple[NDArray[np.bool_], float] | None:
    """Which points are of the first of two parts, and the distance that told them apart.

    The distance is searched for by halving steps. None where none cuts the cluster in just two.
    """
    graph = NeighborGraph.of(xy, neighbors=neighbors, limit=limit)
    shorter, step = limit / 2, limit / 2
    while step > _FINEST:
        step /= 2
        number, label = graph.components(shorter)
        if number == 2:
            return label == 0, shorter
        shorter += -step if number == 1 else step
    return None
