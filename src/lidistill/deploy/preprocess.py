"""Points of a scan to the inputs of ``network.onnx``, and its outputs back to every point.

One file that needs Python 3.10 and NumPy alone. It is written out whole beside ``network.onnx``, to
be copied onto any machine, and therefore is not split:

    import json, numpy, onnxruntime, preprocess
    settings = json.load(open("network.json"))
    network = onnxruntime.InferenceSession("network.onnx")
    points, intensity = preprocess.decode(message.data, "XYZIRC", message.point_step)
    scan = preprocess.prepare(points, intensity, settings)
    features, logits = network.run(["features", "logits"], scan.feed)
    classes = preprocess.classes_of(logits, scan)

Points are metres in the sensor's own frame: z up, the origin at the sensor.

Shape letters: N points of a scan, M points that the network sees, K neighbours, G grids, F input
channels, A cells of the largest grid, Q points that ask, D classes.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

Array = np.ndarray[Any, Any]
FORMAT = 1
NO_CLASS = 255
"""Class of a point that the network does not see: out of view, or without a return."""

_XYZ = [("x", "<f4"), ("y", "<f4"), ("z", "<f4")]
_RETURN = [("intensity", "u1"), ("return_type", "u1"), ("channel", "<u2")]
_RING = [("intensity", "<f4"), ("ring", "<u2"), ("azimuth", "<f4"), ("distance", "<f4")]
_ANGLES = [("azimuth", "<f4"), ("elevation", "<f4"), ("distance", "<f4"), ("time_stamp", "<u4")]
_STAMP = [("return_type", "u1"), ("time_stamp", "<f8")]
POINT_TYPES: dict[str, "np.dtype[Any]"] = {
    "XYZI": np.dtype([*_XYZ, ("intensity", "<f4")], align=True),
    "XYZIRC": np.dtype([*_XYZ, *_RETURN], align=True),
    "XYZIRADRT": np.dtype([*_XYZ, *_RING, *_STAMP], align=True),
    "XYZIRCAEDT": np.dtype([*_XYZ, *_RETURN, *_ANGLES], align=True),
}
"""Records of Autoware's point clouds as they lie in ``PointCloud2.data``: each number at a multiple
of its size, as in Autoware's own structures; XYZIRADRT has gaps for it, the others have none."""

MAX_RANGE = 1e4
"""Metres beyond which no lidar measures: such a point is taken for a beam without a return."""
_MARGIN = 1e-4  # metres that points must lie further inside than the field of view
_MOST_CELLS, _SLOPE, _PIT = 2048, 0.2, 0.5
"""Of the ground: cells along a side, metres up a metre, metres of a hole that is none."""
_RANKED = 4096
"""Intensities that ranks are counted among, up to twice as many."""
_MAX_CANDIDATES = 2_000_000
"""Distances in memory at a time."""


class Scan(NamedTuple):
    """A scan as the network wants it."""

    feed: dict[str, Array]
    """``points`` (M, F), ``neighbors`` (M, K), ``cells`` (G, M), ``inverse_count`` (G, A)."""
    row: Array
    """(N,) int64 row of every point in the network's outputs; -1 where it has none."""


def decode(
    data: bytes | bytearray | memoryview, point_type: str, point_step: int | None = None
) -> tuple[Array, Array]:
    """(N, 3) float32 metres and (N,) float32 intensities out of the bytes of a point cloud.

    Args:
        data: Records one after the other, little-endian; ``row_step`` without padding.
        point_type: One of ``POINT_TYPES``.
        point_step: Bytes from point to point as the message says, to be compared with the type's.

    Raises:
        ValueError: If there is no such type, or the bytes are no whole number of its records.
    """
    if point_type not in POINT_TYPES:
        msg = f"point type {point_type!r} is none of {', '.join(POINT_TYPES)}"
        raise ValueError(msg)
    layout = POINT_TYPES[point_type]
    if point_step not in {None, layout.itemsize}:
        msg = f"points of {point_step} bytes, but {point_type} has {layout.itemsize}; another type?"
        raise ValueError(msg)
    if len(data) % layout.itemsize:
        msg = f"{len(data)} bytes are no whole number of {point_type} points of {layout.itemsize}"
        raise ValueError(msg)
    records = np.frombuffer(data, layout)
    points = np.stack([records["x"], records["y"], records["z"]], axis=1)
    return points, records["intensity"].astype(np.float32)


