"""When scans and camera images of a drive were taken: ``times.csv``, or names that are times."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from lidistill.datasets.own.trajectory import nanoseconds
from lidistill.errors import FileFormatError
from lidistill.reading.files import MEND, blamed_on, read_file
from lidistill.reading.names import shown
from lidistill.reading.text import two_columns

TIMES: Final = "times.csv"
_MAX_BYTES: Final = 1 << 24
_DECIMAL: Final = re.compile(r"[0-9]{1,10}\.[0-9]{1,9}")  # seconds
_UNITS: Final = {19: 1, 16: 1000}  # digits of a time since 1970: nanoseconds, microseconds


def file_times(folder: Path, names: Mapping[str, Path], *, by_name: bool) -> dict[str, int]:
    """Nanoseconds of every file of a folder.

    Args:
        folder: Where the files lie.
        names: The files by their names without ending.
        by_name: Whether times may be absent, because images find their scan without.

    Raises:
        FileFormatError: If a table or a name is no time, or a file has none or several.
    """
    table = folder / TIMES
    if not table.exists():
        return {} if by_name else {name: _time_of(name, folder) for name in names}
    with blamed_on(table, MEND):
        times = _read_table(read_file(table, max_bytes=_MAX_BYTES))
        absent = [name for name in names if name not in times]
        if absent:
            msg = f"it has no time of {len(absent)} files, first {shown(absent[0])}"
            raise ValueError(msg)
    return {name: times[name] for name in names}


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


def _time_of(name: str, folder: Path) -> int:
    if _DECIMAL.fullmatch(name):
        return nanoseconds(name)
    if name.isascii() and name.isdecimal() and len(name) in _UNITS:
        return int(name) * _UNITS[len(name)]
    msg = (
        f"{folder}: the name {shown(name)} is no time, which 'match: time' needs; expected seconds "
        f"with a dot, 19 digits of nanoseconds or 16 of microseconds, or a file {TIMES}."
    )
    raise FileFormatError(msg)
