"""Blocks, pooling and unpooling of LitePT and Point Transformer V3.

Shape letters: N cells of a level, L cells of the next coarser one, C channels, H heads.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lidistill.backbones.litept.attention import Arrangement, PatchAttention
from lidistill.backbones.litept.rotary import Rotation
from lidistill.distributed.all_reduce import SyncedBatchNorm
from lidistill.sparse.convolution import SparseConvolution
from lidistill.sparse.kernel_map import KernelMap

_PLACES: Final = 27  # of a kernel of three cells
_STEM_PLACES: Final = 125  # of one of five
_MLP_RATIO: Final = 4

Keep: TypeAlias = Callable[[float], Tensor | None]
"""From the rate of a residual to (N, 1) factors of its rows under stochastic depth, or None."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockPlan:
    """What a block consists of."""

    width: int
    """C."""
    heads: int
    """H of its attention; 0: it has none."""
    convolution: bool
    """Whether it begins with one; else it begins with a LayerNorm."""
    drop_path: float
    """How often both residuals of its attention leave out a row in training."""
    in_16_bits: bool
    """See ``PatchAttention``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where the cells of a level lie, as its blocks ask for it."""

    near: KernelMap | None
    """Of the blocks' convolutions; None where they have none."""
    arrangements: tuple[Arrangement, ...]
    """Block i takes number i modulo their number, one for each order; empty without attention."""
    angles: Rotation | None
    """Of each cell; None where positions are not encoded by rotation."""


def batch_norm(width: int, momentum: float) -> SyncedBatchNorm:
    """BatchNorm with the epsilon of both networks."""
    return SyncedBatchNorm(width, eps=1e-3, momentum=momentum)


class Stem(nn.Module):
    """From input channels to features: a convolution of five cells, norm, activation."""

    def __init__(self, channels: int, width: int, momentum: float) -> None:
        super().__init__()
        self.conv = SparseConvolution(channels, width, _STEM_PLACES)
        self.norm = batch_norm(width, momentum)

    def forward(self, x_NC: Tensor, near: KernelMap) -> Tensor:
        """(N, C) features of the cells."""
        return F.gelu(self.norm(self.conv(x_NC, near)))


