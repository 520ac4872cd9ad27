"""Arrays as the page reads them: one block of bytes with a small header (docs/viewer-format.md).

Eight bytes ``LDVIEW01``, the length of a JSON header (little-endian uint32), the header, zeros up
to a multiple of eight, then the arrays, each at a multiple of eight.
"""

import json
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from lidistill.records import Array

MAGIC: Final = b"LDVIEW01"
_ALIGNED: Final = 8
_DTYPES: Final = ("float32", "int8", "uint8", "int16", "uint16", "int32")


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """An array, and how its numbers are to be read: value = zero + scale * code."""

    array: Array
    scale: float | None = None
    zero: float | None = None
    by_columns: bool = False
    """Whether the bytes hold one column after the other, which gzip packs better."""


def pack(arrays: Mapping[str, Stored]) -> bytes:
    """The block of some arrays.

    Raises:
        ValueError: If an array is of a type that the page does not read.
    """
    entries: dict[str, dict[str, Any]] = {}
    parts: list[bytes] = []
    offset = 0
    for name, stored in arrays.items():
        array = stored.array
        if array.dtype.name not in _DTYPES:
            msg = f"array {name!r} has dtype {array.dtype.name}, expected one of {_DTYPES}"
            raise ValueError(msg)
        little = array.astype(array.dtype.newbyteorder("<"), copy=False)
        content = (little.T if stored.by_columns else little).tobytes()
        entry = {"dtype": array.dtype.name, "shape": list(array.shape), "offset": offset}
        entry |= {} if stored.scale is None else {"scale": stored.scale}
        entry |= {} if stored.zero is None else {"zero": stored.zero}
        entry |= {"layout": "columns"} if stored.by_columns else {}
        entries[name] = entry
        padding = -len(content) % _ALIGNED
        parts += [content, bytes(padding)]
        offset += len(content) + padding
    header = json.dumps({"arrays": entries}, separators=(",", ":")).encode()
    start = MAGIC + struct.pack("<I", len(header)) + header
    return b"".join([start, bytes(-len(start) % _ALIGNED), *parts])


def unpack(content: bytes) -> dict[str, Stored]:
    """The arrays of a block, as the page sees them.

    Raises:
        ValueError: If it is none.
    """
    if content[:8] != MAGIC:
        msg = f"a block begins with {content[:8]!r}, expected {MAGIC!r}"
        raise ValueError(msg)
    (length,) = struct.unpack_from("<I", content, 8)
    header = json.loads(content[12 : 12 + length])
    base = 12 + length + (-(12 + length) % _ALIGNED)
    arrays = {}
    for name, entry in header["arrays"].items():
        shape = entry["shape"]
        by_columns = entry.get("layout") == "columns"
        dtype = np.dtype(entry["dtype"]).newbyteorder("<")
        count = int(np.prod(shape))
        flat = np.frombuffer(content, dtype, count, base + entry["offset"])
        array = flat.reshape(shape[::-1]).T if by_columns else flat.reshape(shape)
        arrays[name] = Stored(
            array=array, scale=entry.get("scale"), zero=entry.get("zero"), by_columns=by_columns
        )
    return arrays