def prepare(points: Array, intensity: Array | None, settings: Mapping[str, Any]) -> Scan:
    """The network's inputs, and which of their rows belongs to which point.

    Args:
        points: (N, 3) metres.
        intensity: (N,) in the scale of the lidar that the network was trained on; None: unknown,
            the mean is taken.
        settings: Content of ``network.json``.

    Raises:
        ValueError: If the settings are of another format, or the shapes do not fit.
    """
    if settings.get("format") != FORMAT:
        msg = f"settings of format {settings.get('format')}, this file reads {FORMAT}"
        raise ValueError(msg)
    xyz = np.ascontiguousarray(points, np.float32)
    names, std = settings["channels"], settings["intensity_std"]
    plays_no_part = intensity is None or (std is None and "intensity_rank" not in names)
    values = np.zeros(len(xyz), np.float32) if plays_no_part else np.asarray(intensity, np.float32)
    if xyz.ndim != 2 or xyz.shape[1] != 3 or values.shape != (len(xyz),):
        msg = f"points {xyz.shape} and intensities {values.shape}, expected (N, 3) and (N,)"
        raise ValueError(msg)
    measured = (np.abs(xyz) <= MAX_RANGE).all(1) & (xyz != 0).any(1)
    has_return = measured & np.isfinite(values)
    known = np.flatnonzero(has_return)
    kept = known[first_of_voxels(xyz[known], settings["voxel_size"])]
    kept = kept[_inside(xyz[kept], settings)]
    near = known[_inside(xyz[known], settings)]
    row = np.full(len(xyz), -1, np.int64)
    if len(kept):
        row[near] = nearest(xyz[near], xyz[kept], 1, edge=settings["voxel_size"])[:, 0]
    coords = xyz[kept]
    measured = {name: np.zeros(len(kept), np.float32) for name in names if "intensity" in name}
    if "intensity" in names and not (plays_no_part or std is None):
        measured["intensity"] = (values[kept] - settings["intensity_mean"]) / std
    if "intensity_rank" in names and not plays_no_part:
        measured["intensity_rank"] = ranks(values[kept], among=values[known])
    if "height" in names:
        measured["height"] = height_over_ground(xyz[known])[np.searchsorted(known, kept)]
    cells = cell_indices(coords, settings)
    feed = {
        "points": _channels(coords, measured, names),
        "neighbors": neighbors_of(coords, settings["num_neighbors"], edge=settings["voxel_size"]),
        "cells": cells,
        "inverse_count": inverse_counts(cells, settings),
    }
    return Scan(feed=feed, row=row)


def classes_of(logits: Array, scan: Scan) -> Array:
    """(N,) uint8 class of every point from (M, D) scores; ``NO_CLASS`` where it has none."""
    return spread(logits.argmax(1).astype(np.uint8), scan.row, NO_CLASS)


def spread(values: Array, row: Array, missing: float) -> Array:
    """Values (M, ...) of the network's points for (N,) all points; ``missing`` where row is -1."""
    whole = np.full((len(row), *values.shape[1:]), missing, values.dtype)
    whole[row >= 0] = values[row[row >= 0]]
    return whole


def first_of_voxels(points: Array, size: float) -> Array:
    """Index of the first point of every voxel, ordered by the voxel's x, then y, then z.

    Args:
        points: (N, 3) finite, metres; voxels are counted from their minimum, in their precision.
        size: Edge of a voxel, metres.
    """
    if not len(points):
        return np.zeros(0, np.int64)
    voxel = ((points - points.min(0)) / points.dtype.type(size)).astype(np.int64)
    bits = [int(column.max()).bit_length() for column in voxel.T]
    if sum(bits) > 62:
        return np.sort(np.unique(voxel, axis=0, return_index=True)[1])
    key = (voxel[:, 0] << (bits[1] + bits[2])) | (voxel[:, 1] << bits[2]) | voxel[:, 2]
    return np.unique(key, return_index=True)[1]


def cell_indices(coords: Array, settings: Mapping[str, Any]) -> Array:
    """(G, M) int64 row-major cell of (M, 3) points in the plane of every grid."""
    low = np.array(settings["fov_min"], np.float64)
    extent = np.array(settings["fov_max"], np.float64) - low
    position = coords.astype(np.float64) - low
    cells: list[Array] = []
    for axis, (height, width) in zip(settings["axes"], settings["planes"], strict=True):
        first, second = (other for other in range(3) if other != axis)
        rows = (position[:, first] / (extent[first] / height)).astype(np.int64)
        columns = (position[:, second] / (extent[second] / width)).astype(np.int64)
        cells.append(rows * width + columns)
    return np.stack(cells)


def inverse_counts(cells: Array, settings: Mapping[str, Any]) -> Array:
    """(G, A) float32 one over the number of points in each cell; 0 where there is none."""
    largest = max(height * width for height, width in settings["planes"])
    count = np.stack([np.bincount(column, minlength=largest) for column in cells])
    filled = count > 0
    inverse = np.zeros(count.shape, np.float32)
    inverse[filled] = (1.0 / (count[filled] + settings["count_eps"])).astype(np.float32)
    return inverse


