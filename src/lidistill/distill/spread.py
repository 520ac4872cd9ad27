"""How far a teacher's targets lie from their mean direction, learned and then frozen.

Shape letters: P pairs, K kept ones, T teacher channels, D of them compared at points.
"""

import logging
from collections.abc import Callable, Sequence
from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lidistill.distill.losses import LossForm, distillation_loss
from lidistill.distributed.all_reduce import place_among_ranks, sum_over_ranks
from lidistill.errors import TrainingError
from lidistill.teachers.centering import BatchCount

logger = logging.getLogger(__name__)

_KEPT: Final = 1024
"""Pairs to keep; the mean of as many distances is known to less than one percent."""
_LEAST: Final = 0.01
"""A teacher with less says the same of everything; two opposite directions are 2 apart."""


class TargetSpread(nn.Module):
    """Loss of a constant student, which predicts the mean target direction for every point.

    Losses of several teachers are measured in this unit, so that none counts for more because its
    targets differ more. Until it is frozen it is an estimate, in which early batches are compared
    with a mean of few. Features of some pairs of each batch are kept, and with the last batch it is
    computed anew from them and from the final mean. All are buffers, so a checkpoint holds them.

    Args:
        widths: Channels that each distance compares, D in all.
        num_channels: T, of the teacher.
        form: What the loss averages.
        num_batches: Batches to learn from; every pair weighs the same.
        name: Of the teacher.

    References:
        PHI-S, "Distribution balancing for label-free multi-teacher distillation" (ICLR 2025),
        brings teachers to one scale; of what it does, unit vectors leave the mean and this number.
    """

    direction: Tensor
    total: Tensor
    num_pairs: Tensor
    num_seen: Tensor
    kept: Tensor
    num_kept: Tensor

    def __init__(
        self,
        widths: Sequence[int],
        num_channels: int,
        *,
        form: LossForm,
        num_batches: int,
        name: str,
    ) -> None:
        super().__init__()
        self._widths, self._form = list(widths), form
        self.num_batches, self.name = num_batches, name
        self._counted = BatchCount()
        self.register_buffer("direction", torch.zeros(sum(widths), dtype=torch.float64))
        self.register_buffer("total", torch.zeros((), dtype=torch.float64))
        self.register_buffer("num_pairs", torch.zeros((), dtype=torch.float64))
        self.register_buffer("num_seen", torch.zeros((), dtype=torch.int64))
        rows = num_batches * max(1, _KEPT // num_batches)
        self.register_buffer("kept", torch.zeros(rows, num_channels))
        self.register_buffer("num_kept", torch.zeros((), dtype=torch.int64))

    @property
    def is_frozen(self) -> bool:
        """Whether enough batches have been seen."""
        return self._counted.of(self.num_seen) >= self.num_batches

    @property
    def value(self) -> Tensor:
        """Float32 scalar; never so small that one teacher would drown all others.

        Of a teacher that has not seen a point yet it is 1, since nothing is known of it.
        """
        mean = (self.total / self.num_pairs.clamp(min=1)).clamp(min=_LEAST)
        return torch.where(self.num_pairs > 0, mean, 1.0).float()

    @torch.no_grad()
    def update(self, features_PT: Tensor, targets: Callable[[Tensor], Tensor]) -> None:
        """Take in one batch, unless the spread is frozen; all processes do so equally often.

        Args:
            features_PT: Features of the paired pixels, as the teacher gives them.
            targets: Makes (P, D) targets of them, with the mean feature as it is known so far.

        Raises:
            TrainingError: If the last batch is in, and the teacher says the same of all.
        """
        if self.is_frozen:
            return
        unit_PD = self._unit(targets(features_PT))
        sums = torch.cat([unit_PD.sum(0), unit_PD.new_full((1,), len(unit_PD))])
        sums = sum_over_ranks(sums)
        count = self.num_pairs + sums[-1]
        self.direction += (sums[:-1] - sums[-1] * self.direction) / count.clamp(min=1)
        self.num_pairs.copy_(count)
        self.total += sum_over_ranks(self._distance(unit_PD))
        self._keep(features_PT)
        self._counted.add_one(self.num_seen)
        if self.is_frozen and int(self.num_kept):
            unit_KD = self._unit(targets(self.kept[: int(self.num_kept)]))
            self.direction.copy_(unit_KD.mean(0))
            self.total.copy_(self._distance(unit_KD) / len(unit_KD) * self.num_pairs)
            self._say()

    def _keep(self, features_PT: Tensor) -> None:
        """Keep features of pairs that lie evenly among those of all processes."""
        first, count = place_among_ranks(len(features_PT), features_PT.device)
        wanted, start = min(count, len(self.kept) // self.num_batches), int(self.num_kept)
        place = torch.arange(wanted, device=features_PT.device) * count // max(wanted, 1) - first
        here = (place >= 0) & (place < len(features_PT))
        rows = features_PT.new_zeros(wanted, features_PT.shape[1])
        rows[here] = features_PT[place[here]]
        self.kept[start : start + wanted] = sum_over_ranks(rows)
        self.num_kept += wanted

    def _unit(self, target_PD: Tensor) -> Tensor:
        """(P, D) float64, of length 1 in each distance."""
        parts = target_PD.double().split(self._widths, dim=1)
        return torch.cat([F.normalize(part, dim=1) for part in parts], dim=1)

    def _distance(self, unit_PD: Tensor) -> Tensor:
        """Sum over pairs of the loss of a student that only knows the mean direction."""
        if not len(unit_PD):
            return unit_PD.new_zeros(())
        constant_PD = self.direction.expand_as(unit_PD)
        loss, _ = distillation_loss(constant_PD, unit_PD, widths=self._widths, form=self._form)
        return loss * len(unit_PD)

    def _say(self) -> None:
        spread = float(self.total / self.num_pairs.clamp(min=1))
        if spread < _LEAST:
            msg = (
                f"teacher {self.name} says the same of all {int(self.num_pairs)} points so far "
                f"(spread {spread:.3g}), so nothing can be learned from it; leave it out, or see "
                "whether its images are what they should be."
            )
            raise TrainingError(msg)
        logger.info(
            "teacher %s: spread %.3f over %d pairs, from here on the unit of its loss",
            *(self.name, spread, int(self.num_pairs)),
        )
