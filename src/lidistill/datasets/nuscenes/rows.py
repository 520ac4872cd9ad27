"""Rows of nuScenes' tables: read without holding a whole table, and checked one by one."""

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from lidistill.errors import FileFormatError, first_line
from lidistill.geometry import MAX_WORLD, check_unit
from lidistill.reading.files import open_file, parse_json
from lidistill.reading.names import shown

_CHUNK: Final = 1 << 20  # characters
_MAX_ROW: Final = 1 << 22  # characters in which no row ends; real ones have 500
_MAX_BYTES: Final = 1 << 34
_MAX_TIME: Final = 1 << 56  # microseconds since 1970
_RETRIES: Final = 8  # pieces that may end within a string, one after the other


def read_rows(path: Path, chunk: int = _CHUNK) -> Iterator[dict[str, Any]]:
    """Rows of a table, without ever holding all of a large file.

    A row has no object inside it, so the text can be cut behind any ``}`` that is not part of a
    string; where it was, parsing fails and the next piece is added.

    Raises:
        FileFormatError: If it is not a JSON list of objects, to its very end.
    """
    pending, num_failed, first = "", 0, True
    try:
        with (
            open_file(path, max_bytes=_MAX_BYTES) as raw,
            io.TextIOWrapper(raw, "utf-8-sig") as file,
        ):
            while piece := file.read(chunk):
                if len(pending) > max(_MAX_ROW, chunk):
                    msg = f"no row ends within {len(pending)} characters"
                    raise ValueError(msg)
                pending += piece
                if first:
                    pending = _without(pending.lstrip(), "[")
                    first = False
                cut = pending.rfind("}") + 1
                try:
                    rows = _parse(pending[:cut])
                except ValueError:
                    num_failed += 1
                    if num_failed > _RETRIES:
                        raise
                    continue
                yield from rows
                pending, num_failed = pending[cut:], 0
        if num_failed or pending.strip() != "]":
            _parse(pending.strip().removesuffix("]"))
            _without(pending.strip()[-1:], "]")
    except ValueError as error:
        reason = first_line(error)[:200]
        msg = (
            f"{path} is not a readable table ({reason}); unpack the archive of its metadata again."
        )
        raise FileFormatError(msg) from error


def _without(text: str, bracket: str) -> str:
    if not text.startswith(bracket):
        msg = f"expected {bracket!r}, found {shown(text[:10])}"
        raise ValueError(msg)
    return text[1:]


def _parse(text: str) -> list[dict[str, Any]]:
    rows = parse_json(f"[{text.lstrip().removeprefix(',')}]")
    if not all(isinstance(row, dict) for row in rows):
        msg = "a row is not an object"
        raise ValueError(msg)
    return rows


def pose_of(row: dict[str, Any]) -> NDArray[np.float64]:
    """(7,) translation in metres and unit quaternion w x y z of a row.

    Raises:
        ValueError: If it holds none.
    """
    pose = np.array([*row["translation"], *row["rotation"]], dtype=np.float64)
    if pose.shape != (7,) or not np.abs(pose[:3]).max() <= MAX_WORLD:
        msg = f"row {shown(row['token'])} has no usable translation and rotation"
        raise ValueError(msg)
    check_unit(pose[3:])
    return pose


def time_of(row: dict[str, Any]) -> int:
    """Microseconds since 1970 of a row.

    Raises:
        ValueError: If it holds none.
    """
    time = int(row["timestamp"])
    if not 0 <= time < _MAX_TIME:
        msg = f"row {shown(row['token'])} has the timestamp {shown(time)}"
        raise ValueError(msg)
    return time


def size_of(row: dict[str, Any]) -> tuple[int, int]:
    """Height and width of the image of a row, pixels.

    Raises:
        ValueError: If it holds none.
    """
    height, width = int(row["height"]), int(row["width"])
    if not (0 < height < 1 << 16 and 0 < width < 1 << 16):
        msg = f"image {shown(row['filename'])} has the size {shown(width)} x {shown(height)}"
        raise ValueError(msg)
    return height, width


def intrinsics_of(row: dict[str, Any]) -> NDArray[np.float64]:
    """(3, 3) pinhole matrix of a row, pixels.

    Raises:
        ValueError: If it holds none.
    """
    K = np.array(row["camera_intrinsic"], dtype=np.float64)
    if K.shape != (3, 3) or not np.isfinite(K).all() or K[2].tolist() != [0, 0, 1]:
        msg = f"calibrated sensor {shown(row['token'])} has no 3 x 3 camera_intrinsic"
        raise ValueError(msg)
    return K