class LocalMix(nn.Module):
    """Residual of the cells around a cell: a convolution, a matrix, a norm."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv = SparseConvolution(width, width, _PLACES, bias=True)
        self.linear = nn.Linear(width, width)
        self.norm = nn.LayerNorm(width)

    def forward(self, x_NC: Tensor, near: KernelMap) -> Tensor:
        """(N, C) residual."""
        return self.norm(self.linear(self.conv(x_NC, near)))


class PatchMix(nn.Module):
    """Two residuals, each behind its norm: attention in a patch, then a perceptron."""

    def __init__(self, plan: BlockPlan) -> None:
        super().__init__()
        width = plan.width
        self.attention_norm = nn.LayerNorm(width)
        self.attention = PatchAttention(width, plan.heads, in_16_bits=plan.in_16_bits)
        self.mlp_norm = nn.LayerNorm(width)
        self.mlp_wide = nn.Linear(width, _MLP_RATIO * width)
        self.mlp_narrow = nn.Linear(_MLP_RATIO * width, width)
        self.drop_path = plan.drop_path

    def forward(
        self, x_NC: Tensor, where: Arrangement, angles: Rotation | None, keep: Keep
    ) -> Tensor:
        """(N, C) features after both."""
        mixed_NC = self.attention(self.attention_norm(x_NC), where, angles)
        x_NC = x_NC + _kept(mixed_NC, keep(self.drop_path))
        hidden_NC = F.gelu(self.mlp_wide(self.mlp_norm(x_NC)))
        return x_NC + _kept(self.mlp_narrow(hidden_NC), keep(self.drop_path))


def _kept(x_NC: Tensor, factor_N1: Tensor | None) -> Tensor:
    return x_NC if factor_N1 is None else x_NC * factor_N1


class Block(nn.Module):
    """One block of a stage; its plan says which parts it has.

    Without a convolution it begins with a LayerNorm that takes the place of the features; it is no
    residual.
    """

    def __init__(self, plan: BlockPlan) -> None:
        super().__init__()
        self.local = LocalMix(plan.width) if plan.convolution else None
        self.entry_norm = None if plan.convolution else nn.LayerNorm(plan.width)
        self.patch = PatchMix(plan) if plan.heads else None

    def forward(
        self, x_NC: Tensor, place: Place, number: int, keep: Keep, around_NC: Tensor | None = None
    ) -> Tensor:
        """(N, C) features after the block.

        Args:
            x_NC: Features of the cells.
            place: Where the cells lie.
            number: Of the block in its stage.
            keep: Factors of residuals.
            around_NC: What the convolution reads; None: the features.
        """
        if self.local is not None:
            assert place.near is not None  # noqa: S101  the plan of the preparer is that of the network
            x_NC = x_NC + self.local(x_NC if around_NC is None else around_NC, place.near)
        if self.entry_norm is not None:
            x_NC = self.entry_norm(x_NC)
        if self.patch is None:
            return x_NC
        where = place.arrangements[number % len(place.arrangements)]
        return self.patch(x_NC, where, place.angles, keep)


class Pooling(nn.Module):
    """Cells to coarser ones: a matrix, the largest of the children in each channel, norm."""

    def __init__(self, fine: int, coarse: int, momentum: float) -> None:
        super().__init__()
        self.proj = nn.Linear(fine, coarse)
        self.norm = batch_norm(coarse, momentum)

    def forward(self, x_NC: Tensor, children_L8: Tensor) -> Tensor:
        """(L, C) features of the coarser cells; the gradient goes to one child for each."""
        x_NC = self.proj(x_NC)
        if torch.is_grad_enabled():
            with torch.no_grad():
                row_LC = _row_of_largest(x_NC, children_L8)
            largest_LC = x_NC.gather(0, row_LC)
        else:
            largest_LC = x_NC[children_L8].amax(1)
        return F.gelu(self.norm(largest_LC))


def _row_of_largest(x_NC: Tensor, children_L8: Tensor) -> Tensor:
    """(L, C) int64 row of the child that is largest in a channel, the first of equal ones.

    Child by child: ``argmax`` over a dimension in the middle takes three times as long on a CPU.
    """
    children_8L1 = children_L8.int().t().unsqueeze(-1)
    largest_LC = x_NC[children_L8[:, 0]]
    row_LC = children_8L1[0].expand_as(largest_LC).contiguous()
    for child_L1 in children_8L1[1:]:
        child_LC = x_NC[child_L1[:, 0]]
        torch.where(child_LC > largest_LC, child_L1, row_LC, out=row_LC)
        torch.maximum(largest_LC, child_LC, out=largest_LC)
    return row_LC.long()


class Unpooling(nn.Module):
    """Features of coarser cells added to those that the cells had before."""

    def __init__(self, coarse: int, skip: int, width: int, momentum: float) -> None:
        super().__init__()
        self.coarse = nn.Linear(coarse, width)
        self.coarse_norm = batch_norm(width, momentum)
        self.skip = nn.Linear(skip, width)
        self.skip_norm = batch_norm(width, momentum)

    def forward(
        self, coarse_LC: Tensor, skip_NC: Tensor, parent_N: Tensor
    ) -> tuple[Tensor, Tensor]:
        """(N, C) features of the finer cells, and (N, C) what they had before alone.

        The convolution of the first block that follows, if there is one, reads the latter: so does
        that of Point Transformer V3 as it is published, and its weights know nothing else.
        """
        coarse_LC = F.gelu(self.coarse_norm(self.coarse(coarse_LC)))
        skip_NC = F.gelu(self.skip_norm(self.skip(skip_NC)))
        return skip_NC + coarse_LC[parent_N], skip_NC
