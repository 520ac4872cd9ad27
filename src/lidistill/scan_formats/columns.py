"""Named columns of points, cut from bytes whose layout a file states itself.

Shape letters: N points.
"""

import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from lidistill.errors import FileFormatError
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
