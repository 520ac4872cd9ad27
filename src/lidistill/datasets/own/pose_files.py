"""Poses of the lidar from the text files of other programs.

Shape letters: F poses, L lines, W numbers of a line.
"""

import logging
import re
from array import array
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from lidistill.datasets.own.quaternion_order import (
    COLUMNS,
    QuaternionOrder,
    named_columns,
    w_comes_first,
)
from lidistill.datasets.own.trajectory import UNITS, nanoseconds, small_units
from lidistill.geometry import MAX_WORLD, check_rigid, check_unit
from lidistill.reading.files import MEND, blamed_on, read_file
from lidistill.reading.names import shown
from lidistill.reading.text import numbered_lines

logger = logging.getLogger(__name__)

_KITTI: Final = 12  # numbers a line
_WHOLE: Final = 16
_ROW: Final = 4
_TUM: Final = 8
_MAX_BYTES: Final = 1 << 27
_MAX_LINES: Final = 2_000_000  # poses of almost three hours, 200 a second
_BETWEEN: Final = re.compile(r"[\s,;]+")
_BLOCK: Final = 20_000  # poses that are checked together, for their memory's sake
_MOST_OFF: Final = 2e-3  # of a rotation, as ``check_rigid`` has it


def read_poses(
    path: Path, quaternions: QuaternionOrder | None = None
) -> tuple[NDArray[np.float64], NDArray[np.int64] | None]:
    """Poses of a text file, one a line, and their times where it has any.

    A line of 12 numbers is the upper part of ``T_world_lidar``, row by row (KITTI's form); one of
    16, or four lines of 4, is all of it; one of 8 is seconds, position and quaternion x, y, z, w
    (TUM's form), or whole milli-, micro- or nanoseconds since 1970, which is said. Numbers may be
    separated by commas; ``#`` begins a comment. Where a line before the numbers names eight
    columns, they are read by their names; where nothing does and rotations make sense only with w
    first, they are read so, which is said.

    Args:
        path: The file.
        quaternions: Order of the quaternions, where somebody has said it.

    Returns:
        (F, 4, 4) poses, and (F,) nanoseconds or None.

    Raises:
        FileFormatError: If a line is no pose, lines differ in form, or times do not increase.
    """
    with blamed_on(path, MEND):
        content = read_file(path, max_bytes=_MAX_BYTES)
        lines = numbered_lines(content, comment=None, most=_MAX_LINES)
        columns = COLUMNS[quaternions] if quaternions else None
        numbers, table, times, columns = _read(lines, columns, path)
        if table.shape[1] == _ROW and len(table) % 4 == 0:
            numbers, table = numbers[::4], table.reshape(-1, _WHOLE)
        if table.shape[1] not in {_KITTI, _WHOLE, _TUM}:
            raise _other_form([table.shape[1]])
        if columns is None and table.shape[1] == _TUM and w_comes_first(table[:, 4:]):
            table = table[:, COLUMNS["wxyz"]]
            logger.warning(
                "%s: its rotations make sense only as quaternions w, x, y, z, and are read so; if "
                "that is wrong, say pose_quaternions: xyzw in calibration.yaml.",
                path,
            )
        return _checked(table, numbers), times


