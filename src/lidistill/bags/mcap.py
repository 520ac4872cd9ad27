"""MCAP: the container of ROS 2 since Iron, and of Foxglove.

References:
    MCAP format specification, mcap.dev/spec.
"""

import struct
import zlib
from typing import BinaryIO, Final

from lidistill.bags.records import (
    CHANNEL,
    CHUNK,
    END,
    MESSAGE,
    SCHEMA,
    Channel,
    Chunk,
    Head,
    RecordFile,
    plain_kind,
)

MAGIC: Final = b"\x89MCAP0\r\n"
_KINDS: Final = {2: END, 3: SCHEMA, 4: CHANNEL, 5: MESSAGE, 6: CHUNK, 0x0F: END}
_FOOTER: Final = 37
"""Bytes of the footer's record and the magic behind it."""


class McapFile(RecordFile):
    """See ``RecordFile``."""

    first = len(MAGIC)

    def __init__(self, file: BinaryIO, size: int) -> None:
        super().__init__(file, size)
        self._schemas: dict[int, str] = {}

    def head(self, content: memoryview | None, position: int, end: int) -> Head | None:
        """See ``RecordFile.head``."""
        start = position + 9
        if start > end:
            return None
        raw = content[position:start] if content is not None else self._read(position, start)
        code, length = struct.unpack("<BQ", raw)
        if not code:
            msg = f"a record of the kind 0 at byte {position}"
            raise ValueError(msg)
        return Head(kind=_KINDS.get(code, ""), fields=b"", start=start, end=start + length)

    def chunk(self, head: Head, content: memoryview) -> Chunk:
        """See ``RecordFile.chunk``."""
        _, _, size, crc = struct.unpack_from("<QQQI", content)
        compression, position = _text(content, 28)
        (packed,) = struct.unpack_from("<Q", content, position)
        data = content[position + 8 : position + 8 + packed]
        if len(data) != packed and head.end <= self._size:
            msg = f"a chunk of {len(data)} bytes that says to have {packed}"
            raise ValueError(msg)
        return Chunk(compression=compression, size=size, data=data, crc=crc)

    def check(self, chunk: Chunk, content: bytearray | memoryview) -> None:
        """See ``RecordFile.check``."""
        if chunk.crc and zlib.crc32(content) != chunk.crc:
            msg = "a chunk with a wrong checksum"
            raise ValueError(msg)

    def define(self, head: Head, content: memoryview) -> None:
        """See ``RecordFile.define``."""
        if head.kind == SCHEMA:
            (number,) = struct.unpack_from("<H", content)
            self._schemas[number], _ = _text(content, 2)
        elif head.kind == CHANNEL:
            number, schema = struct.unpack_from("<HH", content)
            topic, position = _text(content, 4)
            encoding, _ = _text(content, position)
            # A channel may refer to a schema that the summary leaves out.
            kind = plain_kind(self._schemas.get(schema, "")) if schema else "unknown"
            self._channels[number] = Channel(topic=topic, kind=kind, encoding=encoding)

    def message(self, head: Head, content: memoryview) -> tuple[int, int, memoryview]:  # noqa: ARG002  only ROS 1 has headers
        """See ``RecordFile.message``."""
        number, _, time_ns = struct.unpack_from("<HIQ", content)
        if len(content) < 22:
            msg = f"a message record of {len(content)} bytes"
            raise ValueError(msg)
        return number, time_ns, content[22:]

    def index(self) -> int:
        """See ``RecordFile.index``."""
        footer = bytes(self._read(max(0, self._size - _FOOTER), self._size))
        if len(footer) < _FOOTER or footer[0] != 2 or not footer.endswith(MAGIC):
            return 0
        (start,) = struct.unpack_from("<Q", footer, 9)
        found = self.first <= start < self._size
        self._data_end = start if found else self._size - _FOOTER
        return start if found else 0


def _text(content: memoryview, position: int) -> tuple[str, int]:
    """A text with its length in front, and the offset behind it."""
    (length,) = struct.unpack_from("<I", content, position)
    end = position + 4 + length
    if end > len(content):
        msg = f"a text of {length} bytes in a record of {len(content)}"
        raise ValueError(msg)
    return str(content[position + 4 : end], "utf-8"), end