def neighbors_of(points: Array, k: int, *, edge: float) -> Array:
    """(M, K) int64 nearest other points; filled up with the point itself where there are fewer."""
    itself = np.arange(len(points))
    return nearest(points, points, k, edge=2 * edge, itself=itself)


def nearest(
    query: Array, points: Array, k: int, *, edge: float, itself: Array | None = None
) -> Array:
    """(Q, K) int64 nearest points of every query point, exact, the nearest first.

    Points lie in cells; what is nearer than the border of the 27 cells around a query is found.
    Whatever finds too little there looks again among cells of twice the edge. Points on the same
    distance come in any order.

    Args:
        query: (Q, 3) metres.
        points: (M, 3) metres, at least one.
        k: How many of them.
        edge: Of the first cells, metres.
        itself: (Q,) point that must not be found, and that fills up; None: nothing is left out.
    """
    found = np.zeros((len(query), k), np.int64) if itself is None else np.tile(itself, (k, 1)).T
    asking, places = query.astype(np.float64), points.astype(np.float64)
    left = np.arange(len(query))
    if not len(places):
        return found
    low, extent = places.min(0), float(np.ptp(places, axis=0).max())
    while len(left):
        cell = np.floor((places - low) / edge).astype(np.int64)
        own = np.floor((asking[left] - low) / edge).astype(np.int64)
        start, stop, order = _ranges(cell, own)
        reach = _reach(asking[left] - low, own, edge)
        last = edge > extent and bool((np.abs(own) <= 1).all())
        done = np.zeros(len(left), dtype=bool)
        for part in _chunks((stop - start).sum(1)):
            rows = left[part]
            index = _candidates(start[part], stop[part], order)
            away = None if itself is None else itself[rows]
            found_here, far = _best(asking[rows], places, index, k, away)
            done[part] = (far < reach[part] ** 2) | last
            sure = done[part]
            taken = found_here[sure]
            found[rows[sure]] = np.where(taken < 0, found[rows[sure]], taken)
        left, edge = left[~done], 2 * edge
    return found


def _ranges(cell: Array, own: Array) -> tuple[Array, Array, Array]:
    """Where the points of the nine columns of three cells around a cell begin and end.

    Returns:
        (Q, 9) starts and stops in (M,) the points' order.
    """
    size = cell.max(0) + 1
    key = (cell[:, 0] * size[1] + cell[:, 1]) * size[2] + cell[:, 2]
    order = np.argsort(key, kind="stable")
    ordered = key[order]
    step = np.arange(-1, 2)
    first = own[:, 0, None] + np.repeat(step, 3)
    second = own[:, 1, None] + np.tile(step, 3)
    bottom = np.maximum(own[:, 2, None] - 1, 0)
    top = np.minimum(own[:, 2, None] + 1, size[2] - 1)
    inside = (first >= 0) & (first < size[0]) & (second >= 0) & (second < size[1]) & (bottom <= top)
    column = np.where(inside, (first * size[1] + second) * size[2], 0)
    start = np.searchsorted(ordered, column + bottom, "left")
    stop = np.searchsorted(ordered, column + top, "right")
    return start, np.where(inside, stop, start), order


def _reach(position: Array, own: Array, edge: float) -> Array:
    """(Q,) distance to the nearest border of the 27 cells, a little less for rounding."""
    below, above = position - (own - 1) * edge, (own + 2) * edge - position
    nearest_border: Array = np.minimum(below.min(1), above.min(1)) * (1 - 1e-9)
    return nearest_border


