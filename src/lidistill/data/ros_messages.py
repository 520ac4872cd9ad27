"""What ROS messages hold, as arrays, pictures and transforms; ROS itself is not needed.

Messages are objects with the attributes of their definitions, of ROS 1 or 2.

Shape letters: N points, H x W picture size.
"""

import io
from collections import deque
from collections.abc import Iterable
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lidistill.geometry import invert_rigid, quaternion_to_matrix, rigid
from lidistill.structures import Array

_NUMBERS: Final = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 8: "f8"}
_CHANNELS: Final = {
    "rgb8": (0, 1, 2),
    "bgr8": (2, 1, 0),
    "8UC3": (2, 1, 0),
    "rgba8": (0, 1, 2),
    "bgra8": (2, 1, 0),
    "mono8": (0,),
    "8UC1": (0,),
}
"""Where red, green and blue lie among a pixel's bytes."""
_PIXEL_BYTES: Final = {"rgba8": 4, "bgra8": 4, "mono8": 1, "8UC1": 1}
_STARTS: Final = {b"\xff\xd8\xff": ".jpg", b"\x89PNG": ".png"}
_RADIAL_TANGENTIAL: Final = {"plumb_bob", "radtan", ""}


def stamp_ns(message: Any) -> int:
    """Time of a message's header, nanoseconds."""
    stamp = message.header.stamp
    return int(stamp.sec) * 1_000_000_000 + int(stamp.nanosec)


def cloud_records(message: Any) -> NDArray[np.void]:
    """(N,) structured points of a ``sensor_msgs/PointCloud2``, packed, little-endian.

    Raises:
        ValueError: If its fields or sizes contradict each other.
    """
    order = ">" if message.is_bigendian else "<"
    names, codes, offsets = [], [], []
    for field in message.fields:
        code = _NUMBERS.get(int(field.datatype))
        if code is None or not 1 <= int(field.count) <= int(message.point_step):
            msg = f"field {field.name!r} has the type {field.datatype}, {field.count} of it"
            raise ValueError(msg)
        size = np.dtype(code).itemsize * int(field.count)
        if int(field.offset) + size > int(message.point_step):
            msg = f"field {field.name!r} lies outside of the {message.point_step} bytes of a point"
            raise ValueError(msg)
        if int(field.count) == 1:
            names.append(str(field.name))
            codes.append(order + code)
            offsets.append(int(field.offset))
    step, width, height = int(message.point_step), int(message.width), int(message.height)
    rows = np.asarray(message.data, dtype=np.uint8)
    if rows.size != height * int(message.row_step) or int(message.row_step) < width * step:
        msg = f"{rows.size} bytes for {height} rows of {message.row_step}, {width} points each"
        raise ValueError(msg)
    if not height * width:
        msg = "a cloud without points"
        raise ValueError(msg)
    packed = np.ascontiguousarray(rows.reshape(height, -1)[:, : width * step])
    layout = {"names": names, "formats": codes, "offsets": offsets, "itemsize": step}
    records = packed.reshape(-1).view(np.dtype(layout))  # type: ignore[call-overload]
    plain = np.dtype([(name, "<" + code[1:]) for name, code in zip(names, codes, strict=True)])
    return np.rec.fromarrays([records[name] for name in names], dtype=plain).view(plain)


def picture_file(message: Any) -> tuple[bytes, str]:
    """Content and ending of the file of a ``sensor_msgs/Image`` or ``CompressedImage``.

    Raises:
        ValueError: If its encoding is not known, or its sizes contradict each other.
    """
    data = np.asarray(message.data, dtype=np.uint8)
    if not hasattr(message, "encoding"):
        content = data.tobytes()
        for start, suffix in _STARTS.items():
            if content.startswith(start):
                return content, suffix
        msg = f"a compressed picture of the format {message.format!r}, expected JPEG or PNG"
        raise ValueError(msg)
    if message.encoding not in _CHANNELS:
        msg = f"the encoding {message.encoding!r}, expected one of {', '.join(_CHANNELS)}"
        raise ValueError(msg)
    height, width, step = int(message.height), int(message.width), int(message.step)
    pixel = _PIXEL_BYTES.get(message.encoding, 3)
    if data.size != height * step or step < width * pixel or not height * width:
        msg = f"{data.size} bytes for a picture of {height} rows of {step}, {width} pixels each"
        raise ValueError(msg)
    pixels = data.reshape(height, step)[:, : width * pixel].reshape(height, width, pixel)
    stream = io.BytesIO()
    picture = pixels[:, :, list(_CHANNELS[message.encoding])]
    Image.fromarray(picture[:, :, 0] if pixel == 1 else picture).save(stream, "PNG")
    return stream.getvalue(), ".png"


def camera_entry(info: Any, *, rectified: bool) -> dict[str, Any]:
    """``size_hw``, ``K`` and ``distortion`` of a ``sensor_msgs/CameraInfo``.

    Args:
        info: The message.
        rectified: Whether the pictures are: then the matrix P holds, and nothing is distorted.

    Raises:
        ValueError: If its lens is neither a pinhole nor radial-tangential with five coefficients.
    """
    # ROS 1 writes these names in capitals.
    K, D, P = (getattr(info, name if hasattr(info, name) else name.lower()) for name in "KDP")
    entry: dict[str, Any] = {"size_hw": [int(info.height), int(info.width)]}
    if rectified:
        return entry | {"K": np.reshape(P, (3, 4))[:, :3].tolist()}
    bent = [float(value) for value in D]
    if any(bent) and (info.distortion_model not in _RADIAL_TANGENTIAL or len(bent) not in {4, 5}):
        msg = f"a lens of the model {info.distortion_model!r} with {len(bent)} coefficients"
        raise ValueError(msg)
    entry |= {"K": np.reshape(K, (3, 3)).tolist()}
    return entry | ({"distortion": bent} if any(bent) else {})


class FrameTree:
    """Transforms between named frames, as ``/tf_static`` gives them.

    Args:
        transforms: ``geometry_msgs/TransformStamped`` messages.
    """

    def __init__(self, transforms: Iterable[Any]) -> None:
        self._steps: dict[str, dict[str, NDArray[np.float64]]] = {}
        for stamped in transforms:
            parent, child = (
                name.lstrip("/") for name in (stamped.header.frame_id, stamped.child_frame_id)
            )
            q, t = stamped.transform.rotation, stamped.transform.translation
            T_parent_child = rigid(quaternion_to_matrix((q.w, q.x, q.y, q.z)), [t.x, t.y, t.z])
            self._steps.setdefault(child, {})[parent] = T_parent_child
            self._steps.setdefault(parent, {})[child] = invert_rigid(T_parent_child)

    def find(self, to: str, origin: str) -> NDArray[np.float64] | None:
        """(4, 4) transform of coordinates of the frame ``origin`` to those of ``to``, or None."""
        to, origin = to.lstrip("/"), origin.lstrip("/")
        reached = {origin: np.eye(4)}
        waiting = deque([origin])
        while waiting:
            name = waiting.popleft()
            for following, T_following_name in self._steps.get(name, {}).items():
                if following not in reached:
                    reached[following] = T_following_name @ reached[name]
                    waiting.append(following)
        return reached.get(to)


def as_bytes(array: Array) -> bytes:
    """Content of a ``.npy`` file."""
    stream = io.BytesIO()
    np.save(stream, array, allow_pickle=False)
    return stream.getvalue()
