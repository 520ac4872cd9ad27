"""PCD, the format of the Point Cloud Library: text header; text, plain or compressed records.

Shape letters: N points.
"""

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from lidistill.errors import FileFormatError, first_line
from lidistill.reading.names import listed, shown
from lidistill.records import Array
from lidistill.scan_formats.columns import (
    MAX_HEADER,
    MAX_UNPACKED,
    Column,
    check_names,
    check_size,
    number_type,
    record_type,
    split_records,
    warn_of_rest,
)
from lidistill.scan_formats.lzf import decompress_lzf
from lidistill.scan_formats.text_columns import split_text, text_lines

_KEYS: Final = ("FIELDS", "SIZE", "TYPE", "DATA")
_OLD_KEYS: Final = {"COLUMNS": "FIELDS"}  # as versions before 0.7 had it
_PADDING: Final = "_"  # name that the library gives to bytes without a meaning
_MAX_RATIO: Final = 88  # three bytes of LZF repeat at most 264


@dataclass(frozen=True, slots=True, kw_only=True)
class _Header:
    columns: tuple[Column, ...]
    num_points: int
    encoding: str
    num_bytes: int


def parse_pcd(content: bytes, source: Path) -> dict[str, Array]:
    """Columns of a PCD file, under its own names.

    Its ``VIEWPOINT`` is not applied: it says from where points were seen, not in which frame they
    are written.

    Args:
        content: The whole file.
        source: Where it comes from, for the message.

    Raises:
        FileFormatError: If it is damaged, or of a form that is not known.

    References:
        "The PCD (Point Cloud Data) file format", documentation of PCL, version 0.7 of the format.
    """
    header = _read_header(content, source)
    body = memoryview(content)[header.num_bytes :]
    if header.encoding == "ascii":
        lines = text_lines(body.tobytes(), header.num_points, source)
        return _without_padding(split_text(lines, header.columns, source))
    if header.encoding == "binary":
        used = check_size(len(body), header.columns, header.num_points, source)
        warn_of_rest(body[used:], source)
        records = np.frombuffer(body[:used], record_type(header.columns))
        return _without_padding(split_records(records))
    return _without_padding(_decompress(body, header, source))


def _read_header(content: bytes, source: Path) -> _Header:
    start = content[:MAX_HEADER]
    entries: dict[str, list[str]] = {}
    position = 0
    while "DATA" not in entries:
        end = start.find(b"\n", position)
        if end < 0:
            msg = f"scan {source} is no PCD file: its header has no line DATA. Write it again."
            raise FileFormatError(msg)
        words = start[position:end].split(b"#")[0].decode("utf-8-sig", "replace").split()
        position = end + 1
        if words:
            entries[_OLD_KEYS.get(words[0].upper(), words[0].upper())] = words[1:]
    absent = [key for key in _KEYS if not entries.get(key)]
    if absent:
        msg = (
            f"scan {source}: its header has no {absent[0]}, found "
            f"{listed(entries)}; it is damaged or no PCD file. Write it again."
        )
        raise FileFormatError(msg)
    encoding = entries["DATA"][0].lower()
    if encoding not in {"ascii", "binary", "binary_compressed"}:
        msg = (
            f"scan {source}: DATA {shown(encoding)} is not known, expected ascii, binary or "
            "binary_compressed; write it in one of them."
        )
        raise FileFormatError(msg)
    columns, num_points = _layout(entries, source)
    return _Header(columns=columns, num_points=num_points, encoding=encoding, num_bytes=position)