def _chunks(counts: Array) -> list[Array]:
    """Queries in portions of alike numbers of candidates, each few enough for memory."""
    order = np.argsort(counts, kind="stable")
    portions, start = [], 0
    while start < len(order):
        stop = start + 1
        # Padded to the last, which has the most: doubling finds the end in a few looks.
        step = max(1, _MAX_CANDIDATES // max(1, int(counts[order[start]])))
        while step:
            end = min(stop + step, len(order))
            if (end - start) * max(1, int(counts[order[end - 1]])) <= _MAX_CANDIDATES:
                stop = end
            step //= 2
        portions.append(order[start:stop])
        start = stop
    return portions


def _candidates(start: Array, stop: Array, order: Array) -> Array:
    """(Q, most) points in the ranges of each query; -1 behind the last."""
    counts = (stop - start).ravel()
    total = (stop - start).sum(1)
    flat = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    flat += np.repeat(start.ravel(), counts)
    rows = np.repeat(np.arange(len(total)), total)
    columns = np.arange(len(rows)) - np.repeat(np.cumsum(total) - total, total)
    index = np.full((len(total), max(1, int(total.max()))), -1, np.int64)
    index[rows, columns] = order[flat]
    return index


def _best(
    query: Array, places: Array, index: Array, k: int, itself: Array | None
) -> tuple[Array, Array]:
    """(Q, K) nearest of the candidates, -1 where there are too few, and (Q,) the last's square."""
    offset = places[index] - query[:, None]
    squares = (offset * offset).sum(2)
    squares[index < 0] = np.inf
    if itself is not None:
        squares[index == itself[:, None]] = np.inf
    if squares.shape[1] > k:
        some = np.argpartition(squares, k - 1, axis=1)[:, :k]
        squares, index = np.take_along_axis(squares, some, 1), np.take_along_axis(index, some, 1)
    ranks = np.argsort(squares, axis=1, kind="stable")
    squares, index = np.take_along_axis(squares, ranks, 1), np.take_along_axis(index, ranks, 1)
    best, far = np.full((len(query), k), -1, np.int64), np.full(len(query), np.inf)
    best[:, : squares.shape[1]] = np.where(np.isfinite(squares), index, -1)
    if squares.shape[1] == k:
        far = squares[:, -1]
    return best, far


def _inside(coords: Array, settings: Mapping[str, Any]) -> Array:
    inside = np.ones(len(coords), dtype=bool)
    for column, low, high in zip(coords.T, settings["fov_min"], settings["fov_max"], strict=True):
        inside &= (column > np.float64(low + _MARGIN)) & (column < np.float64(high - _MARGIN))
    return inside


def ranks(values: Array, *, among: Array) -> Array:
    """(M,) share of a scan's intensities that are smaller, or equal and count half, at deviation 1.

    Args:
        values: (M,) intensities.
        among: (N,) those of the scan.
    """
    ordered = np.sort(among[:: max(1, len(among) // _RANKED)])
    below = np.searchsorted(ordered, values, "left") + np.searchsorted(ordered, values, "right")
    share: Array = (below / (2 * max(1, len(ordered))) - 0.5) * np.sqrt(12)
    return share


def height_over_ground(points: Array) -> Array:
    """(N,) metres over the ground below each of (N, 3) finite points.

    The lowest points of cells of a metre, without narrow deep holes, lowered to what nowhere rises
    faster than a slope of 0.2.
    """
    if not len(points):
        return np.zeros(0)
    xy, z = points[:, :2].astype(np.float64), points[:, 2].astype(np.float64)
    cell = max(1.0, float(np.ptp(xy, axis=0).max()) / _MOST_CELLS)
    place = np.floor(xy / cell).astype(np.int64)
    place -= place.min(0)
    lowest = np.full(tuple(place.max(0) + 1), np.inf)
    np.minimum.at(lowest, tuple(place.T), z)
    highest = _around(np.where(np.isfinite(lowest), lowest, -np.inf), -np.inf).max(0)
    rim = _around(highest, np.inf).min(0)
    ground = np.where(rim - lowest > _PIT, rim, lowest)
    for surface in (ground, ground[::-1]):  # there and back again, row by row
        _lower_rows(surface, _SLOPE * cell)
    height: Array = z - ground[tuple(place.T)]
    return height


def _lower_rows(surface: Array, rise: float) -> None:
    """Lower each row, in place, to what rises slowly along it and from the row before it."""
    along = rise * np.arange(surface.shape[1])
    before = np.full(surface.shape[1] + 2, np.inf)
    for row in surface:
        across = np.minimum(before[:-2], before[2:]) + np.sqrt(2) * rise
        best = np.minimum(np.minimum(row, before[1:-1] + rise), across)
        best = along + np.minimum.accumulate(best - along)
        row[:] = (np.minimum.accumulate((best + along)[::-1]))[::-1] - along
        before[1:-1] = row


def _around(surface: Array, outside: float) -> Array:
    """(9, R, C) each cell's eight neighbours and itself, row by row."""
    wide = np.pad(surface, 1, constant_values=outside)
    rows, columns = surface.shape
    return np.stack([wide[r : r + rows, c : c + columns] for r in range(3) for c in range(3)])


def _channels(coords: Array, measured: Mapping[str, Array], names: Sequence[str]) -> Array:
    """(M, F) float32 input channels in the order of their names."""
    x, y, z = coords.T
    known = {"x": x, "y": y, "z": z, **measured}
    known["radius"] = np.sqrt(x * x + y * y + z * z)
    return np.stack([known[name] for name in names], axis=1).astype(np.float32, copy=False)
