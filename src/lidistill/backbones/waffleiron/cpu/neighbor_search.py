"""Exact nearest neighbours of a whole cloud, eight points at a time, compiled.

The definition is ``nearest_by_scipy``; this finds the same distances in a fraction of
the time. Halving the cloud at the median of its longest side, again and again, leaves buckets of
eight points that lie together. The points of a bucket search side by side, one in each lane of a
vector: every other point that may be near is offered to all eight at once. Boxes around buckets,
and around larger groups of them, say which points may be.

A point's number rides in the lowest bits of its squared distance, so that both are sorted as one
float64. With M points, squared distances that agree to 52 - log2(M) bits count as the same.

Shape letters: M points, K neighbours of a point, B boxes.
"""

from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from lidistill.backbones.waffleiron.cpu.vectors import (
    any_less,
    eight,
    largest,
    load_eight,
    load_four,
    lower,
    minus,
    plus,
    store,
    tagged,
    times,
    upper,
)
from lidistill.compiled import compiled_exactly

Float: TypeAlias = NDArray[np.float64]
Int: TypeAlias = NDArray[np.int64]

_BUCKET: Final = 8  # points, as many as lanes
_GROUP: Final = 64 * _BUCKET  # points
_LEAST: Final = 1e-270  # added to squared distances, so that none is 0 and its tag no number
_SAMPLE: Final = 64  # points above which a pivot is looked for among nine


def search(points: NDArray[np.floating], k: int) -> Int:
    """(M, 1 + K) every (M, 3) finite point and its nearest others, the nearest first.

    Points on the same distance come in any order; rows are filled up with the point itself.
    """
    rows = np.empty((len(points), 4))
    rows[:, :3] = points
    rows[:, 3] = np.arange(len(points))
    _arrange(rows)
    found: Int = _search(rows, k)
    return found


