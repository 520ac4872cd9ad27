"""Named columns of points, cut from bytes whose layout a file states itself.

Shape letters: N points.
"""

import io
import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from lidistill.errors import FileFormatError, first_line
from lidistill.reading.names import shown
from lidistill.records import Array

logger = logging.getLogger(__name__)

MAX_POINTS: Final = 2**20
"""Points of one scan; the largest lidars give half of that in a turn, both echoes counted."""
MAX_UNPACKED: Final = 64 * MAX_POINTS
"""Bytes of one scan, in its file and unpacked: sixteen float32 columns of every point."""
MAX_COLUMNS: Final = 256
"""Numbers that one point may have; a structure of PCL's has about ten."""
MAX_HEADER: Final = 64 * 2**10
"""Bytes that the text header of a scan may have."""
_MAX_DIGITS: Final = 64  # letters that one number may take
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


def check_names(names: Sequence[str], source: Path) -> None:
    """Refuse a layout in which two columns have one name, or of more columns than any scan has.

    Raises:
        FileFormatError: If there are such columns.
    """
    if len(names) > MAX_COLUMNS:
        msg = (
            f"scan {source} has {len(names)} columns, expected at most {MAX_COLUMNS}; its header "
            "is damaged, or it is no scan."
        )
        raise FileFormatError(msg)
    twice = sorted(name for name, count in Counter(names).items() if count > 1)
    if twice:
        msg = (
            f"scan {source} has two columns {shown(twice[0])}, expected names of their own; "
            "rename one."
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


def check_points(num_points: int, source: Path) -> None:
    """Refuse as many points as no lidar gives in one scan, before they are unpacked.

    Raises:
        FileFormatError: If there are more than ``MAX_POINTS``.
    """
    if num_points > MAX_POINTS:
        msg = (
            f"scan {source} has {num_points} points, expected at most {MAX_POINTS}; it is a map of "
            "many scans, or damaged. Cut it into the scans it was made of."
        )
        raise FileFormatError(msg)


def check_size(found: int, columns: Sequence[Column], num_points: int, source: Path) -> int:
    """Compare the bytes behind a header with the points that it claims.

    Args:
        found: Bytes that there are; more may follow than the points take.
        columns: Layout of a point.
        num_points: Points that the header claims.
        source: The file, for the message.

    Returns:
        Bytes that the points take.

    Raises:
        FileFormatError: If there are too few, or there is no point, or too many.
    """
    record = sum(column.num_bytes for column in columns)
    expected = num_points * record
    if num_points < 1 or found < expected:
        msg = (
            f"scan {source} has {found} bytes behind its header, expected {shown(expected)} for "
            f"the {shown(num_points)} points of {record} bytes it claims; it is cut off, empty or "
            "damaged. Copy or write it again."
        )
        raise FileFormatError(msg)
    check_points(num_points, source)
    return expected


def warn_of_rest(rest: memoryview, source: Path) -> None:
    """Say that something follows the last point that a header counts, unless it is padding.

    PCL's own writer fills the last page of a file with zeros.
    """
    if rest.tobytes().strip(b"\0\r\n "):
        logger.warning(
            "scan %s: %d bytes behind the last point of its header are passed over",
            source,
            len(rest),
        )


def text_lines(
    body: bytes, num_points: int, source: Path, *, before: int = 0, last: bool = True
) -> list[bytes]:
    """The first lines of a text that hold anything, one for each point.

    Args:
        body: The text behind the header.
        num_points: Points that the header claims.
        source: The file, for the message.
        before: Lines that belong to something else and come first.
        last: Whether nothing should follow the points.

    Raises:
        FileFormatError: If there are fewer, or the last line does not end and may be cut off.
    """
    if b"\n" not in body:
        body = body.replace(b"\r", b"\n")  # the line breaks of old Macs
    check_points(num_points, source)
    lines: list[bytes] = []
    stream = io.BytesIO(body)
    found = body.count(b"\n")
    if num_points > 0:
        # Empty lines are free to make: no more of them than of points.
        filled = (line for line in islice(stream, MAX_POINTS + num_points) if line.strip())
        lines = list(islice(filled, before, before + num_points))
    if num_points < 1 or len(lines) < num_points:
        msg = (
            f"scan {source} has {found} lines, expected one for each of the "
            f"{shown(num_points)} points its header claims; it is cut off or damaged. Write it "
            "again."
        )
        raise FileFormatError(msg)
    if not lines[-1].endswith((b"\n", b"\r")):
        msg = (
            f"scan {source} does not end with a line break, so its last number may be cut off; "
            "copy it again, or add the line break if it is whole."
        )
        raise FileFormatError(msg)
    if last:
        warn_of_rest(memoryview(body)[stream.tell() :], source)
    return lines


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
    longest = max(len(line) for line in lines)
    if longest > _MAX_DIGITS * (width + 1) or 8 * width * len(lines) > MAX_UNPACKED:
        msg = (
            f"scan {source} has {len(lines)} lines of up to {longest} letters for {width} numbers; "
            "it is damaged, or no scan. Write it again, binary."
        )
        raise FileFormatError(msg)
    try:
        table = np.loadtxt(lines, dtype=np.float64, comments=None, ndmin=2)
    except ValueError as error:
        msg = (
            f"scan {source}: its text is no table of numbers ({first_line(error)[:200]}); write "
            "it again."
        )
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
    # Times in nanoseconds, above 2 ** 53, come out rounded to some hundred of them.
    low, high = np.iinfo(dtype).min, np.nextafter(np.iinfo(dtype).max + 1.0, 0)
    if not ((values >= low) & (values <= high) & (values == np.floor(values))).all():
        msg = (
            f"scan {source}: column {column.name!r} holds values that are no {dtype.name}, which "
            "its header promises; it is damaged. Write it again."
        )
        raise FileFormatError(msg)
    return values.astype(dtype)
