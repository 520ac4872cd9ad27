"""Points that are given in the world's coordinates instead of the lidar's.

A lidar sees every direction once: behind what it met, there is nothing. Seen from the place where
it stood, a scan therefore hides nothing of itself; seen from elsewhere, near things stand in front
of far ones, though both were measured. This tells a world frame from a wrong unit, which leaves
directions as they are.

Shape letters: N points.
"""

from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from lidistill.data_check.findings.finding import Finding
from lidistill.geometry import invert_rigid, transform_points
from lidistill.records import Frame

_CELL_DEG: Final = 0.5
_OWN_CAR: Final = 2.0  # metres
_MOST: Final = 30_000  # points of a scan that are looked at
_MOUNTED: Final = 1.8  # metres over the road
_OUTSIDE: Final = 2.5  # times the spread of a scan; lidars that look ahead have 1.1, others 0.5
_BESIDE: Final = (1.3, 2.0)  # the same, and times as many hidden points from the origin
_HIDDEN: Final = 0.05
_WALKED: Final = 8.0  # metres that the middle of the scans moves
_KEEPS_PLACE: Final = 0.35  # of the points, in one place in two scans
_MOVED: Final = (1.0, 15.0)  # metres between two scans that are compared
_NEAR: Final = 0.2  # metres between a point and the same thing in another scan
_MORE: Final = 0.1  # of the points, to believe that they keep their place better
_PAIRS: Final = 4


def hidden_share(points: NDArray[np.floating], origin: NDArray[np.float64]) -> float:
    """Part of a scan's points that lie clearly behind others, seen from a place.

    Args:
        points: (N, 3) metres.
        origin: (3,) the place.
    """
    rays = points - origin
    distance = np.linalg.norm(rays, axis=1)
    rays, distance = rays[distance > _OWN_CAR], distance[distance > _OWN_CAR]
    if not len(rays):
        return 0.0
    azimuth = np.rad2deg(np.arctan2(rays[:, 1], rays[:, 0]))
    elevation = np.rad2deg(np.arcsin(rays[:, 2] / distance))
    cells = np.floor(np.stack([azimuth + 180, elevation + 90]) / _CELL_DEG).astype(np.int64)
    cell = cells[0] * 1000 + cells[1]
    order = np.argsort(cell, kind="stable")
    cell, distance = cell[order], distance[order]
    first = np.flatnonzero(np.diff(cell, prepend=-1))
    nearest = np.minimum.reduceat(distance, first)
    nearest = np.repeat(nearest, np.diff(first, append=len(cell)))
    return float(np.mean(distance > 1.3 * nearest + 1))


