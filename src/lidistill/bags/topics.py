"""Which topics of a bag matter, and how they must be written."""

from collections.abc import Mapping, Sequence
from typing import Final

from lidistill.bags.calibration import MOVING, STATIC
from lidistill.bags.records import Channel
from lidistill.bags.wire import ENCODINGS
from lidistill.errors import ConfigError, suggestion
from lidistill.reading.names import shown

_CLOUD: Final = ("sensor_msgs/PointCloud2",)
_PACKED: Final = "sensor_msgs/CompressedImage"
_IMAGES: Final = ("sensor_msgs/Image", _PACKED)
_INFO: Final = ("sensor_msgs/CameraInfo",)
_STATIC: Final = ("tf2_msgs/TFMessage",)


class Topics:
    """The topics of a bag that matter, each with the kinds that are read.

    Args:
        channels: Of the bag.
        points: Topic of the lidar.
        images: Topics of the cameras.
        where: Names the bag in errors.

    Raises:
        ConfigError: If one is not in the bag, or written in a way that is not read.
    """

    def __init__(
        self, channels: Sequence[Channel], points: str, images: Sequence[str], *, where: str
    ) -> None:
        self._kinds = {points: _CLOUD} | dict.fromkeys(images, _IMAGES)
        # Each by itself: one topic may be named for both.
        for topic, kinds in ((points, _CLOUD), *((topic, _IMAGES) for topic in images)):
            check_topic(topic, kinds, channels, where)
        kinds_of = {c.topic: c.kind for c in channels if c.encoding in ENCODINGS}
        self.infos: dict[str, list[str]] = {}
        """Topics of images by that of their camera_info."""
        for topic in images:
            for info in _info_topics(topic, kinds_of):
                self.infos.setdefault(info, []).append(topic)
        self._kinds |= dict.fromkeys(self.infos, _INFO) | {STATIC: _STATIC}
        self.wanted = frozenset(self._kinds)
        self.moving = MOVING in kinds_of

    def is_right(self, channel: Channel) -> bool:
        """Whether a channel is written in a way that is read; another of its topic may be."""
        return channel.encoding in ENCODINGS and channel.kind in self._kinds[channel.topic]


def check_topic(
    topic: str, kinds: tuple[str, ...], channels: Sequence[Channel], where: str
) -> None:
    """Refuse a topic that is not there, or of none of some kinds.

    Raises:
        ConfigError: With the nearest fitting name.
    """
    mine = [channel for channel in channels if channel.topic == topic]
    if any(channel.kind in kinds and channel.encoding in ENCODINGS for channel in mine):
        return
    found = "is not in the bag"
    if mine:
        found = f"is a {shown(mine[0].kind)[1:-1]} written as {shown(mine[0].encoding)[1:-1]}"
    fitting = {c.topic for c in channels if c.kind in kinds and c.encoding in ENCODINGS}
    hint = suggestion(topic, [shown(name, limit=100)[1:-1] for name in fitting])
    msg = (
        f"{where}: topic {shown(topic)} {found}, expected {' or '.join(kinds)} written as "
        f"{' or '.join(ENCODINGS)}; {hint}"
    )
    raise ConfigError(msg)


def _info_topics(topic: str, kinds_of: Mapping[str, str]) -> list[str]:
    """The ``camera_info`` beside a topic, or beside the one that it is a compressed copy of."""
    parents = [topic.rpartition("/")[0]]
    # /front/image_raw/compressed is a copy of /front/image_raw; /rig/front/image_raw of nothing.
    if kinds_of.get(topic) == _PACKED or parents[0] in kinds_of:
        parents.append(parents[0].rpartition("/")[0])
    found = [f"{parent}/camera_info" for parent in parents]
    return [name for name in found if kinds_of.get(name) in _INFO][:1]
