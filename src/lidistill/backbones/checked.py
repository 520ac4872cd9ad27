"""A network that computes in 16 bits where that was found to change next to nothing.

That is decided once, by a comparison of both precisions on the first scans. Afterwards about one
scan in a hundred is compared again. A hash of its points picks it, so that the features of a scan
depend on the first scans and on itself alone: not on the process, and not on what came before.

Shape letters: M points of a batch, C channels, D classes.
"""

import logging
import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final, TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor

from lidistill.backbones.base import Backbone
from lidistill.config import FrozenPrecision
from lidistill.records import Batch

logger = logging.getLogger(__name__)

ENOUGH: Final = 10_000
"""Points to look at first: fewer cannot show that 3 in 10,000 differ."""
COSINE: Final = 0.9999
"""Between features in 16 and in 32 bits that count as the same: 0.8 degrees."""
ONE_IN: Final = 100
"""Scans, of which one is computed both ways: 2 % of the time where 16 bits are twice as fast."""
_ROWS: Final = 64  # of a scan, whose bytes draw it

Judge: TypeAlias = Callable[[Tensor, Tensor], Tensor]
"""From exact (M, C) features and those of 16 bits to (M,) whether both say the same."""


def same_direction(exact_MC: Tensor, low_MC: Tensor) -> Tensor:
    """(M,) whether features point the same way; NaN agrees with nothing."""
    alike_M = F.cosine_similarity(exact_MC.double(), low_MC.double()) >= COSINE
    return alike_M | (exact_MC == low_MC).all(1)  # those of length 0 have no cosine


@dataclass(frozen=True, slots=True)
class SameClass:
    """Whether points have the same class."""

    scores: Callable[[Tensor], Tensor]
    """(M, D) class scores of (M, C) features: the head that is used."""

    def __call__(self, exact_MC: Tensor, low_MC: Tensor) -> Tensor:
        """(M,) whether they do; what is not finite has none."""
        same_M = self.scores(exact_MC).argmax(1) == self.scores(low_MC).argmax(1)
        return same_M & low_MC.isfinite().all(1)


@dataclass(frozen=True, slots=True)
class Difference:
    """Points that 16 bits change, and those that were looked at."""

    changed: int = 0
    points: int = 0

    def __add__(self, other: "Difference") -> "Difference":
        return Difference(self.changed + other.changed, self.points + other.points)

    @property
    def most_at_first(self) -> int:
        """How many may change in all that is looked at first: 3 in 10,000."""
        return 3 * self.points // 10_000

    @property
    def most_later(self) -> int:
        """How many may change in one scan: 1 in 1,000; 3 where a scan has few points."""
        return max(3, self.points // 1_000)


class CheckedNetwork(Backbone):
    """Computes in 16 bits if a comparison has shown that this changes next to nothing.

    Until that is decided, every scan is computed in both precisions, and the features of 32 bits
    are returned.

    Args:
        exact: The network in 32 bits.
        low: The same in 16.
        judge: What must stay the same.
        what: Its name in the log: ``class`` or ``direction``.
    """

    def __init__(self, exact: Backbone, low: Backbone, judge: Judge, *, what: str) -> None:
        super().__init__()
        self.exact, self.low = exact, low
        self.num_channels, self.num_layers = exact.num_channels, exact.num_layers
        self.channels = exact.channels
        self.taken: FrozenPrecision | None = None
        """The precision that was decided for; None: not decided yet."""
        self.seen = Difference()
        """What the comparison on the first scans has found so far."""
        self.num_exceptions = 0
        """Scans that were computed in 32 bits after it was decided for 16."""
        self._judge, self._what = judge, what
        self.eval()

    def settle(self, batches: Iterable[Batch]) -> None:
        """Decide on the first scans; where they have too few points, for 32 bits.

        Args:
            batches: Scans, of which only so many are taken as it needs.
        """
        for batch in batches:
            self._compare(batch)
            if self.taken is not None:
                return
        self._decide()

    @torch.no_grad()
    def forward(self, batch: Batch) -> Tensor:
        """See ``Backbone.forward``; without gradients."""
        if self.taken is None:
            return self._compare(batch)
        if self.taken == "fp32":
            return self.exact(batch).float()
        low_MC: Tensor = self.low(batch).float()
        if not _drawn(batch):
            return low_MC
        exact_MC: Tensor = self.exact(batch).float()
        found = self._difference(exact_MC, low_MC)
        if found.changed <= found.most_later:
            return low_MC
        self.num_exceptions += 1
        logger.warning(
            "scan %s: bf16 would give %d of its %d points another %s, expected at most %d; it was "
            "computed in fp32. This was one of the scans that are checked, one in %d: the others "
            "may differ as much, which fp32 for all of them rules out.",
            ", ".join(batch.frame_ids), found.changed, found.points, self._what, found.most_later,
            ONE_IN,
        )  # fmt: skip
        return exact_MC

    def layer_of(self, parameter_name: str) -> int:
        """See ``Backbone.layer_of``; there is nothing to train here."""
        raise KeyError(parameter_name)

    @torch.no_grad()
    def _compare(self, batch: Batch) -> Tensor:
        exact_MC: Tensor = self.exact(batch).float()
        self.seen += self._difference(exact_MC, self.low(batch).float())
        if self.seen.points >= ENOUGH:
            self._decide()
        return exact_MC

    def _difference(self, exact_MC: Tensor, low_MC: Tensor) -> Difference:
        same_M = self._judge(exact_MC, low_MC)
        return Difference(len(same_M) - int(same_M.sum()), len(same_M))

    def _decide(self) -> None:
        seen = self.seen
        if seen.points < ENOUGH:
            self.taken = "fp32"
            logger.info(
                "products in fp32: the scans have %d points, and %d are needed to see whether bf16 "
                "changes anything", seen.points, ENOUGH,
            )  # fmt: skip
            return
        self.taken = "bf16" if seen.changed <= seen.most_at_first else "fp32"
        logger.info(
            "products in %s: bf16 gives %d of the first %d points another %s, and at most %d may "
            "have one", self.taken, seen.changed, seen.points, self._what, seen.most_at_first,
        )  # fmt: skip


class BothPrecisions(Backbone):
    """A network in 32 and in 16 bits, for several uses that each decide for themselves.

    By itself it gives what 32 bits give.

    Args:
        network: As it was trained; it has a form with 16 bits.
    """

    def __init__(self, network: Backbone) -> None:
        super().__init__()
        self.exact, self.low = network.for_inference(), network.for_inference(torch.bfloat16)
        self.num_channels, self.num_layers = network.num_channels, network.num_layers
        self.channels = network.channels
        self.eval()

    def forward(self, batch: Batch) -> Tensor:
        """See ``Backbone.forward``."""
        return self.exact(batch)

    def checked(self, judge: Judge, *, what: str) -> CheckedNetwork:
        """A network that has not decided yet; see ``CheckedNetwork``."""
        return CheckedNetwork(self.exact, self.low, judge, what=what)

    def layer_of(self, parameter_name: str) -> int:
        """See ``Backbone.layer_of``; there is nothing to train here."""
        raise KeyError(parameter_name)


def _drawn(batch: Batch) -> bool:
    """Whether a scan is one of those that are compared again; a hash of its points says so."""
    step = max(1, len(batch.features) // _ROWS)
    rows = batch.features[::step].cpu().contiguous().numpy()
    return zlib.crc32(rows.tobytes()) % ONE_IN == 0
