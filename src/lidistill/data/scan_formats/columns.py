"""Named columns of points, cut from bytes whose layout a file states itself.

Shape letters: N points.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from lidistill.errors import FileFormatError
from lidistill.structures import Array

MAX_UNPACKED: Final = 512 * 2**20
"""Bytes that one compressed scan may unpack to; ten million points of twelve float32 columns."""
MAX_HEADER: Final = 64 * 2**10
"""Bytes that the text header of a scan may have."""
_EXACT: Final = 2**53  # float64 holds every whole number up to here
_LETTER: Final = {"F": "f", "I": "i", "U": "u"}
_WIDTHS: Final = {"F": (4, 8), "I": (1, 2, 4, 8), "U": (1, 2, 4, 8)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One number, or a few, that every point has."""

    name: str
    dtype: str
    """NumPy's code with its byte order, for example ``"<f4"``."""
    count: int = 1

    @property
    def num_bytes(self) -> int:
        """Bytes of one point's values."""
        return self.count * np.dtype(self.dtype).itemsize


def number_type(kind: str, width: int) -> str | None:
    """NumPy's code for ``F``, ``I`` or ``U`` of so many bytes, or None if there is no such."""
    return f"{_LETTER[kind]}{width}" if width in _WIDTHS.get(kind, ()) else None


def check_names(columns: Sequence[Column], source: Path) -> None:
    """Refuse a layout in which two columns have one name.

    Raises:
        FileFormatError: If there are such columns.
    """
    names = [column.name for column in columns]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        msg = (
            f"scan {source} has two columns {twice[0]!r}, expected names of their own; rename one."
        )
        raise FileFormatError(msg)


def record_type(columns: Sequence[Column]) -> np.dtype[np.void]:
    """Type of one point, its values packed one behind the other."""
    codes = [c.dtype if c.count == 1 else (c.dtype, (c.count,)) for c in columns]
    return np.dtype(list(zip([column.name for column in columns], codes, strict=True)))


def split_records(records: NDArray[np.void]) -> dict[str, Array]:
    """Every column of structured records that has one number a point, in native byte order."""
    names = records.dtype.names or ()
    plain = [
        name for name in names if records[name].ndim == 1 and records[name].dtype.kind in "fiu"
    ]
    return {name: records[name].astype(records[name].dtype.newbyteorder("=")) for name in plain}


def check_size(
    found: int, columns: Sequence[Column], num_points: int, source: Path, *, at_least: bool = False
) -> None:
    """Compare the bytes behind a header with the points that it claims.

    Args:
        found: Bytes that there are.
        columns: Layout of a point.
        num_points: Points that the header claims.
        source: The file, for the message.
        at_least: Whether more may follow.

    Raises:
        FileFormatError: If they differ, or there is no point.
    """
    record = sum(column.num_bytes for column in columns)
    expected = num_points * record
    if num_points < 1 or found < expected or (found > expected and not at_least):
        msg = (
            f"scan {source} has {found} bytes behind its header, expected {expected} for the "
            f"{num_points} points of {record} bytes it claims; it is cut off, empty or damaged. "
            "Copy or write it again."
        )
        raise FileFormatError(msg)


def text_lines(body: bytes, source: Path) -> list[bytes]:
    """Lines of a text that hold anything; the last one must end, or it may be cut off.

    Raises:
        FileFormatError: If it does not end.
    """
    if not body.endswith((b"\n", b"\r")):
        msg = (
            f"scan {source} does not end with a line break, so its last number may be cut off; "
            "copy it again, or add the line break if it is whole."
        )
        raise FileFormatError(msg)
    return [line for line in body.splitlines() if line.strip()]


def split_text(lines: Sequence[bytes], columns: Sequence[Column], source: Path) -> dict[str, Array]:
    """Columns of points written as text, one line a point.

    Args:
        lines: As many as there are points.
        columns: Layout of a point.
        source: The file, for the message.

    Raises:
        FileFormatError: If a line has another number of values, or one is no number or too large.
    """
    width = sum(column.count for column in columns)
    try:
        table = np.loadtxt(lines, dtype=np.float64, comments=None, ndmin=2)
    except ValueError as error:
        msg = f"scan {source}: its text is no table of numbers ({error}); write it again."
        raise FileFormatError(msg) from error
    if table.shape[1] != width:
        msg = (
            f"scan {source} has {table.shape[1]} numbers a point, expected the {width} of its "
            "header; it is cut off or damaged. Write it again."
        )
        raise FileFormatError(msg)
    starts = np.cumsum([0] + [column.count for column in columns])
    single = [(c, int(start)) for c, start in zip(columns, starts, strict=False) if c.count == 1]
    return {c.name: _as_stored(table[:, start], c, source) for c, start in single}


def _as_stored(values: NDArray[np.float64], column: Column, source: Path) -> Array:
    dtype = np.dtype(column.dtype).newbyteorder("=")
    if dtype.kind == "f":
        return values.astype(dtype)
    low, high = max(np.iinfo(dtype).min, -_EXACT), min(np.iinfo(dtype).max, _EXACT)
    if not ((values >= low) & (values <= high) & (values == np.floor(values))).all():
        msg = (
            f"scan {source}: column {column.name!r} holds values that are no {dtype.name}, which "
            "its header promises; it is damaged. Write it again."
        )
        raise FileFormatError(msg)
    return values.astype(dtype)
