"""The mean teacher feature, learned from the first batches and then frozen.

Shape letters: P pairs, C channels.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn


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
        self.register_buffer("mean", torch.zeros(num_channels, dtype=torch.float64))
        self.register_buffer("num_pairs", torch.zeros((), dtype=torch.float64))
        self.register_buffer("num_seen", torch.zeros((), dtype=torch.int64))

    @property
    def is_frozen(self) -> bool:
        """Whether enough batches have been seen."""
        return int(self.num_seen) >= self.num_batches

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
        sums = torch.cat([features.double().sum(0), self.mean.new_tensor([len(features)])])
        sums = sums if total is None else total(sums)
        count = self.num_pairs + sums[-1]
        self.mean += (sums[:-1] - sums[-1] * self.mean) / count.clamp(min=1)
        self.num_pairs.copy_(count)
        self.num_seen += 1

    def forward(self, features: Tensor) -> Tensor:
        """(P, C) features minus the mean so far."""
        return features - self.mean.to(features.dtype)
