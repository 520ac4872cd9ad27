"""A ROS bag as the folder of recordings that ``kind: folder`` reads."""

import logging
import re
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from lidistill.bags.bag import open_bag
from lidistill.bags.drive import DriveWriter, Written
from lidistill.bags.topics import Topics
from lidistill.errors import ConfigError, FileFormatError, first_line
from lidistill.reading.names import shown

logger = logging.getLogger(__name__)

_ENDINGS: Final = ("compressed", "image_raw", "image", "image_color")
_SIDE: Final = ".unpacking-"


@dataclass(frozen=True, slots=True, kw_only=True)
class Unpacked:
    """What was written."""

    root: Path
    num_scans: int
    """Files of scans."""
    num_images: dict[str, int]
    """Files of images, by camera."""
    clock: str
    """Whose times name the files, and why."""
    notes: tuple[str, ...]
    """One line for everything that was converted, left out or not read."""
    to_do: tuple[str, ...]
    """One line for everything that the bag does not say and ``calibration.yaml`` needs."""


def camera_name(topic: str) -> str:
    """Name of the folder for a topic's images: ``/front/image_raw/compressed`` is ``front``."""
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
    """Write scans, images and calibration of a bag as a folder of recordings.

    Scans become ``scans/<nanoseconds>.npy`` with every field of the points; compressed images stay
    what they are, others are written as PNG of 8 bits a channel. Names are the times of the
    messages' headers, or of the bag where those cannot be used. The cameras' ``camera_info`` and
    ``/tf_static`` fill ``calibration.yaml`` as far as they go. Until everything is written it lies
    in a side folder, which is removed if anything fails.

    Args:
        bag: A ``.bag``, ``.mcap`` or ``.db3`` file, or the folder of a ROS 2 bag.
        output: Folder to write; must not exist, or be empty.
        points: Topic of the lidar's ``sensor_msgs/PointCloud2``.
        images: Topics of the cameras' ``Image`` or ``CompressedImage``.
        on_message: Called after each message, for a progress bar.

    Raises:
        ConfigError: If a topic is not in the bag or of another type, or the output is not empty.
        DatasetNotFoundError: If there is no such bag.
        FileFormatError: If the bag or a message is damaged, or its encoding is not known.
        MissingPackageError: If the package that unpacks its compression is not installed.
    """
    cameras = {topic: camera_name(topic) for topic in images}
    if len(set(cameras.values())) < len(images):
        msg = f"the topics {', '.join(images)} would share a folder; unpack one of them at a time."
        raise ConfigError(msg)
    with _side_folder(output) as side, open_bag(bag, scratch=side) as opened:
        cut = "".join(f" ({line})" for line in opened.losses())
        topics = Topics(opened.channels, points, images, where=f"bag {bag}{cut}")
        writer = DriveWriter(side / "drive", opened, points, cameras)
        for message in opened.messages(topics.wanted):
            if topics.is_right(message.channel):
                with _blamed(bag, message.channel.topic, writer.num_of(message.channel.topic)):
                    writer.add(message, topics.infos.get(message.channel.topic, ()))
                on_message()
        writer.rig.moving = topics.moving
        with _blamed(bag):
            written = writer.finish()
        return _move(side / "drive", output, written, cameras, opened.losses())


def _move(
    side: Path, output: Path, written: Written, cameras: Mapping[str, str], losses: list[str]
) -> Unpacked:
    """Move what was written to where it belongs, the calibration last; count it there."""
    for path in sorted(side.iterdir(), key=lambda path: path.is_file()):
        path.rename(output / path.name)
    num_images = {camera: _count(output / "cameras" / camera) for camera in cameras.values()}
    num_scans = _count(output / "scans")
    empty = [] if num_scans else ["no scan: the topic of the lidar has no message with points"]
    return Unpacked(
        root=output,
        num_scans=num_scans,
        num_images=num_images,
        clock=written.clock.said,
        notes=(*written.notes, *losses),
        to_do=(*written.to_do, *empty),
    )


def _count(folder: Path) -> int:
    return sum(1 for _ in folder.iterdir()) if folder.is_dir() else 0


@contextmanager
def _side_folder(output: Path) -> Iterator[Path]:
    """A folder in the output that is gone afterwards, and the output too if nothing came into it.

    Raises:
        ConfigError: If the output holds anything.
    """
    found = list(output.iterdir()) if output.is_dir() else []
    left = [path for path in found if path.name.startswith(_SIDE)]
    if (output.exists() and not output.is_dir()) or len(left) < len(found):
        msg = f"{output} is not an empty folder; name another, so that nothing is mixed."
        raise ConfigError(msg)
    for path in left:
        logger.warning("%s is left from an unpacking that was killed; remove it.", path)
    existed = output.exists()
    output.mkdir(parents=True, exist_ok=True)
    try:
        with tempfile.TemporaryDirectory(dir=output, prefix=_SIDE) as side:
            yield Path(side)
    finally:
        if not existed and not any(output.iterdir()):
            output.rmdir()


@contextmanager
def _blamed(bag: Path, topic: str = "", number: int = 0) -> Iterator[None]:
    """What a message or all of them say and cannot be, as an error that names them."""
    try:
        yield
    except (ValueError, OverflowError) as error:
        where = f": message {number + 1} of {shown(topic)[1:-1]} has" if topic else ":"
        reason = "".join(c if c.isprintable() else "?" for c in first_line(error)[:1000])
        msg = f"bag {bag} cannot be unpacked{where} {reason}. Nothing was written."
        raise FileFormatError(msg) from error
