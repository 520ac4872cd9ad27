"""PLY, the polygon format of Stanford: text header; text or binary records of either byte order.

Shape letters: N points.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np

from lidistill.data.scan_formats.columns import (
    MAX_HEADER,
    Column,
    check_names,
    check_size,
    record_type,
    split_records,
    split_text,
    text_lines,
)
from lidistill.errors import FileFormatError
from lidistill.structures import Array

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
    "float32": "f4",
    "float64": "f8",
}


@dataclass(slots=True, kw_only=True)
class _Element:
    name: str
    num: int
    columns: list[Column] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Header:
    vertex: _Element
    last: bool
    """Whether nothing follows the points."""
    encoding: str
    num_bytes: int


def parse_ply(content: bytes, source: Path) -> dict[str, Array]:
    """Columns of the points (``element vertex``) of a PLY file, under its own names.

    Args:
        content: The whole file.
        source: Where it comes from, for the message.

    Raises:
        FileFormatError: If it is damaged, or its points are not the first element.

    References:
        G. Turk, "The PLY polygon file format", 1994.
    """
    header = _read_header(content, source)
    vertex, body = header.vertex, content[header.num_bytes :]
    if header.encoding != "ascii":
        check_size(len(body), vertex.columns, vertex.num, source, at_least=not header.last)
        return split_records(np.frombuffer(body, record_type(vertex.columns), count=vertex.num))
    lines = text_lines(body, source)
    if vertex.num < 1 or len(lines) < vertex.num or (header.last and len(lines) > vertex.num):
        msg = (
            f"scan {source} has {len(lines)} lines of points, expected the {vertex.num} its header "
            "claims; it is cut off or damaged. Write it again."
        )
        raise FileFormatError(msg)
    return split_text(lines[: vertex.num], vertex.columns, source)


def _read_header(content: bytes, source: Path) -> _Header:
    start = content[:MAX_HEADER]
    end = start.find(b"end_header")
    newline = start.find(b"\n", end)
    lines = start[: max(end, 0)].decode("ascii", "replace").splitlines()
    if end < 0 or newline < 0 or lines[0].strip() != "ply":
        msg = f"scan {source} is no PLY file, or its header is cut off; write it again."
        raise FileFormatError(msg)
    encoding, elements = "", list[_Element]()
    for line in lines[1:]:
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
            msg = f"scan {source}: its header has the line {line[:60]!r}, which PLY does not know."
            raise FileFormatError(msg)
    if not encoding or not elements or elements[0].name != "vertex":
        found = ", ".join(element.name for element in elements) or "none"
        msg = (
            f"scan {source}: its elements are {found}, expected vertex first, with a line format "
            "before it; write it again with the points first."
        )
        raise FileFormatError(msg)
    check_names(elements[0].columns, source)
    return _Header(
        vertex=elements[0], last=len(elements) == 1, encoding=encoding, num_bytes=newline + 1
    )


def _number(text: str, source: Path) -> int:
    if len(text) > 18:
        msg = f"scan {source} claims {text[:18]}… elements; its header is damaged. Write it again."
        raise FileFormatError(msg)
    return int(text)


def _add_property(element: _Element, words: list[str], encoding: str, source: Path) -> None:
    if element.name != "vertex":
        return
    if len(words) != 3 or words[1] not in _TYPES:
        msg = (
            f"scan {source}: the points have the property {' '.join(words[1:])[:60]!r}, expected a "
            f"type ({', '.join(sorted(_TYPES))}) and a name; write it without."
        )
        raise FileFormatError(msg)
    element.columns.append(Column(name=words[2], dtype=_ORDER[encoding] + _TYPES[words[1]]))
