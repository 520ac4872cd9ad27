"""When scans and camera images of a drive were taken: ``times.csv``, or names that are times."""

import logging
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from lidistill.datasets.own.trajectory import nanoseconds, small_units
from lidistill.errors import FileFormatError
from lidistill.reading.files import MEND, blamed_on, read_file
from lidistill.reading.names import fractions_are_counts, shown
from lidistill.reading.text import two_columns

logger = logging.getLogger(__name__)

TIMES: Final = "times.csv"
_MAX_BYTES: Final = 1 << 24
_DECIMAL: Final = re.compile(r"[0-9]{1,10}\.[0-9]{1,9}")  # seconds


def file_times(folder: Path, names: Mapping[str, Path], *, by_name: bool) -> dict[str, int]:
    """Nanoseconds of every file of a folder.

    Args:
        folder: Where the files lie.
        names: The files by their names without ending.
        by_name: Whether times may be absent, because images find their scan without.

    Raises:
        FileFormatError: If a table or a name is no time, a file has none or several, or two files
            have the same.
    """
    table = folder / TIMES
    if not table.exists():
        with blamed_on(folder, "give every file a time of its own."):
            times = {} if by_name else _times_of(list(names), folder)
            _check_different(times)
        return times
    with blamed_on(table, MEND):
        of_rows = _read_table(read_file(table, max_bytes=_MAX_BYTES))
        times = {name: _of_row(name, path.name, of_rows) for name, path in names.items()}
        _check_different(times)
    return times


def _of_row(name: str, file: str, times: Mapping[str, int]) -> int:
    """Time of a file from a table that names it with or without its ending."""
    rows = [row for row in {name, file} if row in times]
    if len(rows) == 1:
        return times[rows[0]]
    if rows:
        msg = f"it names the file {shown(file)} twice, with and without its ending"
        raise ValueError(msg)
    number = name.lstrip("0") or "0"
    if name.isdecimal() and number in times:
        msg = (
            f"it has no time of {shown(name)}, but one of {shown(number)}: a spreadsheet has taken "
            "the leading zeros; names must be those of the files"
        )
        raise ValueError(msg)
    msg = f"it has no time of {shown(name)}"
    raise ValueError(msg)


def _check_different(times: Mapping[str, int]) -> None:
    """Refuse two files of one time: which of them belongs to a scan, or a pose, cannot be told."""
    first: dict[int, str] = {}
    for name, time in times.items():
        if first.setdefault(time, name) != name:
            of_all = len(times) - len(set(times.values()))
            msg = (
                f"{shown(first[time])} and {shown(name)} have the same time ({of_all} of "
                f"{len(times)} files repeat another's)"
            )
            raise ValueError(msg)


def _read_table(content: bytes) -> dict[str, int]:
    times: dict[str, int] = {}
    lines: dict[str, int] = {}
    for number, name, seconds in two_columns(content, ("name", "seconds")):
        if name in times:
            msg = f"lines {lines[name]} and {number} both give the time of {shown(name)}"
            raise ValueError(msg)
        try:
            # Where a comma is the decimal point, spreadsheets put semicolons between fields.
            times[name] = nanoseconds(seconds.replace(",", ".", 1))
        except ValueError as error:
            msg = f"line {number}: {error}"
            raise ValueError(msg) from error
        lines[name] = number
    return times


def _times_of(names: list[str], folder: Path) -> dict[str, int]:
    decimals = [name for name in names if _DECIMAL.fullmatch(name)]
    are_counts = fractions_are_counts(decimals)
    if are_counts is None:
        shortest, longest = (pick(decimals, key=len) for pick in (min, max))
        msg = (
            f"{folder}: {shown(shortest)} and {shown(longest)} may be decimals, or have a number "
            "of nanoseconds behind the dot, without its leading zeros, and no name tells which; "
            f"fill them up to nine digits, or give a file {TIMES}."
        )
        raise FileFormatError(msg)
    if are_counts:
        logger.warning(
            "%s: what follows the dot in %d names is taken as a number of nanoseconds, without its "
            "leading zeros; as decimals they would all have nine digits, or none would end in 0.",
            folder,
            len(decimals),
        )
    return {name: _time_of(_padded(name) if are_counts else name, folder) for name in names}


def _padded(name: str) -> str:
    """A name of seconds and nanoseconds with all nine digits of these; others as they are."""
    whole, dot, fraction = name.partition(".")
    return f"{whole}.{fraction:0>9}" if dot else name


def _time_of(name: str, folder: Path) -> int:
    if _DECIMAL.fullmatch(name):
        return nanoseconds(name)
    if (time := small_units(name)) is not None:
        return time
    msg = (
        f"{folder}: the name {shown(name)} is no time, which 'match: time' needs; expected seconds "
        f"with a dot, 19 digits of nanoseconds, 16 of microseconds or 13 of milliseconds, or a "
        f"file {TIMES}."
    )
    raise FileFormatError(msg)
