"""Columns of a scan that is written as text."""

import io
import logging
import re
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from lidistill.errors import FileFormatError, first_line
from lidistill.reading.names import shown
from lidistill.records import Array
from lidistill.scan_formats.columns import (
    MAX_POINTS,
    MAX_UNPACKED,
    Column,
    check_points,
    warn_of_rest,
)

logger = logging.getLogger(__name__)

_MAX_DIGITS: Final = 64  # letters that one number may take
_NOT_A_NUMBER: Final = re.compile(rb"-?(?:nan\([a-z]{1,9}\)|1\.#(?:QNAN|SNAN|IND|INF)0*)")
"""How programs of Windows write what is no finite number."""


def text_lines(
    body: bytes, num_points: int, source: Path, *, before: int = 0, last: bool = True
) -> list[bytes]:
    """The first lines of a text that hold anything, one for each point.

    Where the last one does not end, its last number may be cut off, which is said.

    Args:
        body: The text behind the header.
        num_points: Points that the header claims.
        source: The file, for the message.
        before: Lines that belong to something else and come first.
        last: Whether nothing should follow the points.

    Raises:
        FileFormatError: If there are fewer.
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
        logger.warning(
            "scan %s does not end with a line break, so its last number, %s, may be cut off; it is "
            "taken as it is.",
            source,
            shown(lines[-1].split()[-1].decode("ascii", "replace"), limit=_MAX_DIGITS),
        )
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
    if any(b"#" in line or b"(" in line for line in lines):
        lines = [_NOT_A_NUMBER.sub(b"nan", line) for line in lines]
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
