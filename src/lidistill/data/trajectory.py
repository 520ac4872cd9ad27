"""Where the lidar was at any moment of a recording.

Shape letters: F poses.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from lidistill.geometry import (
    MAX_WORLD,
    check_rigid,
    check_unit,
    invert_rigid,
    quaternion_to_matrix,
    rigid,
)
from lidistill.reading.files import MEND, blamed_on, read_file
from lidistill.reading.names import shown
from lidistill.reading.text import numbered_lines

SECOND: Final = 1_000_000_000  # nanoseconds
_KITTI: Final = 12  # numbers a line
_WHOLE: Final = 16
_TUM: Final = 8
_MAX_BYTES: Final = 1 << 26
_MAX_DIGITS: Final = 60
_SECONDS: Final = re.compile(r"[0-9]{1,40}(?:\.([0-9]*))?(?:[eE]([+-]?[0-9]{1,3}))?")
_LATEST: Final = 10**10  # seconds
_LARGER: Final = ((10**13, "milliseconds"), (10**16, "microseconds"), (10**19, "nanoseconds"))
_COARSEST: Final = -3  # power of ten, seconds, that a time with an exponent must be written to


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
    16, or four lines of 4, is all of it; one of 8 is seconds, position and quaternion x, y, z, w
    (TUM's form). Numbers may be separated by commas; ``#`` begins a comment.

    Returns:
        (F, 4, 4) poses, and (F,) nanoseconds or None.

    Raises:
        FileFormatError: If a line is no pose, lines differ in form, or times do not increase.
    """
    with blamed_on(path, MEND):
        lines = numbered_lines(read_file(path, max_bytes=_MAX_BYTES))
        rows = [(number, re.split(r"[\s,;]+", line.strip(",; "))) for number, line in lines]
        if rows and not any(_is_number(word) for word in rows[0][1]):
            del rows[0]  # names of the columns
        rows = _joined(rows)
        widths = sorted({len(words) for _, words in rows})
        if widths not in ([_KITTI], [_TUM], [_WHOLE]):
            msg = (
                f"lines of {widths[:5]} numbers, expected {_KITTI} (T_world_lidar, row by row) or "
                f"{_TUM} (seconds, x, y, z, qx, qy, qz, qw) in each"
            )
            raise ValueError(msg)
        if widths == [_TUM]:
            times = _increasing([(number, words[0]) for number, words in rows])
            return np.array([_pose(number, words, _tum_pose) for number, words in rows]), times
        return np.array([_pose(number, words, _matrix_pose) for number, words in rows]), None


def nanoseconds(seconds: str) -> int:
    """Whole nanoseconds of a text of seconds, without rounding it to a float.

    Raises:
        ValueError: If it is no number of seconds from 0 to the year 2286, or a rounded one.
    """
    seconds = seconds.strip()
    form = _SECONDS.fullmatch(seconds)
    if form is None or len(seconds) > _MAX_DIGITS:
        msg = f"{shown(seconds)} is no time in seconds"
        raise ValueError(msg)
    fraction, exponent = form[1] or "", int(form[2] or 0)
    value = Decimal(seconds)
    if not value < _LATEST:
        unit = next((f", but perhaps in {name}" for most, name in _LARGER if value < most), "")
        msg = f"{shown(seconds)} is no time in seconds{unit}"
        raise ValueError(msg)
    if form[2] is not None and exponent - len(fraction) > _COARSEST:
        msg = f"{shown(seconds)} is no time but a rounded one; write it with nine decimals"
        raise ValueError(msg)
    return int((value * SECOND).to_integral_value())


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True


def _joined(rows: list[tuple[int, list[str]]]) -> list[tuple[int, list[str]]]:
    """Lines of four numbers, four together; others as they are."""
    if {len(words) for _, words in rows} != {4} or len(rows) % 4:
        return rows
    return [
        (rows[i][0], [word for _, words in rows[i : i + 4] for word in words])
        for i in range(0, len(rows), 4)
    ]


def _increasing(times: list[tuple[int, str]]) -> NDArray[np.int64]:
    """(F,) nanoseconds of times and the numbers of their lines."""
    found: list[int] = []
    before = 0
    for number, text in times:
        try:
            time = nanoseconds(text)
        except ValueError as error:
            msg = f"line {number}: {error}"
            raise ValueError(msg) from error
        if found and time <= found[-1]:
            what = "the same time as" if time == found[-1] else "an earlier time than"
            msg = f"line {number} has {what} line {before} ({shown(text)}); the times must increase"
            raise ValueError(msg)
        found.append(time)
        before = number
    return np.array(found, dtype=np.int64)


def _pose(
    number: int, words: list[str], convert: Callable[[NDArray[np.float64]], NDArray[np.float64]]
) -> NDArray[np.float64]:
    wrong = next((word for word in words if not _is_number(word)), None)
    if wrong is not None:
        msg = f"line {number}: {shown(wrong)} is no number"
        raise ValueError(msg)
    try:
        pose = convert(np.array(words, dtype=np.float64))
        check_rigid(pose, reach=MAX_WORLD)
    except ValueError as error:
        msg = f"line {number}: {error}"
        raise ValueError(msg) from error
    return pose


def _matrix_pose(row: NDArray[np.float64]) -> NDArray[np.float64]:
    matrix = row.reshape(-1, 4)
    if len(matrix) == 3:
        return rigid(matrix[:, :3], matrix[:, 3])
    return matrix


def _tum_pose(row: NDArray[np.float64]) -> NDArray[np.float64]:
    wxyz = row[[7, 4, 5, 6]]
    check_unit(wxyz)
    return rigid(quaternion_to_matrix(wxyz), row[1:4])
