"""Exact nearest neighbours by a k-d tree whose buckets are searched together, compiled.

The definition is ``neighbors.nearest_by_scipy``; this finds the same distances in little more than
half the time. Points of one bucket need nearly the same other buckets, so
the tree is walked once for all of them.

Shape letters: M points, T nodes of the tree, K neighbours of a point.
"""

from collections.abc import Callable
from typing import Any, Final, TypeAlias, TypeVar, cast

import numba
import numpy as np
from numpy.typing import NDArray

F = TypeVar("F", bound=Callable[..., Any])
Float: TypeAlias = NDArray[np.float64]
Int: TypeAlias = NDArray[np.int64]

_BUCKET: Final = 12  # points of a leaf, at most
_FIRST: Final = 3  # a bucket first looks at so many times K points around itself


def _compiled(function: F) -> F:
    return cast("F", numba.njit(cache=True, nogil=True)(function))


def search(points: NDArray[np.floating], k: int) -> Int:
    """(M, 1 + K) every (M, 3) finite point and its nearest others, the nearest first.

    Points on the same distance come in any order; rows are filled up with the point itself.
    """
    precise = np.ascontiguousarray(points, dtype=np.float64)
    num_nodes = max(1, 4 * (len(points) // _BUCKET + 1))
    order = np.arange(len(points))
    spans = np.zeros((num_nodes, 4), dtype=np.int64)  # start, stop, first child, parent
    boxes = np.zeros((num_nodes, 6))  # least and largest x, y, z
    count = _build(precise, order, spans, boxes)
    found: Int = _search(precise[order].T.copy(), order, spans[:count], boxes[:count], k)
    return found


@_compiled
def _build(points: Float, order: Int, spans: Int, boxes: Float) -> int:
    """Split at the median of the longest side until a node is a bucket; children are adjacent."""
    spans[0, 1], spans[0, 3] = len(order), -1
    count, node = 1, 0
    while node < count:
        start, stop = spans[node, 0], spans[node, 1]
        for axis in range(3):
            boxes[node, axis], boxes[node, 3 + axis] = np.inf, -np.inf
            for place in range(start, stop):
                value = points[order[place], axis]
                boxes[node, axis] = min(boxes[node, axis], value)
                boxes[node, 3 + axis] = max(boxes[node, 3 + axis], value)
        if stop - start > _BUCKET:
            middle = (start + stop) // 2
            longest = np.argmax(boxes[node, 3:] - boxes[node, :3])
            _partition(points[:, longest], order, start, stop, middle)
            spans[node, 2] = count
            spans[count, 0], spans[count, 1], spans[count, 3] = start, middle, node
            spans[count + 1, 0], spans[count + 1, 1], spans[count + 1, 3] = middle, stop, node
            count += 2
        node += 1
    return count


@_compiled
def _partition(values: Float, order: Int, start: int, stop: int, middle: int) -> None:
    """Arrange order[start:stop] so that no value before the middle is larger than one after it."""
    low, high = start, stop - 1
    while low < high:
        pivot = values[order[(low + high) // 2]]
        left, right = low, high
        while left <= right:
            while values[order[left]] < pivot:
                left += 1
            while values[order[right]] > pivot:
                right -= 1
            if left <= right:
                order[left], order[right] = order[right], order[left]
                left += 1
                right -= 1
        if middle <= right:
            high = right
        elif middle >= left:
            low = left
        else:
            return


@_compiled
def _search(points: Float, order: Int, spans: Int, boxes: Float, k: int) -> Int:
    """(M, 1 + K) neighbours; the (3, M) ``points`` lie in the order of the tree."""
    found = np.empty((len(order), 1 + k), dtype=np.int64)
    distance = np.empty((_BUCKET, k))
    nearest = np.empty((_BUCKET, k), dtype=np.int64)
    stack = np.empty(128, dtype=np.int64)
    for bucket in range(len(spans)):
        if spans[bucket, 2]:
            continue
        start, stop = spans[bucket, 0], spans[bucket, 1]
        around = bucket
        while spans[around, 3] >= 0 and spans[around, 1] - spans[around, 0] < _FIRST * k:
            around = spans[around, 3]
        for query in range(start, stop):
            nearest[query - start] = query
            distance[query - start] = np.inf
            if query > start:
                # The point before has k others or itself nearer than its own last and this step.
                step = 0.0
                for axis in range(3):
                    step += (points[axis, query] - points[axis, query - 1]) ** 2
                bound = np.sqrt(distance[query - start - 1, k - 1]) + np.sqrt(step)
                distance[query - start] = bound * bound * (1 + 1e-9) + 1e-30
            row, place = distance[query - start], nearest[query - start]
            _take(points, query, spans[around, 0], spans[around, 1], row, place)
        _walk(points, bucket, around, spans, boxes, distance, nearest, stack)
        for query in range(start, stop):
            found[order[query], 0] = order[query]
            for rank in range(k):
                found[order[query], 1 + rank] = order[nearest[query - start, rank]]
    return found


@_compiled
def _walk(
    points: Float,
    bucket: int,
    around: int,
    spans: Int,
    boxes: Float,
    distance: Float,
    nearest: Int,
    stack: Int,
) -> None:
    """Offer a bucket's points all those of other nodes that can be near enough."""
    start, stop, last = spans[bucket, 0], spans[bucket, 1], distance.shape[1] - 1
    reach = np.max(distance[: stop - start, last])
    stack[0], height = 0, 1
    while height:
        height -= 1
        node = stack[height]
        if node == around or _gap(boxes, bucket, node) >= reach:
            continue
        child = spans[node, 2]
        if child:
            nearer = _gap(boxes, bucket, child) <= _gap(boxes, bucket, child + 1)
            stack[height], stack[height + 1] = child + nearer, child + 1 - nearer
            height += 2
            continue
        for query in range(start, stop):
            row, place = distance[query - start], nearest[query - start]
            if _gap_of_point(points, query, boxes, node) < row[last]:
                _take(points, query, spans[node, 0], spans[node, 1], row, place)
        reach = np.max(distance[: stop - start, last])


@_compiled
def _gap(boxes: Float, first: int, second: int) -> float:
    """Squared distance between two boxes."""
    total = 0.0
    for axis in range(3):
        side = max(
            boxes[first, axis] - boxes[second, 3 + axis],
            boxes[second, axis] - boxes[first, 3 + axis],
        )
        if side > 0:
            total += side * side
    return total


@_compiled
def _gap_of_point(points: Float, query: int, boxes: Float, node: int) -> float:
    """Squared distance from a point to a box."""
    total = 0.0
    for axis in range(3):
        value = points[axis, query]
        side = max(boxes[node, axis] - value, value - boxes[node, 3 + axis])
        if side > 0:
            total += side * side
    return total


@_compiled
def _take(points: Float, query: int, start: int, stop: int, row: Float, place: Int) -> None:
    """Insert those points of a range that are nearer than the farthest found so far."""
    last = len(row) - 1
    x, y, z = points[0, query], points[1, query], points[2, query]
    # Slices counted from zero spare the loop a check for negative indices.
    xs, ys, zs = points[0, start:stop], points[1, start:stop], points[2, start:stop]
    worst = row[last]
    for other in range(len(xs)):
        dx, dy, dz = xs[other] - x, ys[other] - y, zs[other] - z
        squared = dx * dx + dy * dy + dz * dz
        if squared < worst and start + other != query:
            rank = last
            while rank > 0 and row[rank - 1] > squared:
                row[rank], place[rank] = row[rank - 1], place[rank - 1]
                rank -= 1
            row[rank], place[rank] = squared, start + other
            worst = row[last]
