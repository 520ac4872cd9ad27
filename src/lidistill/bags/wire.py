"""The messages that matter, out of the bytes of ROS 1 or of CDR (ROS 2).

Their layout is ROS's own and fixed; lengths are compared with the bytes at hand before anything is
made of them.

References:
    sensor_msgs, geometry_msgs, tf2_msgs of ROS Noetic and ROS 2; "Common Data Representation",
    OMG formal/02-06-51.
"""

import struct
from collections.abc import Callable
from typing import Final

import numpy as np

from lidistill.bags.messages import (
    Bytes,
    CameraInfo,
    Cloud,
    Field,
    Floats,
    Header,
    Message,
    PackedImage,
    RawImage,
    Transform,
)
from lidistill.bags.records import RawMessage

_MAX_TEXT: Final = 1000
_MAX_FIELDS: Final = 256
_MAX_COEFFICIENTS: Final = 64
_PADDING: Final = 3
"""Bytes behind a message of CDR, which fill up to the next four."""


def parse(message: RawMessage) -> Message:
    """What a message says.

    Raises:
        ValueError: If its bytes are not those of its kind.
    """
    reader = _Reader(message.data, ros1=message.channel.encoding == "ros1")
    value = PARSERS[message.channel.kind](reader)
    reader.finish()
    return value


class _Reader:
    def __init__(self, data: memoryview, *, ros1: bool) -> None:
        self.ros1 = ros1
        self._order = "<"
        if not ros1:
            if len(data) < 4 or data[0] != 0 or data[1] not in {0, 1}:
                msg = f"the head {bytes(data[:4]).hex()} of another encoding than CDR"
                raise ValueError(msg)
            self._order = "<" if data[1] else ">"
            data = data[4:]
        self._data = data
        self._position = 0

    def numbers(self, code: str, count: int = 1) -> tuple[int | float, ...]:
        """Numbers of one kind, by the letter that ``struct`` has for it."""
        size = struct.calcsize(code)
        if not self.ros1:
            self._position = -(-self._position // size) * size
        start = self._advance(size * count)
        return struct.unpack_from(f"{self._order}{count}{code}", self._data, start)

    def whole(self, code: str = "I") -> int:
        return int(self.numbers(code)[0])

    def floats(self, count: int) -> Floats:
        return tuple(float(number) for number in self.numbers("d", count))

    def flag(self) -> bool:
        return bool(self.whole("B"))

    def text(self) -> str:
        """A text; CDR ends it with a zero."""
        length = self.whole()
        if length > _MAX_TEXT:
            msg = f"a text of {length} bytes"
            raise ValueError(msg)
        start = self._advance(length)
        content = bytes(self._data[start : start + length])
        return (content if self.ros1 else content.removesuffix(b"\0")).decode()

    def block(self) -> Bytes:
        """Bytes with their number in front."""
        length = self.whole()
        start = self._advance(length)
        return np.frombuffer(self._data, dtype=np.uint8, count=length, offset=start)

    def count(self, limit: int, what: str) -> int:
        """The number of things that follow."""
        number = self.whole()
        if number > limit:
            msg = f"{number} {what}, expected at most {limit}"
            raise ValueError(msg)
        return number

    def left(self) -> int:
        return len(self._data) - self._position

    def finish(self) -> None:
        """Check that nothing follows."""
        if self.left() > (0 if self.ros1 else _PADDING):
            msg = f"{self.left()} bytes more than a message of its kind"
            raise ValueError(msg)

    def _advance(self, size: int) -> int:
        start = self._position
        if start + size > len(self._data):
            msg = f"{len(self._data)} bytes, too few for the {start + size} that it claims"
            raise ValueError(msg)
        self._position = start + size
        return start


def _header(reader: _Reader) -> Header:
    if reader.ros1:
        reader.whole()  # a number that counts messages
    seconds = reader.whole("I" if reader.ros1 else "i")
    return Header(stamp_ns=seconds * 1_000_000_000 + reader.whole(), frame=reader.text())


def _cloud(reader: _Reader) -> Cloud:
    header, height, width = _header(reader), reader.whole(), reader.whole()
    fields = tuple(_field(reader) for _ in range(reader.count(_MAX_FIELDS, "fields")))
    cloud = Cloud(
        header=header,
        height=height,
        width=width,
        fields=fields,
        big_endian=reader.flag(),
        point_step=reader.whole(),
        row_step=reader.whole(),
        data=reader.block(),
    )
    reader.flag()  # whether every point is finite: it is looked at, not believed
    return cloud


def _field(reader: _Reader) -> Field:
    return Field(
        name=reader.text(), offset=reader.whole(), datatype=reader.whole("B"), count=reader.whole()
    )


def _raw_image(reader: _Reader) -> RawImage:
    return RawImage(
        header=_header(reader),
        height=reader.whole(),
        width=reader.whole(),
        encoding=reader.text(),
        big_endian=reader.flag(),
        step=reader.whole(),
        data=reader.block(),
    )


def _packed_image(reader: _Reader) -> PackedImage:
    return PackedImage(header=_header(reader), format=reader.text(), data=reader.block())


def _camera_info(reader: _Reader) -> CameraInfo:
    _header(reader)
    height, width, model = reader.whole(), reader.whole(), reader.text()
    num_bent = reader.count(_MAX_COEFFICIENTS, "coefficients of a lens")
    return CameraInfo(
        height=height,
        width=width,
        model=model,
        D=reader.floats(num_bent) if num_bent else (),
        K=reader.floats(9),
        R=reader.floats(9),
        P=reader.floats(12),
        binning=(reader.whole(), reader.whole()),
        roi=(reader.whole(), reader.whole(), reader.whole(), reader.whole()),
        roi_rectified=reader.flag(),
    )


def _transforms(reader: _Reader) -> tuple[Transform, ...]:
    return tuple(_transform(reader) for _ in range(reader.count(reader.left(), "transforms")))


def _transform(reader: _Reader) -> Transform:
    header = _header(reader)
    return Transform(
        parent=header.frame,
        child=reader.text(),
        translation=reader.floats(3),
        rotation=reader.floats(4),
    )


PARSERS: Final[dict[str, Callable[[_Reader], Message]]] = {
    "sensor_msgs/PointCloud2": _cloud,
    "sensor_msgs/Image": _raw_image,
    "sensor_msgs/CompressedImage": _packed_image,
    "sensor_msgs/CameraInfo": _camera_info,
    "tf2_msgs/TFMessage": _transforms,
}
"""By the kind of the message."""
ENCODINGS: Final = ("cdr", "ros1")
