"""A ROS bag as the folder of recordings that ``kind: folder`` reads."""

import re
import sqlite3
import struct
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

from lidistill.data.ros_messages import (
    FrameTree,
    as_bytes,
    camera_entry,
    cloud_records,
    picture_file,
    stamp_ns,
)
from lidistill.errors import (
    UNREADABLE,
    ConfigError,
    DatasetNotFoundError,
    FileFormatError,
    LidistillError,
    first_line,
    require,
    suggestion,
)
from lidistill.reading.files import open_file

_DAMAGED: Final = (
    *UNREADABLE,
    *(AssertionError, struct.error, sqlite3.Error),
    *(MemoryError, OverflowError),  # of a record that claims to be longer than any memory
)
_MAX_BYTES: Final = 1 << 50  # bags are long
_CLOUD: Final = "PointCloud2"
_PICTURES: Final = ("Image", "CompressedImage")
_STATIC: Final = "/tf_static"
_ENDINGS: Final = ("compressed", "image_raw", "image", "image_color")


@dataclass(frozen=True, slots=True, kw_only=True)
class Unpacked:
    """What was written."""

    root: Path
    num_scans: int
    num_pictures: dict[str, int]
    """By camera."""
    to_do: tuple[str, ...]
    """One line for everything that the bag does not say and ``calibration.yaml`` needs."""


def camera_name(topic: str) -> str:
    """Name of the folder for a topic's pictures: ``/front/image_raw/compressed`` is ``front``."""
    parts = [part for part in topic.split("/") if part]
    while len(parts) > 1 and parts[-1] in _ENDINGS:
        parts.pop()
    return re.sub(r"[^A-Za-z0-9_-]", "_", "_".join(parts)) or "camera"


def unpack_bag(
    bag: Path,
    output: Path,
    *,
    points: str,
    images: Sequence[str],
    on_message: Callable[[], None] = lambda: None,
) -> Unpacked:
    """Write scans, pictures and calibration of a bag as a folder of recordings.

    Scans become ``scans/<nanoseconds>.npy`` with every field of the points; pictures keep their
    JPEG or PNG, others are written as PNG. Names are the times of the messages' headers. The
    cameras' ``camera_info`` and ``/tf_static`` fill ``calibration.yaml`` as far as they go.

    Args:
        bag: A ``.bag`` or ``.mcap`` file, or the folder of a ROS 2 bag.
        output: Folder to write; must not exist, or be empty.
        points: Topic of the lidar's ``sensor_msgs/PointCloud2``.
        images: Topics of the cameras' ``Image`` or ``CompressedImage``.
        on_message: Called after each message, for a progress bar.

    Raises:
        ConfigError: If a topic is not in the bag or of another type, or the output is not empty.
        DatasetNotFoundError: If there is no such bag.
        FileFormatError: If the bag or a message is damaged, or its encoding is not known.
        MissingPackageError: If ``rosbags`` is not installed.
    """
    if not bag.exists():
        msg = f"{bag} does not exist; give a .bag or .mcap file, or the folder of a ROS 2 bag."
        raise DatasetNotFoundError(msg)
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        msg = f"{output} is not an empty folder; name another, so that nothing is mixed."
        raise ConfigError(msg)
    for file in sorted(bag.iterdir()) if bag.is_dir() else [bag]:
        if not file.is_dir():
            with open_file(file, max_bytes=_MAX_BYTES):
                pass  # a pipe or a device, which may never end, is refused
    cameras = {topic: camera_name(topic) for topic in images}
    if len(set(cameras.values())) < len(images):
        msg = f"the topics {', '.join(images)} would share a folder; unpack one of them at a time."
        raise ConfigError(msg)
    with _open(bag) as reader:
        types = {c.topic: c.msgtype.rpartition("/")[2] for c in reader.connections}
        _check_topics(types, {points: (_CLOUD,)} | dict.fromkeys(images, _PICTURES))
        writer = _Writer(output, points, cameras)
        infos = {info: topic for topic in images for info in _info_topics(topic, types)}
        wanted = {points, *images, *infos, _STATIC}
        connections = [c for c in reader.connections if c.topic in wanted]
        for connection, _, raw in reader.messages(connections=connections):
            message = reader.deserialize(raw, connection.msgtype)
            try:
                writer.add(connection.topic, infos.get(connection.topic), message)
            except (ValueError, TypeError, AttributeError) as error:
                reason = f"a message of {connection.topic} has {first_line(error)}"
                raise _damaged(bag, reason) from error
            on_message()
    return writer.finish()


