"""A writer of MCAP that only ever appends, so that it also writes into a pipe.

References:
    MCAP format specification, mcap.dev/spec.
"""

import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import BinaryIO, Final

from lidistill.bags.mcap import MAGIC

_HEADER, _FOOTER, _SCHEMA, _CHANNEL, _MESSAGE, _CHUNK = 1, 2, 3, 4, 5, 6
_MESSAGE_INDEX, _CHUNK_INDEX, _STATISTICS, _METADATA, _METADATA_INDEX = 7, 8, 11, 12, 13
_SUMMARY_OFFSET, _DATA_END = 14, 15
_LIBRARY: Final = "lidistill"
_FLAT_CRC: Final = 0  # none over the data section, which is not kept


@dataclass(slots=True)
class _Channel:
    record: bytes
    count: int = 0


@dataclass(slots=True)
class _Summary:
    """What the end of the file says about the rest."""

    schemas: list[bytes] = field(default_factory=list)
    channels: list[_Channel] = field(default_factory=list)
    chunks: list[bytes] = field(default_factory=list)
    metadata: list[bytes] = field(default_factory=list)
    first_ns: int = 0
    last_ns: int = 0

    @property
    def num_messages(self) -> int:
        return sum(channel.count for channel in self.channels)


class McapWriter:
    """Writes one file; ``close`` writes the index, without which it can still be read.

    Each message is a chunk of its own, not packed, and on its way as soon as it is written: who
    reads from a pipe waits for nothing. What is kept for the index are some 100 bytes a message.

    Args:
        file: Open for writing; it need not seek.
        profile: What the channels are of.
    """

    def __init__(self, file: BinaryIO, *, profile: str = "ros2") -> None:
        self._file, self._position = file, 0
        self._summary = _Summary()
        self._write(MAGIC)
        self._write(_record(_HEADER, _text(profile) + _text(_LIBRARY)))

    def add_channel(self, topic: str, *, kind: str, definition: str) -> int:
        """Begin a topic.

        Args:
            topic: Its name.
            kind: ``sensor_msgs/msg/PointCloud2``.
            definition: Text of that message and of all that it is made of, as ROS 2 writes it.

        Returns:
            Number of the channel, for ``add``.
        """
        summary = self._summary
        number = len(summary.channels) + 1
        content = struct.pack("<H", number) + _text(kind) + _text("ros2msg") + _text(definition)
        summary.schemas.append(_record(_SCHEMA, content))
        content = struct.pack("<HH", number - 1, number) + _text(topic) + _text("cdr")
        summary.channels.append(_Channel(_record(_CHANNEL, content + struct.pack("<I", 0))))
        self._write(summary.schemas[-1])
        self._write(summary.channels[-1].record)
        return number - 1

    def add_metadata(self, name: str, values: Mapping[str, str]) -> None:
        """Write some texts by their names."""
        pairs = b"".join(_text(key) + _text(value) for key, value in values.items())
        record = _record(_METADATA, _text(name) + struct.pack("<I", len(pairs)) + pairs)
        index = struct.pack("<QQ", self._position, len(record)) + _text(name)
        self._summary.metadata.append(_record(_METADATA_INDEX, index))
        self._write(record)

    def add(self, channel: int, *, log_ns: int, publish_ns: int, data: bytes) -> None:
        """Write a message.

        Args:
            channel: From ``add_channel``.
            log_ns: When it was recorded.
            publish_ns: When it was sent.
            data: Of the message, in CDR.
        """
        summary = self._summary
        known = summary.channels[channel]
        head = struct.pack("<HIQQ", channel, known.count & 0xFFFFFFFF, log_ns, publish_ns)
        records = _record(_MESSAGE, head + data)
        start = self._position
        content = struct.pack("<QQQI", log_ns, log_ns, len(records), zlib.crc32(records))
        self._write(
            _record(_CHUNK, content + _text("") + struct.pack("<Q", len(records)) + records)
        )
        length, at = self._position - start, self._position
        index = struct.pack("<HIQQ", channel, 16, log_ns, 0)
        self._write(_record(_MESSAGE_INDEX, index))
        offsets = struct.pack("<IHQ", 10, channel, at)
        summary.chunks.append(
            struct.pack("<QQQQ", log_ns, log_ns, start, length)
            + offsets
            + struct.pack("<Q", self._position - at)
            + _text("")
            + struct.pack("<QQ", len(records), len(records))
        )
        summary.first_ns = min(summary.first_ns, log_ns) if summary.num_messages else log_ns
        summary.last_ns = max(summary.last_ns, log_ns)
        known.count += 1
        self._file.flush()

    def close(self) -> None:
        """Write index and end; the file itself stays open."""
        self._write(_record(_DATA_END, struct.pack("<I", _FLAT_CRC)))
        start, summary = self._position, self._summary
        groups = {
            _SCHEMA: summary.schemas,
            _CHANNEL: [channel.record for channel in summary.channels],
            _STATISTICS: [_record(_STATISTICS, self._statistics())],
            _METADATA_INDEX: summary.metadata,
            _CHUNK_INDEX: [_record(_CHUNK_INDEX, content) for content in summary.chunks],
        }
        content, offsets = b"", b""
        for kind, records in groups.items():
            group = b"".join(records)
            place = struct.pack("<BQQ", kind, start + len(content), len(group))
            offsets += _record(_SUMMARY_OFFSET, place) if group else b""
            content += group
        head = struct.pack("<BQQQ", _FOOTER, 20, start, start + len(content))
        crc = zlib.crc32(content + offsets + head)
        self._write(content + offsets + head + struct.pack("<I", crc) + MAGIC)
        self._file.flush()

    def _statistics(self) -> bytes:
        summary = self._summary
        counts = b"".join(
            struct.pack("<HQ", number, channel.count)
            for number, channel in enumerate(summary.channels)
        )
        return (
            struct.pack("<QHI", summary.num_messages, len(summary.schemas), len(summary.channels))
            + struct.pack("<III", 0, len(summary.metadata), len(summary.chunks))
            + struct.pack("<QQ", summary.first_ns, summary.last_ns)
            + struct.pack("<I", len(counts))
            + counts
        )

    def _write(self, content: bytes) -> None:
        self._file.write(content)
        self._position += len(content)


def _record(code: int, content: bytes) -> bytes:
    return struct.pack("<BQ", code, len(content)) + content


def _text(content: str) -> bytes:
    encoded = content.encode()
    return struct.pack("<I", len(encoded)) + encoded
