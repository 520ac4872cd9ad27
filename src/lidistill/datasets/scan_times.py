"""When scans were taken, from the small files beside them that data sets keep for it.

Times are told to users and never computed with. So a file that is absent or not readable costs no
frame: its scans have no time.
"""

import datetime
import functools
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Final

from lidistill.errors import LidistillError
from lidistill.reading.files import MAX_JSON_BYTES, parse_json, read_file
from lidistill.reading.text import decode_text

_UNREADABLE: Final = (LidistillError, OSError, ValueError, TypeError)
_NUSCENES: Final = re.compile(r"__(\d{16})\.")


def time_of_line(file: Path, number: int, parse: Callable[[str], float]) -> float | None:
    """Seconds that a line of a text file says, one line for each scan; None where none does.

    Args:
        file: For example KITTI's ``timestamps.txt``.
        number: Of the scan, from 0.
        parse: Seconds from a line.
    """
    lines = _lines(file)
    try:
        return _known(parse(lines[number])) if number < len(lines) else None
    except _UNREADABLE:
        return None


def time_in_list(file: Path, number: int) -> float | None:
    """Seconds that a JSON list says, one number for each scan; None where there is none."""
    times = _numbers(file)
    return _known(times[number]) if number < len(times) else None


def time_in_name(name: str) -> float | None:
    """Seconds that the name of a nuScenes scan says, in microseconds since 1970."""
    found = _NUSCENES.search(name)
    return None if found is None else int(found[1]) / 1e6


def seconds_of_date(line: str) -> float:
    """Seconds since 1970 of KITTI's ``2011-09-26 13:02:25.964389445``, taken for UTC."""
    date = datetime.datetime.fromisoformat(line.strip()[:26])
    return date.replace(tzinfo=datetime.UTC).timestamp()


def _known(seconds: float) -> float | None:
    return seconds if math.isfinite(seconds) else None


@functools.lru_cache(maxsize=256)
def _lines(file: Path) -> tuple[str, ...]:
    try:
        return tuple(decode_text(read_file(file, max_bytes=MAX_JSON_BYTES)).splitlines())
    except _UNREADABLE:
        return ()


@functools.lru_cache(maxsize=256)
def _numbers(file: Path) -> tuple[float, ...]:
    try:
        content = parse_json(decode_text(read_file(file, max_bytes=MAX_JSON_BYTES)))
        return tuple(map(float, content)) if isinstance(content, list) else ()
    except _UNREADABLE:
        return ()
