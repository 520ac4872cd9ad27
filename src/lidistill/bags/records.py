"""What the two formats that are rows of records share: they are walked from front to end.

An index is read where there is one and believed only for which topics there are; messages are
found by walking, so that a file without an index, or without its end, gives what it holds.
"""

import struct
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import BinaryIO, Final

from lidistill.bags.decompression import MAX_BYTES, decompress

SCHEMA: Final = "schema"
CHANNEL: Final = "channel"
MESSAGE: Final = "message"
CHUNK: Final = "chunk"
END: Final = "end"
_FREE: Final = 1 << 30
_RATIO: Final = 256
"""What a file may unpack to altogether: so many bytes, and so many more for each of its own."""
_MAX_RECORDS: Final = 1_000_000
_RECORD: Final = 4
"""Records of a file: so many, and one more for each so many of its bytes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Channel:
    """A topic, and how its messages are written."""

    topic: str
    kind: str
    """``sensor_msgs/PointCloud2``, however the version of ROS writes it."""
    encoding: str
    """``cdr``, ``ros1``, or another, which is not read here."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RawMessage:
    """A message as the bag holds it."""

    channel: Channel
    time_ns: int
    """When it was recorded."""
    data: memoryview


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """Where a record lies in the file, and what it is."""

    kind: str
    """One of the kinds above, or "" for one that does not matter here."""
    fields: bytes
    """Of ROS 1: the record's header."""
    start: int
    """Offset of its content."""
    end: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunk:
    """A packed row of records."""

    compression: str
    """Empty: it is not packed."""
    size: int
    """Bytes that it says to unpack to."""
    data: memoryview
    crc: int = 0
    """Checksum of the unpacked bytes; 0: none."""


