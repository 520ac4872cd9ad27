"""The messages that matter, as records: those of ROS 1 and ROS 2 say the same."""

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Bytes: TypeAlias = NDArray[np.uint8]
Floats: TypeAlias = tuple[float, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """``std_msgs/Header``."""

    stamp_ns: int
    frame: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """``sensor_msgs/PointField``."""

    name: str
    offset: int
    datatype: int
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Cloud:
    """``sensor_msgs/PointCloud2``."""

    header: Header
    height: int
    width: int
    fields: tuple[Field, ...]
    big_endian: bool
    point_step: int
    row_step: int
    data: Bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class RawImage:
    """``sensor_msgs/Image``."""

    header: Header
    height: int
    width: int
    encoding: str
    big_endian: bool
    step: int
    data: Bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class PackedImage:
    """``sensor_msgs/CompressedImage``."""

    header: Header
    format: str
    data: Bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class CameraInfo:
    """``sensor_msgs/CameraInfo`` without its header."""

    height: int
    width: int
    model: str
    D: Floats
    K: Floats
    """(9,) row by row."""
    R: Floats
    """(9,) row by row."""
    P: Floats
    """(12,) row by row."""
    binning: tuple[int, int]
    """Columns and rows that became one pixel; 0 is 1."""
    roi: tuple[int, int, int, int]
    """x offset, y offset, height, width; all 0: the whole image."""
    roi_rectified: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Transform:
    """``geometry_msgs/TransformStamped``."""

    parent: str
    child: str
    translation: Floats
    """x, y, z."""
    rotation: Floats
    """x, y, z, w."""


Message: TypeAlias = Cloud | RawImage | PackedImage | CameraInfo | tuple[Transform, ...]


def rows(data: Bytes, *, height: int, row_bytes: int, step: int, what: str) -> Bytes:
    """(height, row_bytes) bytes of a cloud's or an image's rows, without the padding behind them.

    Drivers that leave the step at 0, or give it another meaning, write rows without padding; the
    length of the data tells.

    Args:
        data: All of them.
        height: Rows.
        row_bytes: Bytes of a row that mean something.
        step: Bytes from one row to the next, as the message says.
        what: What it is, for the error.

    Raises:
        ValueError: If the data are of neither length.
    """
    if data.size == height * row_bytes:
        return data.reshape(height, row_bytes)
    padded = height * step
    # The last row may come without its padding.
    if step >= row_bytes and height > 0 and padded - (step - row_bytes) <= data.size <= padded:
        filled = data if data.size == padded else np.pad(data, (0, padded - data.size))
        return filled.reshape(height, step)[:, :row_bytes]
    msg = (
        f"{data.size} bytes for {what} of {height} rows of {row_bytes} bytes, "
        f"{step} from one to the next"
    )
    raise ValueError(msg)