@compiled_exactly
def _arrange(rows: Float) -> None:
    """Order (M, 4) points and their numbers so that any eight from a multiple of eight are near."""
    stack = np.empty((64, 2), dtype=np.int64)
    stack[0, 0], stack[0, 1] = 0, len(rows)
    height, ends = 1, np.empty(8)
    while height:
        height -= 1
        # Number by number: for rows, numba would compile the text of an error about their lengths.
        start, stop = stack[height, 0], stack[height, 1]
        if stop - start <= _BUCKET:
            continue
        _measure(rows, start, stop, ends)
        axis = 0
        for other in range(1, 3):
            if ends[4 + other] - ends[other] > ends[4 + axis] - ends[axis]:
                axis = other
        # Whole groups to either side, or whole buckets.
        unit = _GROUP if stop - start > _GROUP else _BUCKET
        middle = start + ((stop - start + unit - 1) // unit + 1) // 2 * unit
        _split(rows, axis, start, stop, middle)
        stack[height, 0], stack[height, 1] = start, middle
        stack[height + 1, 0], stack[height + 1, 1] = middle, stop
        height += 2


@compiled_exactly
def _measure(rows: Float, start: int, stop: int, ends: Float) -> None:
    """Write the least and the largest of each column of some rows to (8,) ends."""
    low = high = load_four(rows, 4 * start)
    for row in range(start + 1, stop):
        values = load_four(rows, 4 * row)
        low, high = lower(values, low), upper(values, high)
    store(ends, 0, low)
    store(ends, 4, high)


@compiled_exactly
def _split(rows: Float, axis: int, start: int, stop: int, middle: int) -> None:
    """Swap rows so that none before the middle has a larger value than one after it."""
    while stop - start > 1:
        pivot = _pivot(rows, axis, start, stop)
        border = _partition(rows, axis, start, stop, pivot)
        if border > middle:
            stop = border
            continue
        # The values that equal the pivot follow, in one piece: more than half may.
        equal = _partition(rows, axis, border, stop, np.nextafter(pivot, np.inf))
        if equal >= middle:
            return
        start = equal


@compiled_exactly
def _pivot(rows: Float, axis: int, start: int, stop: int) -> float:
    """Some value of a column that is not far from its median."""
    values = np.empty(3)
    num_samples = 3 if stop - start > _SAMPLE else 1
    step = (stop - start) // (3 * num_samples)
    for sample in range(num_samples):
        first = start + 3 * sample * step + step // 2
        values[sample] = _median(
            rows[first, axis], rows[first + step, axis], rows[first + 2 * step, axis]
        )
    return _median(values[0], values[1], values[2]) if num_samples == 3 else values[0]


@compiled_exactly
def _median(first: float, second: float, third: float) -> float:
    return max(min(first, second), min(max(first, second), third))


@compiled_exactly
def _partition(rows: Float, axis: int, start: int, stop: int, pivot: float) -> int:
    """Move the rows below a pivot to the front; where they end.

    Every row is swapped, needed or not: a processor that guesses wrong loses more than a swap.
    """
    border = start
    for row in range(start, stop):
        values, other = load_four(rows, 4 * row), load_four(rows, 4 * border)
        is_less = rows[row, axis] < pivot
        store(rows, 4 * row, other)
        store(rows, 4 * border, values)
        border += is_less
    return border


@compiled_exactly
def _boxes(rows: Float, size: int) -> Float:
    """(6, B) least and largest x, y, z of every so many points; B is a multiple of eight."""
    count = (len(rows) + size - 1) // size
    boxes = np.full((6, (count + 7) // 8 * 8), np.inf)
    ends = np.empty(8)
    for box in range(count):
        _measure(rows, box * size, min((box + 1) * size, len(rows)), ends)
        for axis in range(3):
            boxes[axis, box], boxes[3 + axis, box] = ends[axis], ends[4 + axis]
    return boxes


@compiled_exactly
def _near(boxes: Float, at: int, around: Float, reach: float, gaps: Float) -> bool:
    """Whether any of eight boxes is nearer to one than a reach.

    Args:
        boxes: (6, B) least and largest x, y, z; infinite where there is no box.
        at: The first of the eight.
        around: (6,) the box they are compared with.
        reach: Squared distance.
        gaps: (8,) written if any is, the squared distance of each.
    """
    total = eight(0.0)
    for axis in range(3):
        below = minus(load_eight(boxes[axis], at), eight(around[3 + axis]))
        above = minus(eight(around[axis]), load_eight(boxes[3 + axis], at))
        side = upper(upper(below, above), eight(0.0))
        total = plus(total, times(side, side))
    if not any_less(total, eight(reach)):
        return False
    store(gaps, 0, total)
    return True


@compiled_exactly
def _search(rows: Float, k: int) -> Int:
    """(M, 1 + K) neighbours of (M, 4) arranged points, in the order of their numbers."""
    found = np.empty((len(rows), 1 + k), dtype=np.int64)
    buckets, groups = _boxes(rows, _BUCKET), _boxes(rows, _GROUP)
    nearest, columns = np.empty((1 + k, _BUCKET)), np.empty((3, _BUCKET))
    mask = 1
    while mask < len(rows):
        mask = 2 * mask + 1
    for start in range(0, len(rows), _BUCKET):
        stop = min(start + _BUCKET, len(rows))
        for lane in range(_BUCKET):
            for axis in range(3):
                columns[axis, lane] = rows[min(start + lane, stop - 1), axis]
        nearest[:] = np.inf
        _find(rows, buckets, groups, start, columns, nearest, mask)
        _write(rows, start, stop, nearest.view(np.int64), mask, found)
    return found


@compiled_exactly
def _find(
    rows: Float,
    buckets: Float,
    groups: Float,
    start: int,
    columns: Float,
    nearest: Float,
    mask: int,
) -> None:
    """Offer the points of a bucket all those that may be near; arguments as of ``_offer``."""
    own = buckets[:, start // _BUCKET].copy()
    near_groups, near_buckets = np.empty(_BUCKET), np.empty(_BUCKET)
    # Enough points around come first: afterwards the search knows how far it must go.
    around = _BUCKET
    while around < 2 * len(nearest):
        around *= 2
    first = max(0, min(start // around * around, (len(rows) - around) // _BUCKET * _BUCKET))
    last = min(first + around, len(rows))
    reach = _offer(rows, first, last, columns, nearest, mask)
    for group in range(groups.shape[1]):
        if group % 8 == 0:
            is_near = _near(groups, group, own, reach, near_groups)
        if not is_near or near_groups[group % 8] >= reach:
            continue
        inside = group * (_GROUP // _BUCKET)
        for bucket in range(inside, min(inside + _GROUP // _BUCKET, buckets.shape[1]), 8):
            if not _near(buckets, bucket, own, reach, near_buckets):
                continue
            for which in range(8):
                place = (bucket + which) * _BUCKET
                if near_buckets[which] < reach and not first <= place < last:
                    end = min(place + _BUCKET, len(rows))
                    reach = _offer(rows, place, end, columns, nearest, mask)


@compiled_exactly
def _offer(rows: Float, start: int, stop: int, columns: Float, nearest: Float, mask: int) -> float:
    """Insert some points where they are nearer to one of eight than the farthest found so far.

    Args:
        rows: (M, 4) arranged points.
        start: The first that is offered.
        stop: After the last.
        columns: (3, 8) the points that search.
        nearest: (1 + K, 8) what each of them has found, squared distances with their tags.
        mask: Bits that a tag takes.

    Returns:
        Largest squared distance of all that was found.
    """
    last = len(nearest) - 1
    x, y, z = load_eight(columns, 0), load_eight(columns, 8), load_eight(columns, 16)
    farthest = load_eight(nearest, 8 * last)
    for place in range(start, stop):
        row = rows[place]
        dx, dy, dz = minus(x, eight(row[0])), minus(y, eight(row[1])), minus(z, eight(row[2]))
        square = plus(plus(plus(times(dx, dx), times(dy, dy)), times(dz, dz)), eight(_LEAST))
        if not any_less(square, farthest):
            continue
        square = tagged(square, place, mask)
        above = farthest
        for rank in range(last, 0, -1):
            # Between its neighbours in rank, a number stays, gives way to the new one, or moves on.
            below = load_eight(nearest, 8 * (rank - 1))
            store(nearest, 8 * rank, lower(above, upper(below, square)))
            above = below
        store(nearest, 0, lower(above, square))
        farthest = load_eight(nearest, 8 * last)
    return largest(farthest)


@compiled_exactly
def _write(rows: Float, start: int, stop: int, tags: Int, mask: int, found: Int) -> None:
    """Write what a bucket's points have found, each of them first in its own row."""
    nothing = np.float64(np.inf).view(np.int64)
    for place in range(start, stop):
        itself = np.int64(rows[place, 3])
        row = found[itself]
        for rank in range(len(row)):
            tag = tags[rank, place - start]
            row[rank] = itself if tag == nothing else np.int64(rows[tag & mask, 3])
        # Others on the same spot may have come before it, or, if many, in its stead.
        for rank in range(1, len(row)):
            if row[rank] == itself and tags[rank, place - start] != nothing:
                row[rank] = row[0]
        row[0] = itself