class RecordFile(ABC):
    """A bag that is a row of records.

    Args:
        file: Open for reading.
        size: Its bytes.
    """

    first: int
    """Offset of the first record."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        self._file, self._size = file, size
        self._channels: dict[int, Channel] = {}
        self.lost = 0
        """Bytes at the end that belong to no whole record, once it was walked."""
        self.ended = False
        """Whether whoever wrote the file also closed it."""
        self._walked = False
        self._unpacked = 0
        self._num_records = 0
        self._data_end = 0
        """Offset behind the last message, if whoever wrote the file said so."""

    @property
    def unfinished(self) -> bool:
        """Whether the file was walked and has no end."""
        return self._walked and (self.lost > 0 or not self.ended)

    @abstractmethod
    def head(self, content: memoryview | None, position: int, end: int) -> Head | None:
        """The record at an offset of the file, or of an unpacked chunk; None if it is cut off."""

    @abstractmethod
    def chunk(self, head: Head, content: memoryview) -> Chunk:
        """The chunk that a record holds; of one that is cut off, what is there."""

    @abstractmethod
    def define(self, head: Head, content: memoryview) -> None:
        """Take note of a schema or channel."""

    @abstractmethod
    def message(self, head: Head, content: memoryview) -> tuple[int, int, memoryview]:
        """Number of the channel, time in nanoseconds, and data."""

    @abstractmethod
    def index(self) -> int:
        """Offset of the records that name all channels, or 0."""

    @abstractmethod
    def check(self, chunk: Chunk, content: bytearray | memoryview) -> None:
        """Compare what was unpacked with what the chunk says about it."""

    def channels(self) -> list[Channel]:
        """All channels of the file."""
        if start := self.index():
            for head, content in self._walk(start, dense=False):
                self.define(head, content)
        if not self._channels or any(not channel.kind for channel in self._channels.values()):
            for head, content in self._walk(self.first, dense=True):
                self.define(head, content)
        return list(self._channels.values())

    def messages(self, topics: Collection[str]) -> Iterator[RawMessage]:
        """Messages of some topics, in the order of the file."""
        for head, content in self._walk(self.first, dense=True):
            if head.kind != MESSAGE:
                self.define(head, content)
                continue
            number, time_ns, data = self.message(head, content)
            channel = self._channels.get(number)
            if channel is not None and channel.topic in topics:
                yield RawMessage(channel=channel, time_ns=time_ns, data=data)

    def _read(self, start: int, end: int) -> memoryview:
        self._file.seek(start)
        return memoryview(self._file.read(end - start))

    def _walk(self, position: int, *, dense: bool) -> Iterator[tuple[Head, memoryview]]:
        """Schemas, channels and messages from an offset on, those in chunks too.

        Args:
            position: Offset of a record.
            dense: Look into chunks, and count what is lost at the end.
        """
        self._unpacked = self._num_records = 0
        self._walked |= dense
        while head := self.head(None, position, self._size):
            if head.kind == END:
                self.ended = True
                return
            if head.end > self._size:
                break
            self._count()
            if head.kind == CHUNK and dense:
                yield from self._unpack(head, cut=False)
            elif head.kind not in {"", CHUNK}:
                check_length(head)
                yield head, self._read(head.start, head.end)
            position = head.end
        if position < self._data_end:
            msg = f"a record at byte {position} that claims more bytes than the file has"
            raise ValueError(msg)
        if dense:
            self.lost = self._size - position
        if dense and head is not None and head.kind == CHUNK:
            yield from self._unpack(head, cut=True)

    def _count(self) -> None:
        self._num_records += 1
        if self._num_records > _MAX_RECORDS + self._size // _RECORD:
            msg = f"more than {self._num_records - 1} records in {self._size} bytes"
            raise ValueError(msg)

    def _unpack(self, head: Head, *, cut: bool) -> Iterator[tuple[Head, memoryview]]:
        if not cut:
            check_length(head)
        content = self._read(head.start, min(head.end, self._size, head.start + MAX_BYTES))
        try:
            chunk = self.chunk(head, content)
        except (ValueError, struct.error):
            if cut:  # within what stands before its records
                return
            raise
        if chunk.size > MAX_BYTES:
            msg = (
                f"a chunk that says to unpack to {chunk.size} bytes, expected at most {MAX_BYTES}: "
                "write it again in smaller chunks"
            )
            raise ValueError(msg)
        self._unpacked += chunk.size
        if self._unpacked > _FREE + _RATIO * self._size:
            msg = f"chunks that say to unpack to {self._unpacked} bytes from {self._size}"
            raise ValueError(msg)
        records: memoryview | bytearray = chunk.data
        if chunk.compression:
            records = decompress(chunk.data, chunk.compression, limit=chunk.size, cut=cut)
        if not cut:
            if len(records) != chunk.size:
                msg = f"a chunk of {len(records)} bytes that says to have {chunk.size}"
                raise ValueError(msg)
            self.check(chunk, records)
        yield from self._inner(memoryview(records), cut=cut)

    def _inner(self, records: memoryview, *, cut: bool) -> Iterator[tuple[Head, memoryview]]:
        position = 0
        while position < len(records):
            head = self.head(records, position, len(records))
            if head is None or head.end > len(records):
                if cut:
                    return
                msg = "a chunk whose last record is cut off"
                raise ValueError(msg)
            self._count()
            if head.kind in {CHUNK, END}:
                msg = "a chunk inside of a chunk"
                raise ValueError(msg)
            if head.kind:
                yield head, records[head.start : head.end]
            position = head.end


def check_length(head: Head) -> None:
    """Compare the length of a record with what any message or chunk needs.

    Raises:
        ValueError: If it is longer.
    """
    if head.end - head.start > MAX_BYTES:
        msg = f"a record of {head.end - head.start} bytes, expected at most {MAX_BYTES}"
        raise ValueError(msg)


def plain_kind(name: str) -> str:
    """``sensor_msgs/Image`` for the type's name in either version of ROS."""
    parts = name.split("/")
    return "/".join([parts[0], parts[-1]]) if len(parts) == 3 and parts[1] == "msg" else name
