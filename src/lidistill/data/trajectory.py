"""Where the lidar was at any moment of a recording.

Shape letters: F poses.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from lidistill.errors import FileFormatError
from lidistill.geometry import (
    MAX_WORLD,
    check_rigid,
    check_unit,
    invert_rigid,
    quaternion_to_matrix,
    rigid,
)
from lidistill.reading.files import blamed_on, read_file

SECOND: Final = 1_000_000_000  # nanoseconds
_KITTI: Final = 12  # numbers a line
_TUM: Final = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Trajectory:
    """Poses of the lidar over time."""

    time_ns: NDArray[np.int64]
    """(F,) increasing, nanoseconds."""
    T_world_lidar: NDArray[np.float64]
    """(F, 4, 4) metres."""

    def __post_init__(self) -> None:
        if len(self.time_ns) != len(self.T_world_lidar) or len(self.time_ns) < 2:
            msg = f"{len(self.T_world_lidar)} poses at {len(self.time_ns)} times, expected two each"
            raise ValueError(msg)
        if (np.diff(self.time_ns) <= 0).any():
            msg = "the times of the poses do not increase"
            raise ValueError(msg)

    def covers(self, time_ns: int, *, margin_ns: int) -> bool:
        """Whether a moment lies within the poses, or not further outside than the margin."""
        first, last = int(self.time_ns[0]), int(self.time_ns[-1])
        return first - margin_ns <= time_ns <= last + margin_ns

    def at(self, time_ns: int) -> NDArray[np.float64]:
        """(4, 4) ``T_world_lidar`` at a moment.

        Between two poses, and beyond the ends, speed and turn rate are taken as constant.
        """
        after = int(np.searchsorted(self.time_ns, time_ns).clip(1, len(self.time_ns) - 1))
        start, stop = self.time_ns[after - 1], self.time_ns[after]
        share = float(time_ns - start) / float(stop - start)
        first, second = self.T_world_lidar[after - 1], self.T_world_lidar[after]
        step = invert_rigid(first) @ second
        turn = Rotation.from_rotvec(share * Rotation.from_matrix(step[:3, :3]).as_rotvec())
        position = first[:3, 3] + share * (second[:3, 3] - first[:3, 3])
        return rigid(first[:3, :3] @ turn.as_matrix(), position)


def read_poses(path: Path) -> tuple[NDArray[np.float64], NDArray[np.int64] | None]:
    """Poses of a text file, one a line, and their times where it has any.

    A line of 12 numbers is the upper part of ``T_world_lidar``, row by row (KITTI's form); one of
    8 is seconds, position and quaternion x, y, z, w (TUM's form).

    Returns:
        (F, 4, 4) poses, and (F,) nanoseconds or None.

    Raises:
        FileFormatError: If a line is no pose, or lines differ in form.
    """
    lines = [line.split(b"#")[0].split() for line in read_file(path).splitlines()]
    rows = [line for line in lines if line]
    widths = {len(row) for row in rows}
    if widths not in ({_KITTI}, {_TUM}):
        msg = (
            f"{path} has lines of {sorted(widths)} numbers, expected {_KITTI} (T_world_lidar, row "
            f"by row) or {_TUM} (seconds, x, y, z, qx, qy, qz, qw) in each; write it again."
        )
        raise FileFormatError(msg)
    with blamed_on(path):
        table = np.array(rows, dtype=np.float64)
        if widths == {_KITTI}:
            poses = [rigid(row[:, :3], row[:, 3]) for row in table.reshape(-1, 3, 4)]
            times = None
        else:
            times = np.array([nanoseconds(row[0].decode("ascii")) for row in rows])
            poses = [_tum_pose(row[1:]) for row in table]
        for pose in poses:
            check_rigid(pose, reach=MAX_WORLD)
    return np.array(poses), times


def nanoseconds(seconds: str) -> int:
    """Whole nanoseconds of a text of seconds, without rounding it to a float.

    Raises:
        ValueError: If it is no number of seconds from 0 to the year 2286.
    """
    whole, _, fraction = seconds.strip().partition(".")
    digits = whole + fraction
    if not (digits.isascii() and digits.isdecimal() and 0 < len(whole) <= 10):
        msg = f"{seconds[:40]!r} is no time in seconds"
        raise ValueError(msg)
    return int(whole) * SECOND + int(fraction[:9].ljust(9, "0"))


def _tum_pose(row: NDArray[np.float64]) -> NDArray[np.float64]:
    wxyz = row[[6, 3, 4, 5]]
    check_unit(wxyz)
    return rigid(quaternion_to_matrix(wxyz), row[:3])
