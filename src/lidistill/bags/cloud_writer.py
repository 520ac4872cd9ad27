"""``sensor_msgs/PointCloud2`` out of structured points, in CDR as ROS 2 has it.

Shape letters: N points.
"""

import struct
from typing import Final

import numpy as np
from numpy.typing import NDArray

from lidistill.bags.messages import Header

KIND: Final = "sensor_msgs/msg/PointCloud2"
DEFINITION: Final = """\
std_msgs/Header header
uint32 height
uint32 width
PointField[] fields
bool is_bigendian
uint32 point_step
uint32 row_step
uint8[] data
bool is_dense
================================================================================
MSG: std_msgs/Header
builtin_interfaces/Time stamp
string frame_id
================================================================================
MSG: builtin_interfaces/Time
int32 sec
uint32 nanosec
================================================================================
MSG: sensor_msgs/PointField
uint8 INT8=1
uint8 UINT8=2
uint8 INT16=3
uint8 UINT16=4
uint8 INT32=5
uint8 UINT32=6
uint8 FLOAT32=7
uint8 FLOAT64=8
string name
uint32 offset
uint8 datatype
uint32 count
"""
"""What a bag says about it."""
_CODES: Final = {"i1": 1, "u1": 2, "i2": 3, "u2": 4, "i4": 5, "u4": 6, "f4": 7, "f8": 8}
_LITTLE_ENDIAN: Final = b"\0\1\0\0"
_SECOND: Final = 1_000_000_000
_MAX_SECONDS: Final = 1 << 31


def encode_cloud(header: Header, points: NDArray[np.void], *, height: int) -> bytes:
    """A whole message.

    Args:
        header: Stamp and frame.
        points: (N,) structured, little-endian, each field one number.
        height: Rows that the points come in; N is a multiple of it.

    Raises:
        ValueError: If ROS 2 has no such stamp.
    """
    if not -_MAX_SECONDS <= header.stamp_ns // _SECOND < _MAX_SECONDS:
        msg = f"a stamp of {header.stamp_ns // _SECOND} s, which ROS 2 cannot write"
        raise ValueError(msg)
    names, places = points.dtype.names or (), dict(points.dtype.fields or {})
    width, step = len(points) // max(height, 1), points.dtype.itemsize
    out = _Writer()
    out.numbers("iI", header.stamp_ns // _SECOND, header.stamp_ns % _SECOND)
    out.text(header.frame)
    out.numbers("III", height, width, len(names))
    for name in names:
        dtype, offset = places[name][:2]
        out.text(name)
        out.numbers("IBI", offset, _CODES[dtype.str[1:]], 1)
    out.numbers("BII", 0, step, width * step)
    data = points.tobytes()
    out.numbers("I", len(data))
    out.block(data)
    coordinates = [points[axis] for axis in "xyz" if axis in names]
    out.numbers("B", int(all(bool(np.isfinite(values).all()) for values in coordinates)))
    return out.finish()


def aligned_dtype(fields: list[tuple[str, str]]) -> np.dtype[np.void]:
    """Type of points whose numbers lie where C would put them, filled up to four bytes."""
    return np.dtype(fields, align=True)


class _Writer:
    """CDR: every number begins at a multiple of its size."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._size = 0

    def numbers(self, codes: str, *values: int) -> None:
        for code, value in zip(codes, values, strict=True):
            size = struct.calcsize(code)
            self.block(bytes(-self._size % size) + struct.pack(f"<{code}", value))

    def text(self, content: str) -> None:
        encoded = content.encode() + b"\0"
        self.numbers("I", len(encoded))
        self.block(encoded)

    def block(self, content: bytes) -> None:
        self._parts.append(content)
        self._size += len(content)

    def finish(self) -> bytes:
        return _LITTLE_ENDIAN + b"".join(self._parts)