def _layout(entries: dict[str, list[str]], source: Path) -> tuple[tuple[Column, ...], int]:
    names, kinds = entries["FIELDS"], entries["TYPE"]
    try:
        widths = [int(text) for text in entries["SIZE"]]
        counts = [int(text) for text in entries.get("COUNT") or ["1"] * len(names)]
        num_points = _num_points(entries)
    except (ValueError, IndexError) as error:
        reason = first_line(error)[:200]
        msg = f"scan {source}: its header does not count its points ({reason}); write it again."
        raise FileFormatError(msg) from error
    if not len(names) == len(kinds) == len(widths) == len(counts):
        msg = f"scan {source}: FIELDS, SIZE, TYPE and COUNT differ in length; write it again."
        raise FileFormatError(msg)
    unique = [f"{_PADDING}{i}" if name == _PADDING else name for i, name in enumerate(names)]
    check_names(unique, source)
    columns = []
    for name, kind, width, count in zip(unique, kinds, widths, counts, strict=True):
        dtype = number_type(kind.upper(), width)
        if dtype is None or not 0 <= count <= MAX_HEADER:
            msg = (
                f"scan {source}: field {shown(name)} has {shown(count)} values of the type "
                f"{shown(f'{kind}{width}')}, which does not exist; expected F4, F8, I1 to I8 or U1 "
                "to U8. Write it again."
            )
            raise FileFormatError(msg)
        # PCL, too, takes COUNT 0 for 1.
        columns.append(Column(name=name, dtype=f"<{dtype}", count=count or 1))
    return tuple(columns), num_points


def _num_points(entries: dict[str, list[str]]) -> int:
    """POINTS, or WIDTH times HEIGHT where it is not there.

    Raises:
        ValueError: If they are no counts, or contradict each other.
        IndexError: If one has no value.
    """
    given = {key: int(entries[key][0]) for key in ("POINTS", "WIDTH", "HEIGHT") if key in entries}
    if not given.keys() & {"POINTS", "WIDTH"}:
        msg = "there is no POINTS, and no WIDTH"
        raise ValueError(msg)
    negative = next((key for key, number in given.items() if number < 0), None)
    if negative is not None:
        msg = f"{negative} is {shown(given[negative])}, expected none below 0"
        raise ValueError(msg)
    product = given.get("WIDTH", 0) * given.get("HEIGHT", 1)
    num_points = given.get("POINTS", product)
    if "WIDTH" in given and product != num_points:
        msg = (
            f"WIDTH {shown(given['WIDTH'])} times HEIGHT {shown(given.get('HEIGHT', 1))} is not "
            f"POINTS {shown(num_points)}"
        )
        raise ValueError(msg)
    return num_points


def _decompress(body: memoryview, header: _Header, source: Path) -> dict[str, Array]:
    if len(body) < 8:
        msg = f"scan {source} ends within its header; it is cut off. Copy or write it again."
        raise FileFormatError(msg)
    num_packed, num_unpacked = struct.unpack("<II", body[:8])
    packed = body[8 : 8 + num_packed]
    if num_packed != len(packed) or num_unpacked > min(MAX_UNPACKED, _MAX_RATIO * num_packed):
        msg = (
            f"scan {source} has {len(body) - 8} compressed bytes that claim to be {num_packed} and "
            f"to unpack to {num_unpacked}; it is cut off or damaged, or unpacks to more than "
            f"{MAX_UNPACKED} bytes. Write it again."
        )
        raise FileFormatError(msg)
    check_size(num_unpacked, header.columns, header.num_points, source)
    warn_of_rest(body[8 + num_packed :], source)
    # A writer whom compression would not help stores the bytes as they are.
    unpacked = packed.tobytes()
    if num_packed != num_unpacked:
        try:
            unpacked = decompress_lzf(packed, num_unpacked)
        except ValueError as error:
            msg = f"scan {source}: {error}; it is damaged. Copy or write it again."
            raise FileFormatError(msg) from error
    # Compressed points lie column after column, not point after point.
    table: dict[str, Array] = {}
    start = 0
    for column in header.columns:
        stop = start + header.num_points * column.num_bytes
        if column.count == 1:
            values: NDArray[np.generic] = np.frombuffer(unpacked[start:stop], column.dtype)
            table[column.name] = values.astype(values.dtype.newbyteorder("="))
        start = stop
    return table


def _without_padding(table: dict[str, Array]) -> dict[str, Array]:
    return {name: values for name, values in table.items() if not name.startswith(_PADDING)}
