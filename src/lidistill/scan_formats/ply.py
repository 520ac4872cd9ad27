"""PLY, the polygon format of Stanford: text header; text or binary records of either byte order.

Shape letters: N points.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np

from lidistill.errors import FileFormatError
from lidistill.reading.names import listed, shown
from lidistill.records import Array
from lidistill.scan_formats.columns import (
    MAX_HEADER,
    Column,
    check_names,
    check_size,
    record_type,
    split_records,
    warn_of_rest,
)
from lidistill.scan_formats.text_columns import split_text, text_lines

_ORDER: Final = {"ascii": "<", "binary_little_endian": "<", "binary_big_endian": ">"}
_TYPES: Final = {
    "char": "i1",
    "uchar": "u1",
    "short": "i2",
    "ushort": "u2",
    "int": "i4",
    "uint": "u4",
    "float": "f4",
    "double": "f8",
    "int8": "i1",
    "uint8": "u1",
    "int16": "i2",
    "uint16": "u2",
    "int32": "i4",
    "uint32": "u4",
    "int64": "i8",
    "uint64": "u8",
    "float32": "f4",
    "float64": "f8",
}


@dataclass(slots=True, kw_only=True)
class _Element:
    name: str
    num: int
    columns: list[Column] = field(default_factory=list)
    is_plain: bool = True
    """Whether every one of them takes the same number of bytes."""

    @property
    def num_bytes(self) -> int:
        return self.num * sum(column.num_bytes for column in self.columns)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Header:
    elements: list[_Element]
    which: int
    """Which of them are the points."""
    encoding: str
    num_bytes: int


def parse_ply(content: bytes, source: Path) -> dict[str, Array]:
    """Columns of the points (``element vertex``) of a PLY file, under its own names.

    Args:
        content: The whole file.
        source: Where it comes from, for the message.

    Raises:
        FileFormatError: If it is damaged, or lists stand before its points.

    References:
        G. Turk, "The PLY polygon file format", 1994.
    """
    header = _read_header(content, source)
    vertex, body = header.elements[header.which], memoryview(content)[header.num_bytes :]
    before, last = header.elements[: header.which], vertex is header.elements[-1]
    if header.encoding == "ascii":
        lines = text_lines(
            body.tobytes(),
            vertex.num,
            source,
            before=sum(element.num for element in before),
            last=last,
        )
        return split_text(lines, vertex.columns, source)
    body = body[sum(element.num_bytes for element in before) :]
    used = check_size(len(body), vertex.columns, vertex.num, source)
    if last:
        warn_of_rest(body[used:], source)
    return split_records(np.frombuffer(body[:used], record_type(vertex.columns)))


def _read_header(content: bytes, source: Path) -> _Header:
    lines, num_bytes = _header_lines(content, source)
    encoding, elements = "", list[_Element]()
    for line in lines:
        words = line.split()
        if not words or words[0] in {"comment", "obj_info"}:
            continue
        if words[0] == "format" and len(words) == 3 and words[1] in _ORDER:
            encoding = words[1]
        elif words[0] == "element" and len(words) == 3 and words[2].isdecimal():
            elements.append(_Element(name=words[1], num=_number(words[2], source)))
        elif words[0] == "property" and elements and encoding:
            _add_property(elements[-1], words, encoding, source)
        else:
            msg = f"scan {source}: its header has the line {shown(line)}, which PLY does not know."
            raise FileFormatError(msg)
    names = [element.name for element in elements]
    which = names.index("vertex") if "vertex" in names else len(names)
    if not encoding or "vertex" not in names or not all(e.is_plain for e in elements[:which]):
        msg = (
            f"scan {source}: its elements are {listed(names)}, "
            "expected vertex, no lists before it, and a line format before both; write it again "
            "with the points first."
        )
        raise FileFormatError(msg)
    check_names([column.name for column in elements[which].columns], source)
    return _Header(elements=elements, which=which, encoding=encoding, num_bytes=num_bytes)


def _header_lines(content: bytes, source: Path) -> tuple[list[str], int]:
    """Lines between the first and ``end_header``, and the bytes up to the end of that line."""
    start = content[:MAX_HEADER]
    # Lines end with \n, \r\n or, as on old Macs, \r alone: the first one tells.
    first = start[: start.find(b"\n") + 1] or start
    end_of_line = b"\r" if b"\r" in first and not first.endswith(b"\r\n") else b"\n"
    lines, position = list[str](), 0
    while (end := start.find(end_of_line, position)) >= 0:
        lines.append(start[position:end].decode("utf-8-sig", "replace").strip())
        position = end + 1
        if lines[0] != "ply":
            break
        if lines[-1] == "end_header":
            return lines[1:-1], position
    msg = f"scan {source} is no PLY file, or its header is cut off; write it again."
    raise FileFormatError(msg)


def _number(text: str, source: Path) -> int:
    if len(text) > 18:
        msg = f"scan {source} claims {text[:18]}… elements; its header is damaged. Write it again."
        raise FileFormatError(msg)
    return int(text)


def _add_property(element: _Element, words: list[str], encoding: str, source: Path) -> None:
    known = len(words) == 3 and words[1] in _TYPES
    if not known and element.name == "vertex":
        msg = (
            f"scan {source}: the points have the property {shown(' '.join(words[1:]))}, expected a "
            f"type ({', '.join(sorted(_TYPES))}) and a name; write it without."
        )
        raise FileFormatError(msg)
    if not known:
        element.is_plain = False
        return
    element.columns.append(Column(name=words[2], dtype=_ORDER[encoding] + _TYPES[words[1]]))