def middle_of(points: NDArray[np.floating]) -> NDArray[np.float64]:
    """(3,) where the lidar seems to have stood: amid the densest part of the scan.

    Args:
        points: (N, 3) metres.
    """
    some = points[:: max(1, len(points) // 4000)].astype(np.float64)
    place = np.median(some[:, :2], axis=0)
    for _ in range(30):  # minimises the mean of log(distance + 1), as density falls off with it
        distance = np.linalg.norm(some[:, :2] - place, axis=1)
        weight = 1 / (distance + 1) ** 2
        place = (some[:, :2] * weight[:, None]).sum(axis=0) / weight.sum()
    distance = np.linalg.norm(some[:, :2] - place, axis=1)
    road = np.percentile(some[distance <= np.percentile(distance, 30), 2], 10)
    return np.array([*place, road + _MOUNTED])


def upright_parts(points: NDArray[np.floating]) -> NDArray[np.floating]:
    """Points half a metre and more above the road, whose rings move along with the lidar."""
    column = np.floor(points[:, :2].astype(np.float64) / 2).astype(np.int64)
    _, cell = np.unique(column[:, 0] * 1_000_003 + column[:, 1], return_inverse=True)
    lowest = np.full(cell.max() + 1 if len(cell) else 0, np.inf)
    np.minimum.at(lowest, cell, points[:, 2])
    return points[points[:, 2] > lowest[cell] + 0.5]


def persistence(points: NDArray[np.floating], others: NDArray[np.floating]) -> float:
    """Part of one scan's points that another scan has in the same place.

    Args:
        points: (N, 3) of ``upright_parts``.
        others: The same of the other scan.
    """
    some = points[:: max(1, len(points) // 3000)]
    if not len(some) or not len(others):
        return 0.0
    distance, _ = cKDTree(others).query(some, distance_upper_bound=2 * _NEAR)
    return float(np.mean(distance < _NEAR))


def world_frame(frames: Sequence[Frame]) -> Finding | None:
    """Points in world coordinates: by their poses, by where their middle lies, or how it moves.

    Args:
        frames: Of one drive, in the order of time.
    """
    thin = [_thinned(frame) for frame in frames]
    seen = _by_poses(thin) or _by_place(thin)
    if seen is None:
        return None
    reason, evidence = seen
    posed = all(frame.T_world_lidar is not None for frame in frames)
    source = (
        "the poses at hand do that: p_lidar = inverse(T_world_lidar) p"
        if posed
        else ("with the inverse of the pose that put them there")
    )
    text = (
        f"the points seem to be given in the world's coordinates, not in the lidar's: {reason}. "
        f"Bring every scan back before you write it ({source}); cameras cannot be judged before."
    )
    return Finding(fault="world_frame", severity="warning", text=text, evidence=evidence)


def in_lidar_frame(frames: Sequence[Frame]) -> list[Frame] | None:
    """Frames whose points are world coordinates, brought back by their poses; None without."""
    back = []
    for frame in frames:
        if frame.T_world_lidar is None:
            return None
        points = transform_points(invert_rigid(frame.T_world_lidar), frame.points)
        back.append(replace(frame, points=points.astype(np.float32)))
    return back


def moved(before: Frame, after: Frame) -> NDArray[np.float64] | None:
    """(4, 4) lidar coordinates of one frame to those of another; None without poses."""
    if before.T_world_lidar is None or after.T_world_lidar is None:
        return None
    return invert_rigid(after.T_world_lidar) @ before.T_world_lidar


def _by_poses(frames: Sequence[Frame]) -> tuple[str, dict[str, float]] | None:
    """Things that keep their place as stored, and lose it once the poses move them."""
    gains: list[tuple[float, float]] = []
    far = 0.0
    for before, after in combinations(frames, 2):
        T = moved(before, after)
        length = 0.0 if T is None else float(np.linalg.norm(T[:3, 3]))
        if T is None or not _MOVED[0] < length < _MOVED[1] or len(gains) == _PAIRS:
            continue
        ways = (np.eye(4), T, invert_rigid(T))
        here, there = upright_parts(before.points), upright_parts(after.points)
        stay = [persistence(transform_points(way, here), there) for way in ways]
        gains.append((stay[0], max(stay[1:])))
        far = max(far, length)
    if not gains:
        return None
    stored, by_pose = np.mean(gains, axis=0)
    if stored < by_pose + _MORE:
        return None
    reason = (
        f"while the vehicle moves {far:.1f} m, {stored:.0%} of the points of upright things keep "
        f"their place as they are stored, {by_pose:.0%} once the poses move them"
    )
    return reason, {"stored": float(stored), "moved": float(by_pose), "metres": far}


def _by_place(frames: Sequence[Frame]) -> tuple[str, dict[str, float]] | None:
    """A scan that does not lie around the origin, or whose middle moves while things stay."""
    middles = np.array([middle_of(frame.points) for frame in frames])
    away = np.linalg.norm(middles[:, :2], axis=1)
    spread = np.array(
        [
            np.median(np.linalg.norm(frame.points[:, :2] - middle[:2], axis=1))
            for frame, middle in zip(frames, middles, strict=True)
        ]
    )
    ratio = float(np.median(away / np.maximum(spread, 1e-9)))
    x, y = np.median(middles[:, :2], axis=0)
    evidence = {"x": float(x), "y": float(y), "ratio": ratio}
    if ratio > _BESIDE[0]:
        here = [hidden_share(frame.points, np.zeros(3)) for frame in frames]
        there = [hidden_share(f.points, m) for f, m in zip(frames, middles, strict=True)]
        hidden = float(np.median(here))
        behind = hidden > max(_HIDDEN, _BESIDE[1] * float(np.median(there)))
        if ratio > _OUTSIDE or behind:
            reason = (
                f"they lie around ({x:.4g}, {y:.4g}), {ratio:.1f} times as far from the origin as "
                "half of them spread; a lidar stands amid what it sees, in the empty hole of its "
                "own vehicle"
            )
            return reason, evidence | {"hidden": hidden}
    walked = np.linalg.norm(middles[:, None, :2] - middles[None, :, :2], axis=2)
    if walked.max() < _WALKED:
        return None
    least = np.where(walked < _WALKED, np.inf, walked).argmin()  # the most in common to compare
    first, last = (int(i) for i in np.unravel_index(least, walked.shape))
    before, after = (upright_parts(frames[i].points) for i in (first, last))
    stays = persistence(before, after)
    centered = persistence(before - middles[first], after - middles[last])
    if stays < max(_KEEPS_PLACE, centered + _MORE):
        return None
    far = float(walked[first, last])
    reason = (
        f"their middle moves by {far:.1f} m from scan to scan, while {stays:.0%} of the points of "
        "upright things keep their place"
    )
    return reason, evidence | {"walked": far, "stored": stays}


def _thinned(frame: Frame) -> Frame:
    step = max(1, len(frame.points) // _MOST)
    return replace(frame, points=frame.points[::step], intensity=None, labels=None)
