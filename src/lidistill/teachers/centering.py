"""The mean teacher feature, learned from the first batches and then frozen.

Shape letters: P pairs, C channels.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn


class BatchCount:
    """Number of batches in a buffer, read off its device only where something else wrote to it.

    Loading a checkpoint and undoing a bad step do; to read it at each batch would be to wait for a
    GPU at each batch.
    """

    def __init__(self) -> None:
        self._buffer: Tensor | None = None
        self._version = self._count = -1

    def of(self, buffer: Tensor) -> int:
        """What a buffer, () int64, holds."""
        if self._buffer is not buffer or self._version != buffer._version:
            self._know(buffer, int(buffer))
        return self._count

    def add_one(self, buffer: Tensor) -> None:
        """Count a batch."""
        count = self.of(buffer) + 1
        buffer += 1
        self._know(buffer, count)

    def _know(self, buffer: Tensor, count: int) -> None:
        self._buffer, self._version, self._count = buffer, buffer._version, count


class TargetCenter(nn.Module):
    """Subtracts the mean teacher feature.

    Raw features share one large direction, which makes the cosine of any two of them look good.
    Mean, count and batches are buffers, so a checkpoint keeps them.

    Args:
        num_channels: C.
        num_batches: Batches to learn the mean from; every pair weighs the same.
    """

    mean: Tensor
    num_pairs: Tensor
    num_seen: Tensor

    def __init__(self, num_channels: int, *, num_batches: int) -> None:
        super().__init__()
        self.num_batches = num_batches
        self._counted = BatchCount()
        self.register_buffer("mean", torch.zeros(num_channels, dtype=torch.float64))
        self.register_buffer("num_pairs", torch.zeros((), dtype=torch.float64))
        self.register_buffer("num_seen", torch.zeros((), dtype=torch.int64))

    @property
    def is_frozen(self) -> bool:
        """Whether enough batches have been seen."""
        return self._counted.of(self.num_seen) >= self.num_batches

    @torch.no_grad()
    def update(self, features: Tensor, total: Callable[[Tensor], Tensor] | None = None) -> None:
        """Add the features of one batch to the mean, unless it is frozen.

        Args:
            features: (P, C) of the paired pixels, as the teacher gives them.
            total: Sums a tensor over all processes; None where there is only one. All processes
                must call with the same number of batches.
        """
        if self.is_frozen:
            return
        sums = torch.cat([features.double().sum(0), self.mean.new_full((1,), len(features))])
        sums = sums if total is None else total(sums)
        count = self.num_pairs + sums[-1]
        self.mean += (sums[:-1] - sums[-1] * self.mean) / count.clamp(min=1)
        self.num_pairs.copy_(count)
        self._counted.add_one(self.num_seen)

    def forward(self, features: Tensor) -> Tensor:
        """(P, C) features minus the mean so far."""
        return features - self.mean.to(features.dtype)
