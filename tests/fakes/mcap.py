"""MCAP and ROS 1 files by hand, also those that a writer did not finish, and hostile ones."""

import bz2
import struct
import zlib

MAGIC = b"\x89MCAP0\r\n"


def text(content):
    content = content.encode() if isinstance(content, str) else content
    return struct.pack("<I", len(content)) + content


def record(code, content):
    return struct.pack("<BQ", code, len(content)) + content


def schema(number, name, encoding="ros2msg", data=b""):
    return record(3, struct.pack("<H", number) + text(name) + text(encoding) + text(data))


def channel(number, of, topic, encoding="cdr"):
    return record(4, struct.pack("<HH", number, of) + text(topic) + text(encoding) + text(b""))


def message(number, ns, data):
    return record(5, struct.pack("<HIQQ", number, 0, ns, ns) + bytes(data))


def chunk(records, compression="", *, size=None, crc=None):
    """Records in a chunk that says to unpack to ``size`` bytes."""
    packed = {"": bytes, "lz4": _lz4, "zstd": _zstd}[compression](records)
    head = struct.pack(
        "<QQQI",
        0,
        0,
        len(records) if size is None else size,
        zlib.crc32(records) if crc is None else crc,
    )
    return record(6, head + text(compression) + struct.pack("<Q", len(packed)) + packed)


def mcap(*records, summary=b"", profile="ros2"):
    """A whole file; ``summary``: the records of its summary, if it has any."""
    body = MAGIC + record(1, text(profile) + text("fake")) + b"".join(records)
    body += record(15, struct.pack("<I", 0))
    start = len(body) if summary else 0
    return body + summary + record(2, struct.pack("<QQI", start, 0, 0)) + MAGIC


def bag1_record(data=b"", **fields):
    header = b"".join(text(name.encode() + b"=" + value) for name, value in fields.items())
    return text(header) + text(data)


def bag1(*records):
    """A ROS 1 bag that was never closed."""
    zero = {"index_pos": bytes(8), "conn_count": bytes(4), "chunk_count": bytes(4)}
    return b"#ROSBAG V2.0\n" + bag1_record(op=b"\x03", **zero) + b"".join(records)


def bag1_chunk(records, compression, *, size=None):
    packed = {"none": bytes, "bz2": bz2.compress, "lz4": _lz4}[compression](records)
    length = struct.pack("<I", len(records) if size is None else size)
    return bag1_record(packed, op=b"\x05", compression=compression.encode(), size=length)


def _lz4(content):
    import lz4.frame  # noqa: PLC0415  an optional package

    return lz4.frame.compress(content)


def _zstd(content):
    from backports import zstd  # noqa: PLC0415

    return zstd.compress(content)
