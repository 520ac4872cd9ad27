"""Frames that cannot be read: the run stops, or goes on with others in their place.

What takes a bad frame's place is a function of seed, epoch and frame index, as everything else in
the order is, so a resumed run replaces it by the same frame.
"""

import logging
from collections.abc import Callable, Iterator
from typing import Annotated, Literal, NamedTuple, TypeVar

import numpy as np
from pydantic import Field

from lidistill.config import Config
from lidistill.errors import DatasetNotFoundError, FileFormatError, LidistillError
from lidistill.loading.order import FrameOrder, Key

logger = logging.getLogger(__name__)

T = TypeVar("T")

_STREAM = 0xBAD  # keeps the replacements apart from other random numbers
_ATTEMPTS = 10


class BadFrames(Config):
    """What a run does about frames that cannot be read."""

    policy: Literal["stop", "skip"] = "stop"
    limit: Annotated[int, Field(ge=1)] = 100
    """Different bad frames after which a run that skips them stops all the same."""


STOP = BadFrames()


class BadFrame(NamedTuple):
    """A frame that could not be read."""

    number: int
    """Its index in the whole mixture."""
    reason: str


class BadFrameCount:
    """Logs every bad frame once, and stops when there are too many.

    Args:
        config: How many are too many.
    """

    def __init__(self, config: BadFrames) -> None:
        self._config = config
        self._seen: set[int] = set()

    def add(self, frames: list[BadFrame]) -> None:
        """Count frames that were left out.

        Raises:
            FileFormatError: If there are more than the limit.
        """
        for frame in frames:
            if frame.number in self._seen:
                continue
            self._seen.add(frame.number)
            found, limit = len(self._seen), self._config.limit
            logger.warning("bad frame %d of at most %d is left out: %s", found, limit, frame.reason)
            if found > limit:
                msg = (
                    f"{found} frames cannot be read, more than data.bad_frames.limit={limit} (the "
                    f"last: {frame.reason}); mend them, or raise the limit."
                )
                raise FileFormatError(msg)


def first_made(
    make: Callable[[int, int], T], order: FrameOrder, key: Key, config: BadFrames
) -> tuple[T, list[BadFrame]]:
    """A sample by its key or, where the policy allows it, by that of a frame in its place.

    Args:
        make: Makes the sample of an epoch and a frame index.
        order: Order of the frames.
        key: Epoch and frame index that are wanted.
        config: What to do about frames that cannot be read.

    Returns:
        The sample, and the frames before it that could not be read.

    Raises:
        LidistillError: What the last attempt ended with, if none gave a sample.
    """
    skipped: list[BadFrame] = []
    last: LidistillError | None = None
    for attempt in attempts(order, key, config):
        try:
            return make(*attempt), skipped
        except LidistillError as error:
            skipped.append(BadFrame(number=attempt[1], reason=str(error)))
            last = error
    assert last is not None  # noqa: S101  there is always a first attempt
    if config.policy == "stop" and isinstance(last, FileFormatError | DatasetNotFoundError):
        msg = f"{last} With data.bad_frames.policy=skip others take such a frame's place."
        raise type(last)(msg) from last
    raise last


def attempts(order: FrameOrder, key: Key, config: BadFrames) -> Iterator[Key]:
    """The keys to try for a sample: its own, then others of the same set."""
    yield key
    if config.policy == "stop":
        return
    passes, index = key
    ends = np.cumsum(order.sizes)
    which = int(np.searchsorted(ends, index, side="right"))
    size = order.sizes[which]
    others = np.random.default_rng([_STREAM, order.seed, passes, index]).permutation(size)
    for other in (int(ends[which]) - size + others[:_ATTEMPTS]).tolist():
        if other != index:
            yield passes, other
