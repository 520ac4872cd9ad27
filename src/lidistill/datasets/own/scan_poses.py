"""Which pose of a drive's ``poses.txt`` belongs to which scan."""

import logging
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from lidistill.datasets.own.file_times import TIMES
from lidistill.datasets.own.files import linked
from lidistill.datasets.own.pose_files import read_poses
from lidistill.datasets.own.quaternion_order import QuaternionOrder
from lidistill.datasets.own.trajectory import SECOND, Trajectory
from lidistill.errors import FileFormatError
from lidistill.reading.files import MEND, blamed_on
from lidistill.reading.names import natural_key, shown

logger = logging.getLogger(__name__)

Poses = dict[str, NDArray[np.float64]]
_FASTEST: Final = 100.0  # metres a second
_SMOOTHER: Final = 0.5  # share of the way at which another order of the scans is the right one


def scan_poses(
    folder: Path,
    scans: Sequence[str],
    times: Mapping[str, int],
    *,
    tolerance: float,
    quaternions: QuaternionOrder | None = None,
) -> tuple[Poses, Trajectory | None]:
    """(4, 4) ``T_world_lidar`` of every scan, and the way between them where times are known.

    Args:
        folder: The drive.
        scans: Names of its scans in reading order.
        times: Nanoseconds of every scan, or of none.
        tolerance: Seconds that a scan may lie outside of poses with times.
        quaternions: Their order, where the calibration says it.

    Raises:
        FileFormatError: If a pose makes no sense, or it is not clear whose it is.
    """
    path = folder / "poses.txt"
    if path.is_symlink():
        raise linked(path)
    if not path.exists():
        return {}, None
    poses, pose_times = read_poses(path, quaternions)
    if pose_times is None:
        return _by_position(path, scans, times, poses)
    if not times:
        msg = f"{path} has times and the scans have none; add scans/{TIMES}, or set match: time."
        raise FileFormatError(msg)
    with blamed_on(path, MEND):
        trajectory = Trajectory(time_ns=pose_times, T_world_lidar=poses)
        _check_speed(trajectory)
    margin = round(tolerance * SECOND)
    outside = [scan for scan in scans if not trajectory.covers(times[scan], margin_ns=margin)]
    if outside:
        msg = (
            f"{path}: {len(outside)} scans lie outside of its times, first {outside[0]}; are both "
            "on one clock? Leave those scans out, or add their poses."
        )
        raise FileFormatError(msg)
    return {scan: trajectory.at(times[scan]) for scan in scans}, trajectory


def _by_position(
    path: Path, scans: Sequence[str], times: Mapping[str, int], poses: NDArray[np.float64]
) -> tuple[Poses, Trajectory | None]:
    """The first pose for the first scan, and so on."""
    if len(poses) != len(scans):
        msg = f"{path} has {len(poses)} poses, expected one for each of {len(scans)} scans."
        raise FileFormatError(msg)
    _check_order(path, scans, times)
    if sorted(scans) != list(scans):
        _check_way(path, scans, poses)
        logger.warning(
            "%s: its lines belong to the scans counted as numbers (%s, %s, … %s), not as texts.",
            path, scans[0], scans[1], scans[-1],
        )  # fmt: skip
    by_scan = dict(zip(scans, poses, strict=True))
    if not times or len(scans) < 2:
        return by_scan, None
    scan_times = np.array([times[scan] for scan in scans])
    trajectory = Trajectory(time_ns=scan_times, T_world_lidar=poses)
    with blamed_on(path, MEND):
        _check_speed(trajectory)
    return by_scan, trajectory


def _check_speed(trajectory: Trajectory) -> None:
    """Refuse poses in another unit than metres, or times in another than seconds.

    Raises:
        ValueError: If the lidar moves faster than anything on a road.
    """
    ways = np.linalg.norm(np.diff(trajectory.T_world_lidar[:, :3, 3], axis=0), axis=1)
    speed = float(np.median(ways / (np.diff(trajectory.time_ns) / SECOND)))
    if speed > _FASTEST:
        msg = (
            f"it moves the lidar at {speed:.0f} m/s (the median), as nothing on a road does; are "
            "its positions in metres, and the times in seconds?"
        )
        raise ValueError(msg)


def _check_order(path: Path, scans: Sequence[str], times: Mapping[str, int]) -> None:
    """Poses without times need scans of which each is clearly before the next."""
    for first, second in pairwise(scans):
        reason = None
        if natural_key(first) == natural_key(second):
            reason = "have the same number"
        elif times and times[first] >= times[second]:
            reason = "follow each other, but their times do not"
        if reason is not None:
            msg = (
                f"{path} has one line for each scan in the order of their names, and the scans "
                f"{shown(first)} and {shown(second)} {reason}; number the scans in the order in "
                "which they were recorded, or write poses with times (seconds x y z qx qy qz qw)."
            )
            raise FileFormatError(msg)


def _check_way(path: Path, scans: Sequence[str], poses: NDArray[np.float64]) -> None:
    """Refuse poses that somebody wrote in the order of texts: in that of numbers they jump."""
    line_of = {scan: line for line, scan in enumerate(sorted(scans))}
    as_texts = poses[[line_of[scan] for scan in scans]]
    way, other = (
        float(np.linalg.norm(np.diff(each[:, :3, 3], axis=0), axis=1).sum())
        for each in (poses, as_texts)
    )
    if other < _SMOOTHER * way:
        first = ", ".join(sorted(scans)[:4])
        msg = (
            f"{path}: its lines seem to belong to the scans in the order of texts ({first}, …), in "
            f"which the way is {other:.0f} m long and not {way:.0f} m; give the scans' names "
            "leading zeros and write the poses in that order."
        )
        raise FileFormatError(msg)
