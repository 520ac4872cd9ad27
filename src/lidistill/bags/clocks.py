"""Which time of a message becomes its name: that of its header, or that of its recording.

Scans and camera images find each other by time, so that one clock names them all.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np

_SECOND: Final = 1_000_000_000
_LATEST: Final = 1 << 63
_STEADY: Final = _SECOND
"""How far the delay of recording may vary, nanoseconds, so that it tells of the clocks."""
_APART: Final = 10 * _SECOND
"""Difference of two topics' delays, nanoseconds, that no transport or processing explains."""
_MAX_REPEATED: Final = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Times:
    """Both times of every message of a topic, in the order of recording, nanoseconds."""

    stamps: list[int]
    """Of the headers."""
    recorded: list[int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Clock:
    """The clock that names all files."""

    names: dict[str, list[int]]
    """By topic: the nanoseconds that name each of its messages; no two the same."""
    said: str
    """Which one it is, and why."""


def choose_clock(topics: Mapping[str, Times]) -> Clock:
    """Nanoseconds that name every message of every topic, all of one clock.

    Args:
        topics: The messages' times by topic, in any order; a topic may have none.

    Raises:
        ValueError: If neither clock tells the messages of a topic apart.
    """
    wrong = [f"{topic}: {why}" for topic, times in topics.items() if (why := _stamps_wrong(times))]
    stamped = {topic: times.stamps for topic, times in topics.items()}
    apart = "" if wrong else _clocks_differ(topics)
    if not wrong and not apart:
        return Clock(names=stamped, said="the messages' headers")
    if apart and not all(_is_usable(times.recorded) for times in topics.values()):
        said = f"the messages' headers, though {apart}: set time_offset (the bag's times repeat)"
        return Clock(names=stamped, said=said)
    wrong = wrong or [apart]
    names, moved = {}, 0
    for topic, times in topics.items():
        recorded, num_moved = _unique(times.recorded)
        if not _is_usable(times.recorded):
            msg = (
                f"no usable times: {'; '.join(wrong)}; and the bag's own times of {topic} are zero "
                "or repeat too. Record it again, or write times into its headers"
            )
            raise ValueError(msg)
        names[topic], moved = recorded, moved + num_moved
    said = (
        f"the bag's, when each message was recorded, for all topics, because {'; '.join(wrong)}. "
        "It includes what each sensor took to publish: look at the overlays of `lidistill data "
        "check`, and set time_offset"
    )
    return Clock(names=names, said=said + (f"; {moved} moved by nanoseconds" if moved else ""))


def _stamps_wrong(times: Times) -> str:
    """Why the headers' times of a topic cannot name its messages; empty if they can."""
    stamps = times.stamps
    total = len(stamps)
    if bad := sum(not 0 < stamp < _LATEST for stamp in stamps):
        return f"{bad} of {total} headers have no time (zero or negative)"
    if bad := total - len(set(stamps)):
        return f"{bad} of {total} headers repeat the time of another"
    order = sorted(range(total), key=lambda index: times.recorded[index])
    inverted = sum(stamps[b] < stamps[a] for a, b in pairwise(order))
    return f"the headers' times go backwards {inverted} times" if inverted else ""


def _clocks_differ(topics: Mapping[str, Times]) -> str:
    """Why the headers of two topics are of two clocks; empty if nothing says so."""
    delays: dict[str, float] = {}
    steady, longest = True, 0.0
    for topic, times in topics.items():
        if times.stamps:
            delay = np.array(times.recorded, dtype=np.float64) - np.array(times.stamps, np.float64)
            # A recorder that stalls, or replays, tells nothing about small differences.
            repeated = len(set(times.recorded)) < len(times.recorded)
            steady = steady and not repeated and bool(np.ptp(delay) <= _STEADY)
            delays[topic] = float(np.median(delay))
            longest = max(longest, float(np.ptp(times.recorded)), float(np.ptp(times.stamps)))
    if len(delays) < 2:
        return ""
    first, last = min(delays, key=lambda t: delays[t]), max(delays, key=lambda t: delays[t])
    apart = delays[last] - delays[first]
    if apart <= (_APART if steady else max(_APART, longest)):
        return ""
    return f"the headers of {last} are {apart / _SECOND:.3f} s behind those of {first}"


def _is_usable(recorded: list[int]) -> bool:
    """Whether times of recording can name messages: there are some, and few repeat."""
    moved, num_moved = _unique(recorded)
    return num_moved <= _MAX_REPEATED * len(moved) and all(0 < time < _LATEST for time in moved)


def _unique(times: list[int]) -> tuple[list[int], int]:
    """Times in which no two are the same: repeated ones nanoseconds later; and how many."""
    result = list(times)
    last = -_LATEST
    for index in sorted(range(len(times)), key=lambda index: times[index]):
        last = result[index] = max(times[index], last + 1)
    return result, sum(a != b for a, b in zip(times, result, strict=True))
