"""The intensity of a scan's points: which column it is, and points that have none.

Shape letters: N points.
"""

import functools
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from lidistill.errors import FileFormatError, suggestion
from lidistill.reading.names import shown
from lidistill.records import Array
from lidistill.scan_formats.returns import has_return

logger = logging.getLogger(__name__)

NO_INTENSITY: Final = "none"
"""In place of a column's name: the intensity plays no part, and may be anything."""
_PREFIX: Final = "scalar_"
INTENSITIES: Final = ("intensity", "i", "reflectivity", "remission", "reflectance")
"""Usual names, the first one that is there counts; however capitalised."""


def plain_name(name: str) -> str:
    """A column's name in lower case, without the prefix that CloudCompare puts before its own."""
    return name.lower().removeprefix(_PREFIX)


def is_usual(name: str) -> bool:
    """Whether a column is called as intensities are."""
    return plain_name(name) in INTENSITIES


def intensity_column(
    names: Mapping[str, str], table: Mapping[str, Array], wanted: str | None, path: Path
) -> str | None:
    """The file's own name of the column to take as intensity; None where it has none.

    Args:
        names: Its own names by those in lower case.
        table: (N,) columns by its own names.
        wanted: One of these; None, or ``none``: one of the usual names.
        path: The file, for the message.

    Raises:
        FileFormatError: If the wanted one is not there.
    """
    if wanted in {None, NO_INTENSITY}:
        return next((names[name] for name in INTENSITIES if name in names), None)
    if wanted not in table:
        hint = suggestion(wanted, [shown(name).strip("'") for name in table])
        msg = f"scan {path} has no column {wanted!r} to take as intensity; {hint}"
        raise FileFormatError(msg)
    return wanted


def as_intensity(values: Array) -> NDArray[np.float32]:
    """(N,) numbers of a column; what is too large for the type is infinite."""
    with np.errstate(over="ignore"):
        return values.astype(np.float32)


def mark_unknown(
    intensity: NDArray[np.float32], points: NDArray[np.float32], *, column: str, path: Path
) -> NDArray[np.float32]:
    """(N, 3) the points, those without a finite intensity as beams that did not come back.

    Args:
        intensity: (N,) of the points.
        points: (N, 3) all three NaN where nothing came back; left as they are.
        column: Name of the intensity, for messages.
        path: The file, for messages.

    Raises:
        FileFormatError: If no point has a finite intensity.
    """
    returned = has_return(points)
    unknown = returned & ~np.isfinite(intensity)
    if not unknown.any():
        return points
    if unknown.sum() == returned.sum():
        msg = (
            f"scan {path}: none of its intensities (column {shown(column)}) is finite; name "
            "another column (intensity: NAME in calibration.yaml, or --intensity NAME), or go "
            "without (intensity: none, or --intensity none)."
        )
        raise FileFormatError(msg)
    _say_unknown(path.parent, column)
    marked = points.copy()
    marked[unknown] = np.nan
    return marked


def check_finite(scan: NDArray[np.float32], path: Path) -> None:
    """Refuse a fourth column that is not finite: records without a header may be of another size.

    Args:
        scan: (N, C) with C of at least 4.
        path: The file, for the message.

    Raises:
        FileFormatError: If that of a beam that came back is not.
    """
    wrong = ~np.isfinite(scan[:, 3]) & has_return(scan[:, :3])
    if wrong.any():
        first = int(np.flatnonzero(wrong)[0])
        msg = (
            f"scan {path}: {int(wrong.sum())} of its {len(scan)} intensities are not finite, first "
            f"point {first}; it is damaged or of another format (four float32 a point for .bin, "
            "five for .pcd.bin)."
        )
        raise FileFormatError(msg)


@functools.lru_cache(maxsize=1024)
def _say_unknown(folder: Path, column: str) -> None:
    logger.warning(
        "%s: points whose intensity (column %s) is not finite count as beams without an echo "
        "(said once for all scans).",
        folder,
        shown(column),
    )
