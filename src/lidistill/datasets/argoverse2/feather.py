"""Feather tables (Arrow IPC files), read by pyarrow after their own claims have been checked.

A compressed table says how large each of its buffers unpacks, and pyarrow allocates that much
before it looks further. So the few places of the file that say so are read here first.
"""

import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np

from lidistill.errors import first_line, require
from lidistill.reading.files import blamed_on, read_file
from lidistill.reading.names import listed
from lidistill.records import Array

_MAX_BYTES: Final = 1 << 24  # of a file; a sweep has 1 MB
_MAX_UNPACKED: Final = 1 << 26
_MAX_BUFFERS: Final = 4096
_MAGIC: Final = b"ARROW1"
_TAIL: Final = 10  # bytes: length of the footer, and the magic again
_KINDS: Final = {"number": "iuf", "whole": "iu", "text": "OUT"}
_CONTINUES: Final = 0xFFFFFFFF


def read_feather(path: Path, columns: Mapping[str, str], *, max_rows: int) -> dict[str, Array]:
    """(N,) values of the wanted columns; others are not unpacked.

    Args:
        path: The table, Feather version 2, packed or not.
        columns: ``"number"``, ``"whole"`` or ``"text"`` by name.
        max_rows: N at which the table is refused.

    Raises:
        DatasetNotFoundError: If there is no such file.
        FileFormatError: If it is damaged, lacks a column, or claims too much.
        MissingPackageError: If ``pyarrow`` is not installed.

    References:
        Apache Arrow, "Columnar Format", sections on the IPC file format and buffer compression.
    """
    arrow = require("pyarrow", extra="argoverse2")
    content = read_file(path, max_bytes=_MAX_BYTES)
    with blamed_on(path):
        check_claims(content, max_rows=max_rows)
        try:
            return _columns(arrow, content, columns)
        except (arrow.ArrowException, OSError, KeyError, TypeError) as error:
            raise ValueError(first_line(error)) from error


def check_claims(content: bytes, *, max_rows: int) -> None:
    """Refuse an Arrow file that claims more than it can hold, or than fits.

    Raises:
        ValueError: If it does, or is no such file.
    """
    if len(content) < 24 or content[:6] != _MAGIC or content[-6:] != _MAGIC:
        msg = "it is no whole Arrow file (Feather, version 2)"
        raise ValueError(msg)
    start = len(content) - _TAIL - _number("<i", content, len(content) - _TAIL)
    footer = _Table(content, start).root()
    rows, unpacked, num_buffers = 0, 0, 0
    for field in (2, 3):  # dictionaries, batches
        for block in footer.vector(field, 24):
            batch, body, end = _batch(content, block, is_dictionary=field == 2)
            rows += batch.number(0, "<q")
            buffers = batch.vector(2, 16)
            num_buffers += len(buffers) + 1
            if num_buffers > _MAX_BUFFERS:
                break
            packed = batch.place(3) is not None
            unpacked += sum(_claim(content, at, body, end, packed=packed) for at in buffers)
    if not 0 <= rows <= max_rows or unpacked > _MAX_UNPACKED or num_buffers > _MAX_BUFFERS:
        msg = (
            f"it claims {rows} rows, {unpacked} bytes unpacked and {num_buffers} buffers or more, "
            f"expected at most {max_rows}, {_MAX_UNPACKED} and {_MAX_BUFFERS}"
        )
        raise ValueError(msg)


class _Table:
    """A table of flatbuffers, the encoding of Arrow's metadata.

    Args:
        data: The file.
        at: Where it lies, or where an offset to it lies (``root``).
    """

    def __init__(self, data: bytes, at: int) -> None:
        self._data, self._at = data, at

    def root(self) -> "_Table":
        """The table that the offset here leads to."""
        return _Table(self._data, self._at + _number("<I", self._data, self._at))

    def place(self, field: int) -> int | None:
        """Where a field lies; None if it is left out."""
        index = self._at - _number("<i", self._data, self._at)
        if 4 + 2 * field >= _number("<H", self._data, index):
            return None
        offset = _number("<H", self._data, index + 4 + 2 * field)
        return self._at + offset if offset else None

    def child(self, field: int) -> "_Table":
        """The table in a field."""
        place = self.place(field)
        if place is None:
            msg = "its metadata lack a part"
            raise ValueError(msg)
        return _Table(self._data, place).root()

    def number(self, field: int, form: str) -> int:
        """A number in a field; 0 if it is left out."""
        place = self.place(field)
        return 0 if place is None else _number(form, self._data, place)

    def vector(self, field: int, size: int) -> range:
        """Where the records of a vector lie, each of ``size`` bytes."""
        place = self.place(field)
        if place is None:
            return range(0)
        start = place + _number("<I", self._data, place)
        first, length = start + 4, size * _number("<I", self._data, start)
        if first + length > len(self._data):
            msg = "its metadata count more than the file has"
            raise ValueError(msg)
        return range(first, first + length, size)


def _batch(content: bytes, block: int, *, is_dictionary: bool) -> tuple[_Table, int, int]:
    """A batch of rows, and where its body begins and ends."""
    offset, body_length = (_number("<q", content, block + shift) for shift in (0, 16))
    body = offset + _number("<i", content, block + 8)
    if not 0 <= offset <= body <= body + body_length <= len(content):
        msg = "its footer leads outside of the file"
        raise ValueError(msg)
    start = offset + (8 if _number("<I", content, offset) == _CONTINUES else 4)
    batch = _Table(content, start).root().child(2)
    return batch.child(1) if is_dictionary else batch, body, body + body_length


def _claim(content: bytes, at: int, body: int, end: int, *, packed: bool) -> int:
    """Bytes that a buffer says to have when it is unpacked."""
    start, length = _number("<q", content, at), _number("<q", content, at + 8)
    if not (start >= 0 and length >= 0 and body + start + length <= end):
        msg = "a buffer leads outside of its batch"
        raise ValueError(msg)
    if not packed or length < 8:
        return length
    claimed = _number("<q", content, body + start)
    if claimed < -1:
        msg = f"a buffer claims {claimed} bytes"
        raise ValueError(msg)
    return length if claimed == -1 else claimed


def _number(form: str, content: bytes, at: int) -> int:
    if not 0 <= at <= len(content) - struct.calcsize(form):
        msg = "its metadata lead outside of the file"
        raise ValueError(msg)
    return int(struct.unpack_from(form, content, at)[0])


def _columns(arrow: Any, content: bytes, columns: Mapping[str, str]) -> dict[str, Array]:
    ipc = require("pyarrow.ipc", extra="argoverse2")
    names = ipc.open_file(arrow.py_buffer(content)).schema.names
    absent = [name for name in columns if names.count(name) != 1]
    if absent:
        msg = f"it has no column {absent[0]!r}, or several, among {listed(names)}"
        raise ValueError(msg)
    wanted = ipc.IpcReadOptions(
        included_fields=sorted(names.index(name) for name in columns), use_threads=False
    )
    table = ipc.open_file(arrow.py_buffer(content), options=wanted).read_all()
    table.validate(full=True)
    values: dict[str, Array] = {}
    for name, kind in columns.items():
        column = table.column(name)
        values[name] = np.asarray(column.to_numpy())
        if column.null_count or values[name].dtype.kind not in _KINDS[kind]:
            found = f"{column.type} with {column.null_count} gaps"
            msg = f"its column {name!r} is {found[:80]}, expected a {kind} in every row"
            raise ValueError(msg)
    return values
