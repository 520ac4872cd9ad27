"""Which frame comes when: a function of seed and epoch alone.

Nothing is remembered from one epoch to the next, so a run can start at any step.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

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
