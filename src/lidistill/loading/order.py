"""Which frame comes when, and in which step: a function of seed and epoch alone.

Nothing is remembered from one epoch to the next, so a run can start at any step.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from lidistill.errors import ConfigError

Key: TypeAlias = tuple[int, int]
"""How often the frame's set has been gone through, and the frame's index in the whole mixture."""

_ORDER_STREAM = 0x0BDE  # keeps the shuffling apart from the samples' own random numbers


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameOrder:
    """The frames of every epoch of a mixture, shuffled.

    Without weights an epoch holds every frame once, as the papers mix their sets. With weights it
    holds as many frames, but each set's share of them follows its weight: a small set is gone
    through several times, in a new order and with new random samples each time, and a large one is
    continued in the next epoch where this one stopped. So within a set no frame is ever seen twice
    before all others have been seen once.
    """

    sizes: tuple[int, ...]
    """Frames of each set, in the order in which the mixture counts them."""
    weights: tuple[float, ...] | None = None
    """Share of each set, up to a factor; None for plain concatenation."""
    seed: int

    @property
    def num_frames(self) -> int:
        """Frames of an epoch."""
        return sum(self.sizes)

    def counts(self) -> tuple[int, ...]:
        """Frames of each set in an epoch; what does not divide goes to the largest remainders."""
        if self.weights is None:
            return self.sizes
        wanted = np.array(self.weights) / sum(self.weights) * self.num_frames
        counts = np.floor(wanted).astype(int)
        left = self.num_frames - int(counts.sum())
        counts[np.argsort(counts - wanted, kind="stable")[:left]] += 1
        return tuple(counts.tolist())

    def epoch(self, epoch: int) -> NDArray[np.int64]:
        """(num_frames, 2) keys of an epoch in the order they are used; see ``Key``."""
        return _epoch(self, epoch)


@lru_cache(maxsize=4)
def _epoch(order: FrameOrder, epoch: int) -> NDArray[np.int64]:
    shuffled = _permutation([_ORDER_STREAM, order.seed, epoch], order.num_frames)
    if order.weights is None:
        return np.stack([np.full_like(shuffled, epoch), shuffled], axis=1)
    first = np.cumsum((0, *order.sizes))
    parts = []
    for which, (size, count) in enumerate(zip(order.sizes, order.counts(), strict=True)):
        passes, within = np.divmod(np.arange(epoch * count, (epoch + 1) * count), size)
        index = np.empty_like(within)
        for number in np.unique(passes):
            here = passes == number
            stream = [_ORDER_STREAM, order.seed, int(number), which]
            index[here] = _permutation(stream, size)[within[here]]
        parts.append(np.stack([passes, first[which] + index], axis=1))
    return np.concatenate(parts)[shuffled]


def _permutation(stream: list[int], size: int) -> NDArray[np.int64]:
    return np.random.default_rng(stream).permutation(size)


@dataclass(frozen=True, slots=True, kw_only=True)
class StepPlan:
    """Which frames every optimiser step sees.

    An epoch has ``order.num_frames // batch_size`` steps; what is left over is dropped, as in the
    papers. A set smaller than one batch gives one step an epoch, in which frames repeat.
    """

    order: FrameOrder
    batch_size: int
    """Frames of one optimiser step."""
    micro_batch: int
    """At most so many frames, of all processes together, in one forward pass, where that leaves
    each process one; the gradients of a step are accumulated."""
    rank: int = 0
    """Which of the processes this one is."""
    world_size: int = 1
    """Processes that share every pass; each takes neighbouring frames of it."""

    def __post_init__(self) -> None:
        if self.batch_size < self.world_size:
            msg = (
                f"{self.world_size} processes cannot share steps of {self.batch_size} frames; set "
                f"train.batch_size to {self.world_size} or more, or start fewer processes."
            )
            raise ConfigError(msg)

    @property
    def steps_per_epoch(self) -> int:
        """Optimiser steps of an epoch."""
        return max(1, self.order.num_frames // self.batch_size)

    @property
    def passes_per_step(self) -> int:
        """Forward passes of an optimiser step; in each of them every process has a frame."""
        return min(-(-self.batch_size // self.micro_batch), self.batch_size // self.world_size)

    def keys(self, step: int) -> list[Key]:
        """Epoch and frame index of every sample of a step, of all processes."""
        epoch, within = divmod(step, self.steps_per_epoch)
        start = within * self.batch_size
        chosen = range(start, start + self.batch_size)
        keys = self.order.epoch(epoch).take(chosen, axis=0, mode="wrap")
        return [(passes, index) for passes, index in keys.tolist()]

    def passes(self, step: int) -> list[list[Key]]:
        """The keys of this process, for every pass of a step."""
        keys, count = self.keys(step), self.passes_per_step
        parts = [_portion(keys, index, count) for index in range(count)]
        return [_portion(part, self.rank, self.world_size) for part in parts]


def _portion(keys: list[Key], index: int, count: int) -> list[Key]:
    """Neighbouring keys, of which each of so many takers gets as many as the others or one less."""
    first, stop = (len(keys) * i // count for i in (index, index + 1))
    return keys[first:stop]