def _read(
    lines: Iterable[tuple[int, str]], columns: tuple[int, ...] | None, path: Path
) -> tuple[
    NDArray[np.int64], NDArray[np.float64], NDArray[np.int64] | None, tuple[int, ...] | None
]:
    """(L,) numbers of lines, (L, W) table, and (L,) increasing nanoseconds of TUM's form.

    The columns come in TUM's order, from where they are said to be, or a header says; the last
    value says where that was, None if nothing did.
    """
    numbers, values, times = array("q"), array("d"), array("q")
    width = 0
    for number, line in lines:
        text = line.partition("#")[0].strip(",; ")
        words = _BETWEEN.split(text)
        if not numbers and not any(_is_number(word) for word in words):
            columns = columns or named_columns(line)
            continue
        if not text:
            continue
        if numbers and len(words) != width:
            raise _other_form(sorted({len(words), width}))
        width = len(words)
        if width == _TUM:
            words = [words[column] for column in columns] if columns else words
            times.append(_time(words[0], number, numbers, times))
            if len(times) == 1 and small_units(words[0]) is not None:
                unit = UNITS[len(words[0])][1]
                logger.warning("%s: its times are taken as %s since 1970.", path, unit)
        try:
            values.extend(map(float, words))
        except ValueError as error:
            wrong = next(word for word in words if not _is_number(word))
            msg = f"line {number}: {shown(wrong)} is no number"
            raise ValueError(msg) from error
        numbers.append(number)
    if not numbers:
        raise _other_form([])
    table = np.frombuffer(values, dtype=np.float64).reshape(len(numbers), width)
    return np.array(numbers), table, np.array(times, dtype=np.int64) if times else None, columns


def _other_form(widths: list[int]) -> ValueError:
    return ValueError(
        f"lines of {widths} numbers, expected {_KITTI} (T_world_lidar, row by row) or {_TUM} "
        "(seconds, x, y, z, qx, qy, qz, qw) in each"
    )


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True


def _time(text: str, number: int, numbers: "array[int]", times: "array[int]") -> int:
    """Nanoseconds of a line, which must lie behind those of the line before."""
    try:
        small = small_units(text)
        time = nanoseconds(text) if small is None else small
    except ValueError as error:
        msg = f"line {number}: {error}"
        raise ValueError(msg) from error
    if times and time <= times[-1]:
        what = "the same time as" if time == times[-1] else "an earlier time than"
        msg = (
            f"line {number} has {what} line {numbers[-1]} ({shown(text)}); the times must increase"
        )
        raise ValueError(msg)
    return time


def _checked(table: NDArray[np.float64], numbers: NDArray[np.int64]) -> NDArray[np.float64]:
    """(F, 4, 4) poses of the (F, W) numbers in lines."""
    poses = np.tile(np.eye(4), (len(table), 1, 1))
    wxyz = None
    if table.shape[1] == _TUM:
        wxyz = table[:, [7, 4, 5, 6]]
        with np.errstate(over="ignore", invalid="ignore"):
            usable = np.abs(np.linalg.norm(wxyz, axis=1) - 1) <= 0.01
        poses[:, :3, 3] = table[:, 1:4]
        poses[usable, :3, :3] = Rotation.from_quat(table[usable, 4:]).as_matrix()
    else:
        matrices = table.reshape(len(table), -1, 4)
        poses[:, : matrices.shape[1]] = matrices
        usable = np.ones(len(table), dtype=bool)
    blocks = np.array_split(poses, 1 + len(poses) // _BLOCK)
    wrong = np.flatnonzero(~(usable & np.concatenate([_are_rigid(block) for block in blocks])))
    for which in wrong:
        try:
            if wxyz is not None:
                check_unit(wxyz[which])
            check_rigid(poses[which], reach=MAX_WORLD)
        except ValueError as error:
            msg = f"line {numbers[which]}: {error}"
            raise ValueError(msg) from error
    return poses


def _are_rigid(poses: NDArray[np.float64]) -> NDArray[np.bool_]:
    """(F,) which poses ``check_rigid`` lets pass for certain; of others it has the last word."""
    rotation, shift = poses[:, :3, :3], poses[:, :3, 3]
    with np.errstate(over="ignore", invalid="ignore"):
        small = (np.abs(rotation) < 2).all(axis=(1, 2)) & (
            np.abs(shift).max(axis=1) < MAX_WORLD / 2
        )
        off = np.abs(rotation @ rotation.transpose(0, 2, 1) - np.eye(3)).max(axis=(1, 2))
        turned = np.linalg.det(np.where(small[:, None, None], rotation, 0)) > 0
    return small & (off < _MOST_OFF / 2) & turned & (poses[:, 3] == (0, 0, 0, 1)).all(axis=1)
