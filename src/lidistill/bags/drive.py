"""A drive of a folder of recordings, written message by message."""

import io
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import yaml
from PIL import Image, UnidentifiedImageError

from lidistill.bags.bag import Bag
from lidistill.bags.calibration import Rig
from lidistill.bags.clocks import Clock, Times, choose_clock
from lidistill.bags.clouds import cloud_records
from lidistill.bags.images import (
    is_deep,
    largest_sample,
    packed_file,
    raw_file,
    sample_bits,
)
from lidistill.bags.messages import CameraInfo, Cloud, PackedImage, RawImage
from lidistill.bags.records import RawMessage
from lidistill.bags.wire import parse
from lidistill.reading.names import shown
from lidistill.records import Array

_MAX_LINES: Final = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """What is said about it."""

    clock: Clock
    notes: list[str]
    to_do: list[str]


class DriveWriter:
    """Writes scans, images and calibration of one bag into a folder of recordings.

    Args:
        root: Folder to write; must not exist.
        bag: The bag, to look at all images of a topic where one does not tell enough.
        points: Topic of the lidar.
        cameras: Names of the cameras by the topics of their images.
    """

    def __init__(self, root: Path, bag: Bag, points: str, cameras: Mapping[str, str]) -> None:
        self._root, self._bag, self._points = root, bag, points
        self._cameras = cameras
        self.rig = Rig()
        self._notes: Counter[str] = Counter()
        self._folders = {points: root / "scans"} | {
            topic: root / "cameras" / camera for topic, camera in cameras.items()
        }
        self._files: dict[str, list[Path]] = {topic: [] for topic in self._folders}
        self._times = {topic: Times(stamps=[], recorded=[]) for topic in self._folders}
        self._bits: dict[str, int] = {}
        root.mkdir()

    def num_of(self, topic: str) -> int:
        """Files of a topic so far."""
        return len(self._files.get(topic, ()))

    def add(self, raw: RawMessage, info_of: Sequence[str]) -> None:
        """Write a scan or an image, or keep what says how they fit together."""
        topic, message = raw.channel.topic, parse(raw)
        if isinstance(message, tuple):
            self.rig.transforms += message
        elif isinstance(message, CameraInfo):
            for images in info_of:
                self.rig.note_info(images, message)
        elif isinstance(message, Cloud):
            records = self._records(message)
            if records is not None:
                self._new_file(raw, message.header.stamp_ns, ".npy", records)
        elif _is_blank(message):
            self._notes["images without a pixel, left out"] += 1
        else:
            content, suffix = self._image(topic, message)
            self._new_file(raw, message.header.stamp_ns, suffix, content)
            self.rig.note_camera(topic, message.header.frame)

    def _records(self, cloud: Cloud) -> Array | None:
        """Points of a scan; None where it has none, or is another lidar's."""
        if not self.rig.fits_lidar(cloud.header.frame):
            self._notes[
                f"scans of the frame {shown(cloud.header.frame)} left out: a drive has one lidar, "
                f"here {shown(self.rig.lidar_frame)}; record each lidar on a topic of its own to "
                "unpack both"
            ] += 1
            return None
        records = cloud_records(cloud, self._notes)
        if records is None:
            self._notes["scans without a point, left out"] += 1
        return records

    def _image(self, topic: str, message: RawImage | PackedImage) -> tuple[bytes, str]:
        if isinstance(message, PackedImage):
            content, suffix = packed_file(message, self._notes)
            if topic not in self.rig.sizes_hw and (size_hw := _size_hw(content)):
                self.rig.sizes_hw[topic] = size_hw
            return content, suffix
        self.rig.sizes_hw.setdefault(topic, (message.height, message.width))
        if is_deep(message) and topic not in self._bits:
            self._bits[topic] = self._sample_bits(topic)
        return raw_file(message, bits=self._bits.get(topic, 8), notes=self._notes)

    def _sample_bits(self, topic: str) -> int:
        """Bits that all images of a topic together need, so that one scale fits them all."""
        largest = 0
        for raw in self._bag.messages({topic}):
            image = parse(raw)
            if isinstance(image, RawImage) and not _is_blank(image) and is_deep(image):
                largest = max(largest, largest_sample(image))
        return sample_bits(largest)

    def _new_file(
        self, raw: RawMessage, stamp_ns: int, suffix: str, content: bytes | Array
    ) -> None:
        topic = raw.channel.topic
        path = self._folders[topic] / f"{len(self._files[topic])}{suffix}"
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, bytes):
            path.write_bytes(content)
        else:
            np.save(path, content, allow_pickle=False)
        self._files[topic].append(path)
        self._times[topic].stamps.append(stamp_ns)
        self._times[topic].recorded.append(raw.time_ns)

    def finish(self) -> Written:
        """Name all files by one clock, and write ``calibration.yaml`` with all that is known."""
        clock = choose_clock(self._times)
        for topic, files in self._files.items():
            for path, name in zip(files, clock.names[topic], strict=True):
                target = path.with_name(f"{name:019d}{path.suffix}")
                if target.exists():
                    msg = f"two messages of {topic} at {name} nanoseconds"
                    raise ValueError(msg)
                path.rename(target)
        entries, to_do = self.rig.entries(self._cameras)
        text = yaml.safe_dump({"match": "time", "cameras": entries}, default_flow_style=None)
        (self._root / "calibration.yaml").write_text(text, encoding="utf-8")
        notes = [f"{count} {what}" for what, count in self._notes.most_common(_MAX_LINES)]
        return Written(clock=clock, notes=notes, to_do=to_do)


def _is_blank(image: RawImage | PackedImage) -> bool:
    """Whether a driver had no image when it sent this; one that claims pixels is damaged."""
    claimed = image.height * image.width if isinstance(image, RawImage) else 0
    return not claimed and not image.data.size


def _size_hw(content: bytes) -> tuple[int, int] | None:
    """Height and width that a compressed image names; None if Pillow cannot tell."""
    try:
        with Image.open(io.BytesIO(content)) as image:
            return image.height, image.width
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return None