class _Writer:
    def __init__(self, output: Path, points: str, cameras: dict[str, str]) -> None:
        self._output, self._points, self._cameras = output, points, cameras
        self._num_scans = 0
        self._num_pictures = dict.fromkeys(cameras.values(), 0)
        self._frames: dict[str, str] = {}  # name of the frame of every topic
        self._infos: dict[str, Any] = {}
        self._static: list[Any] = []

    def add(self, topic: str, info_of: str | None, message: Any) -> None:
        """Write a scan or a picture, or keep what says how they fit together."""
        if topic == _STATIC:
            self._static += message.transforms
        elif info_of is not None:
            self._infos[info_of] = message
        elif topic == self._points:
            self._write("scans", message, as_bytes(cloud_records(message)), ".npy")
            self._num_scans += 1
        else:
            camera = self._cameras[topic]
            self._write(f"cameras/{camera}", message, *picture_file(message))
            self._num_pictures[camera] += 1
        if topic == self._points or topic in self._cameras:
            self._frames.setdefault(topic, str(message.header.frame_id))

    def finish(self) -> Unpacked:
        """Write ``calibration.yaml`` with all that is known."""
        entries: dict[str, Any] = {}
        to_do = []
        tree = FrameTree(self._static)
        for topic, camera in self._cameras.items():
            entries[camera], missing = self._camera(topic, tree)
            to_do += [f"calibration.yaml: cameras.{camera}: {line}" for line in missing]
        text = yaml.safe_dump({"match": "time", "cameras": entries}, default_flow_style=None)
        self._output.mkdir(parents=True, exist_ok=True)
        (self._output / "calibration.yaml").write_text(text, encoding="utf-8")
        if not self._num_scans:
            to_do.append(f"no scan: the topic {self._points} has no message")
        return Unpacked(
            root=self._output,
            num_scans=self._num_scans,
            num_pictures=self._num_pictures,
            to_do=tuple(to_do),
        )

    def _camera(self, topic: str, tree: FrameTree) -> tuple[dict[str, Any], list[str]]:
        entry: dict[str, Any] = {}
        missing = []
        if topic in self._infos:
            try:
                entry = camera_entry(self._infos[topic], rectified="rect" in topic)
            except ValueError as error:
                missing.append(f"{error}: rectify the pictures, and write their K and size_hw")
        else:
            missing.append("the bag has no camera_info of it: write size_hw, K and distortion")
        frames = self._frames.get(topic, ""), self._frames.get(self._points, "")
        T_cam_lidar = tree.find(*frames)
        if T_cam_lidar is None:
            missing.append(f"no transform from {frames[1]!r} to {frames[0]!r}: write T_cam_lidar")
        else:
            entry["T_cam_lidar"] = T_cam_lidar.tolist()
        return entry, missing

    def _write(self, folder: str, message: Any, content: bytes, suffix: str) -> None:
        path = self._output / folder / f"{stamp_ns(message):019d}{suffix}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


@contextmanager
def _open(bag: Path) -> Iterator[Any]:
    highlevel = require("rosbags.highlevel", extra="ros")
    typesys = require("rosbags.typesys", extra="ros")
    # Bags of ROS 2 before Iron do not say what their messages look like; these never changed.
    store = typesys.get_typestore(typesys.Stores.ROS2_HUMBLE)
    try:
        with highlevel.AnyReader([bag], default_typestore=store) as reader:
            yield reader
    except LidistillError:
        raise
    except (*_DAMAGED, highlevel.AnyReaderError) as error:
        raise _damaged(bag, first_line(error)) from error


def _check_topics(types: dict[str, str], wanted: dict[str, tuple[str, ...]]) -> None:
    for topic, kinds in wanted.items():
        if types.get(topic) not in kinds:
            fitting = [name for name, kind in types.items() if kind in kinds]
            found = f"is a {types[topic]}" if topic in types else "is not in the bag"
            msg = f"topic {topic!r} {found}, expected {kinds[0]}; {suggestion(topic, fitting)}"
            raise ConfigError(msg)


def _info_topics(topic: str, types: dict[str, str]) -> list[str]:
    """The ``camera_info`` beside a topic, or beside the one that it is a compressed copy of."""
    parents = [topic.rpartition("/")[0]]
    parents.append(parents[0].rpartition("/")[0])
    found = [f"{parent}/camera_info" for parent in parents]
    return [name for name in found if types.get(name) == "CameraInfo"][:1]


def _damaged(bag: Path, reason: str) -> FileFormatError:
    msg = f"bag {bag} cannot be unpacked ({reason}); copy it again, or convert that topic."
    return FileFormatError(msg)
