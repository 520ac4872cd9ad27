"""How any file of a data set is opened: a regular file, of a bounded size, or one clear line."""

import functools
import json
import logging
import os
import stat
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Final

from lidistill.errors import DatasetNotFoundError, FileFormatError, first_line
from lidistill.reading.names import shown

logger = logging.getLogger(__name__)

MAX_BYTES: Final = 1 << 28
"""Size at which a file is refused; the largest scans and images of all sets have a tenth."""
MAX_JSON_BYTES: Final = 1 << 22
"""Size at which a JSON file is refused that is parsed in one piece: objects take 25 times that."""
MEND: Final = "mend the file."
"""Advice about a file that its user has written."""
_AGAIN: Final = "it is damaged or another program's file. Unpack it again."


@contextmanager
def open_file(path: Path, *, max_bytes: int = MAX_BYTES) -> Iterator[BinaryIO]:
    """A regular file, open for reading.

    Links are followed, wherever they lead: data sets are often put together from several disks.
    Pipes and devices, which may never end, are refused.

    Raises:
        DatasetNotFoundError: If there is no such file.
        FileFormatError: If it is no regular file, too large, or may not be read.
    """
    try:
        # Opening a pipe without this flag waits for somebody who writes into it.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    except FileNotFoundError as error:
        msg = f"{path} does not exist; check the path, or unpack its archive again."
        raise DatasetNotFoundError(msg) from error
    except (OSError, ValueError) as error:  # ValueError: a zero byte in the name
        msg = f"{path} cannot be read ({error}); check its permissions, or copy it again."
        raise FileFormatError(msg) from error
    state = os.fstat(descriptor)
    if not stat.S_ISREG(state.st_mode) or state.st_size > max_bytes:
        os.close(descriptor)
        found = "is a folder, a pipe or a device, not a file"
        if stat.S_ISREG(state.st_mode):
            found = f"has {state.st_size} bytes, expected at most {max_bytes}"
        msg = f"{path} {found}; {_AGAIN}"
        raise FileFormatError(msg)
    with os.fdopen(descriptor, "rb") as file:
        yield file


def may_look_into(folder: Path) -> bool:
    """Whether it is a folder that may be looked into; one that is closed is named once.

    A disk of one's own has such a one, ``lost+found``, where data sets look for their drives.
    """
    if os.access(folder, os.R_OK | os.X_OK):
        return folder.is_dir()
    if folder.is_dir():
        _say_closed(folder)
    return False


@functools.lru_cache(maxsize=1024)
def _say_closed(folder: Path) -> None:
    logger.warning("%s is left out: its permissions do not let this user look into it.", folder)


def read_file(path: Path, *, max_bytes: int = MAX_BYTES) -> bytes:
    """Content of a regular file; see ``open_file``."""
    with open_file(path, max_bytes=max_bytes) as file:
        return file.read()


@contextmanager
def blamed_on(path: Path, advice: str = _AGAIN) -> Iterator[None]:
    """A check that fails inside becomes an error that names the file whose content failed it.

    Args:
        path: The file.
        advice: What to do; files that users write themselves cannot be unpacked again.

    Raises:
        FileFormatError: For every ``ValueError`` inside.
    """
    try:
        yield
    except ValueError as error:
        msg = f"{path}: {first_line(error)[:300]}; {advice}"
        raise FileFormatError(msg) from error


def parse_json(text: str) -> Any:
    """Value of a JSON text in which no object has a key twice.

    Raises:
        ValueError: If it is none, or nested deeper than any file of a data set.
    """
    try:
        return json.loads(text, object_pairs_hook=_object)
    except RecursionError as error:
        msg = "nested too deeply"
        raise ValueError(msg) from error


def read_json(path: Path, advice: str = _AGAIN) -> Any:
    """Value of a JSON file; see ``parse_json``.

    Args:
        path: The file.
        advice: What to do where its content is none; see ``blamed_on``.

    Raises:
        DatasetNotFoundError: If there is no such file.
        FileFormatError: If it is no regular file of a bounded size, no JSON, or nested deeply.
    """
    with blamed_on(path, advice):
        value = parse_json(read_file(path, max_bytes=MAX_JSON_BYTES).decode("utf-8"))
        check_depth(value)
    return value


def check_depth(value: Any, *, limit: int = 40) -> None:
    """Refuse a JSON value that is nested deeper than anything that is written here.

    Raises:
        ValueError: If it is.
    """
    level = [value]
    for _ in range(limit):
        level = [
            part
            for outer in level
            if isinstance(outer, dict | list)
            for part in (outer.values() if isinstance(outer, dict) else outer)
        ]
    if level:
        msg = f"nested deeper than {limit} levels"
        raise ValueError(msg)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    unique = dict(pairs)
    if len(unique) != len(pairs):
        repeated, _ = Counter(name for name, _ in pairs).most_common(1)[0]
        msg = f"the key {shown(repeated)} stands twice in an object"
        raise ValueError(msg)
    return unique
