"""Bags of ROS 1, version 2.0.

References:
    "Bags/Format/2.0", wiki.ros.org.
"""

import struct
from typing import Final

from lidistill.bags.records import (
    CHANNEL,
    CHUNK,
    MESSAGE,
    Channel,
    Chunk,
    Head,
    RecordFile,
    check_length,
    plain_kind,
)

MAGIC: Final = b"#ROSBAG V2.0\n"
_KINDS: Final = {2: MESSAGE, 5: CHUNK, 7: CHANNEL}
_MAX_FIELDS: Final = 1 << 16
"""Bytes of a record's header; it holds a few numbers and a topic."""


class Bag1File(RecordFile):
    """See ``RecordFile``."""

    first = len(MAGIC)

    def head(self, content: memoryview | None, position: int, end: int) -> Head | None:
        """See ``RecordFile.head``."""
        if position + 4 > end:
            return None
        (length,) = struct.unpack("<I", self._piece(content, position, position + 4))
        start = position + 4 + length
        if length > _MAX_FIELDS:
            msg = f"a record whose header has {length} bytes"
            raise ValueError(msg)
        if start + 4 > end:
            return None
        fields = bytes(self._piece(content, position + 4, start))
        (size,) = struct.unpack("<I", self._piece(content, start, start + 4))
        code = _value(_fields(fields), "op")
        return Head(
            kind=_KINDS.get(code[0], "") if len(code) == 1 else "",
            fields=fields,
            start=start + 4,
            end=start + 4 + size,
        )

    def _piece(self, content: memoryview | None, start: int, end: int) -> memoryview:
        return self._read(start, end) if content is None else content[start:end]

    def chunk(self, head: Head, content: memoryview) -> Chunk:
        """See ``RecordFile.chunk``."""
        fields = _fields(head.fields)
        compression = _value(fields, "compression").decode()
        (size,) = struct.unpack("<I", _value(fields, "size"))
        return Chunk(
            compression="" if compression == "none" else compression, size=size, data=content
        )

    def check(self, chunk: Chunk, content: bytearray | memoryview) -> None:
        """Chunks of this format have no checksum."""

    def define(self, head: Head, content: memoryview) -> None:
        """See ``RecordFile.define``."""
        if head.kind == CHANNEL:
            fields = _fields(head.fields)
            (number,) = struct.unpack("<I", _value(fields, "conn"))
            kind = _value(_fields(bytes(content)), "type").decode()
            self._channels[number] = Channel(
                topic=_value(fields, "topic").decode(), kind=plain_kind(kind), encoding="ros1"
            )

    def message(self, head: Head, content: memoryview) -> tuple[int, int, memoryview]:
        """See ``RecordFile.message``."""
        fields = _fields(head.fields)
        (number,) = struct.unpack("<I", _value(fields, "conn"))
        seconds, nanoseconds = struct.unpack("<II", _value(fields, "time"))
        return number, seconds * 1_000_000_000 + nanoseconds, content

    def index(self) -> int:
        """See ``RecordFile.index``."""
        head = self.head(None, self.first, self._size)
        if head is None:
            return 0
        check_length(head)
        place = _fields(head.fields).get("index_pos", b"")
        (start,) = struct.unpack("<Q", place) if len(place) == 8 else (0,)
        self.ended = self.first <= start < self._size
        self._data_end = start if self.ended else 0
        return self._data_end


def _fields(content: bytes) -> dict[str, bytes]:
    """Values of a record's header by their names."""
    fields = {}
    position = 0
    while position < len(content):
        (length,) = struct.unpack_from("<I", content, position)
        position += 4
        name, equals, value = content[position : position + length].partition(b"=")
        position += length
        if not equals or position > len(content):
            msg = "a record whose header is cut off"
            raise ValueError(msg)
        fields[name.decode()] = value
    return fields


def _value(fields: dict[str, bytes], name: str) -> bytes:
    if name not in fields:
        msg = f"a record without {name!r}"
        raise ValueError(msg)
    return fields[name]
