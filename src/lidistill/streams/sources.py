"""Where messages of a lidar come from: a bag, or a pipe into which a program writes MCAP."""

import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from lidistill.bags.bag import open_bag
from lidistill.bags.mcap_stream import stream_messages
from lidistill.bags.records import Channel, RawMessage
from lidistill.bags.topics import check_topic
from lidistill.bags.wire import ENCODINGS
from lidistill.errors import ConfigError
from lidistill.reading.names import listed
from lidistill.scan_formats.scan_file import RECORDING_SUFFIXES

STANDARD_INPUT: Final = Path("-")
_CLOUD: Final = "sensor_msgs/PointCloud2"


@dataclass(frozen=True, slots=True, kw_only=True)
class Clouds:
    """The messages of one lidar."""

    topic: str
    messages: Iterator[RawMessage]
    losses: Callable[[], list[str]]
    """One line for every file that was not closed; after all messages were read."""


def is_recording(path: Path) -> bool:
    """Whether a path is a bag, or standard input, and not a scan or a folder of scans."""
    if path == STANDARD_INPUT or path.name.lower().endswith(RECORDING_SUFFIXES):
        return True
    if not (path / "metadata.yaml").is_file():
        return False
    return any(entry.name.lower().endswith(RECORDING_SUFFIXES) for entry in path.iterdir())


@contextmanager
def clouds_of(path: Path, *, topic: str | None, scratch: Path) -> Iterator[Clouds]:
    """The topic of a recording's lidar, and its messages.

    Args:
        path: A bag, or ``-``: MCAP from standard input.
        topic: Of the lidar; None: the only one with clouds. Of standard input, whose topics are
            not known before they come, the first one with clouds.
        scratch: Folder with room for bags that are packed as a whole.

    Raises:
        ConfigError: If the topic is not there, or there are several.
        DatasetNotFoundError: If there is no such bag.
        FileFormatError: If it is damaged.
        MissingPackageError: If the package that unpacks it is not installed.
    """
    if path == STANDARD_INPUT:
        # Without the buffer, whose lock a waiting thread would hold when Python ends.
        pipe = getattr(sys.stdin.buffer, "raw", sys.stdin.buffer)
        messages = stream_messages(pipe, where="standard input")
        chosen, fitting = _first_topic(messages, topic)
        yield Clouds(topic=chosen, messages=fitting, losses=list)
        return
    with open_bag(path, scratch=scratch) as bag:
        chosen = _only_topic(bag.channels, topic, path)
        fitting = (raw for raw in bag.messages({chosen}) if _is_cloud(raw.channel))
        yield Clouds(topic=chosen, messages=fitting, losses=bag.losses)


def at_its_own_pace(messages: Iterable[RawMessage]) -> Iterator[RawMessage]:
    """Messages of a recording when they would come live: as far apart as they were recorded."""
    begin: tuple[float, int] | None = None
    for raw in messages:
        if begin is None:
            begin = time.monotonic(), raw.time_ns
        due = begin[0] + (raw.time_ns - begin[1]) / 1e9
        time.sleep(max(0.0, due - time.monotonic()))
        yield raw


def _is_cloud(channel: Channel) -> bool:
    return channel.kind == _CLOUD and channel.encoding in ENCODINGS


def _only_topic(channels: Sequence[Channel], topic: str | None, path: Path) -> str:
    where = f"bag {path}"
    if topic is not None:
        check_topic(topic, (_CLOUD,), channels, where)
        return topic
    found = sorted({channel.topic for channel in channels if _is_cloud(channel)})
    if len(found) != 1:
        there = f"{len(found)} topics with {_CLOUD}: {listed(found)}"
        others = listed(sorted({channel.topic for channel in channels}))
        advice = "name one with --points TOPIC" if found else f"it has the topics {others}"
        msg = f"{where} has {there}, expected one; {advice}."
        raise ConfigError(msg)
    return found[0]


def _first_topic(
    messages: Iterator[RawMessage], topic: str | None
) -> tuple[str, Iterator[RawMessage]]:
    """The first topic with clouds, or the wanted one, and its messages; waits for the first."""
    others: set[str] = set()
    for first in messages:
        mine = first.channel.topic
        if _is_cloud(first.channel) and topic in {None, mine}:
            return mine, _and_further(first, messages)
        others.add(mine)
    wanted = _CLOUD if topic is None else f"clouds of {topic!r}"
    msg = f"standard input ended without {wanted}; it had messages of {listed(sorted(others))}."
    raise ConfigError(msg)


def _and_further(first: RawMessage, messages: Iterator[RawMessage]) -> Iterator[RawMessage]:
    yield first
    topic = first.channel.topic
    for raw in messages:
        if raw.channel.topic == topic and _is_cloud(raw.channel):
            yield raw
