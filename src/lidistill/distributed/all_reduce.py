"""What the processes of one run add up or put together; with one process each does nothing.

Networks need these, so they stand low in the order of imports: ``distributed.processes`` joins the
group, says which items are whose, and is what everything else asks. All are collective: every
process calls them, in the same order.

Shape letters: N rows of this process, R rows of all, C channels.
"""

from typing import Final, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.autograd.function import FunctionCtx, once_differentiable

T = TypeVar("T")

_BLOCK_VALUES: Final = 1 << 16
"""Numbers that are looked at at a time."""


def world_size() -> int:
    """Processes of this run."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def rank() -> int:
    """Number of this process, from 0."""
    return dist.get_rank() if world_size() > 1 else 0


class _Sum(torch.autograd.Function):
    @staticmethod
    def forward(ctx: FunctionCtx, x: Tensor) -> Tensor:
        del ctx
        total = x.detach().clone(memory_format=torch.contiguous_format)
        dist.all_reduce(total)
        return total

    @staticmethod
    @once_differentiable
    def backward(ctx: FunctionCtx, grad: Tensor) -> Tensor:
        del ctx
        # Every process's loss depends on every process's summand.
        total = grad.clone(memory_format=torch.contiguous_format)
        dist.all_reduce(total)
        return total


def sum_over_ranks(x: Tensor) -> Tensor:
    """Sum of a tensor of one shape over all processes; gradients flow to all of them."""
    return x if world_size() == 1 else _Sum.apply(x)


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx: FunctionCtx, x: Tensor, counts: list[int]) -> Tensor:
        first = sum(counts[: rank()])
        ctx.rows = slice(first, first + len(x))  # type: ignore[attr-defined]
        # Not every backend gathers different sizes, so all send as much as the longest.
        padded = x.new_zeros(max(counts), *x.shape[1:])
        padded[: len(x)] = x.detach()
        parts = [torch.empty_like(padded) for _ in counts]
        dist.all_gather(parts, padded)
        return torch.cat([part[:count] for part, count in zip(parts, counts, strict=True)])

    @staticmethod
    @once_differentiable
    def backward(ctx: FunctionCtx, grad: Tensor) -> tuple[Tensor, None]:
        total = grad.clone(memory_format=torch.contiguous_format)
        dist.all_reduce(total)
        return total[ctx.rows], None  # type: ignore[attr-defined]


def gather_over_ranks(x: Tensor) -> Tensor:
    """The rows of all processes, (N, ...) to (R, ...), in the order of their numbers."""
    return x if world_size() == 1 else _Gather.apply(x, _counts(len(x), x.device))


def gather_items(items: list[T]) -> list[T]:
    """What can be pickled, of all processes, in the order of their numbers; each gets it all."""
    if world_size() == 1:
        return items
    parts: list[list[T]] = [[] for _ in range(world_size())]
    dist.all_gather_object(parts, items)
    return [item for part in parts for item in part]


def place_among_ranks(count: int, device: torch.device) -> tuple[int, int]:
    """Where this process's rows begin among those of all, and how many all have."""
    if world_size() == 1:
        return 0, count
    counts = _counts(count, device)
    return sum(counts[: rank()]), sum(counts)


def _counts(count: int, device: torch.device) -> list[int]:
    counts = torch.zeros(world_size(), dtype=torch.int64, device=device)
    counts[rank()] = count
    dist.all_reduce(counts)
    return [int(n) for n in counts.tolist()]


def pool_moments(mean: Tensor, spread: Tensor, count: int) -> tuple[Tensor, Tensor, int]:
    """Mean and variance (or covariance) of the rows of all processes, from those of each.

    Args:
        mean: (C,) float64 mean of this process's rows.
        spread: (C,) variance or (C, C) covariance of them, without Bessel's correction.
        count: N.

    Returns:
        The same three over the R rows of all.
    """
    if world_size() == 1:
        return mean, spread, count
    square = mean.square() if spread.dim() == 1 else torch.outer(mean, mean)
    parts = torch.cat([mean, (spread + square).flatten(), torch.ones_like(mean[:1])])
    # A process without rows has no mean, which must not make everybody's NaN.
    sums = sum_over_ranks((parts if count else torch.nan_to_num(parts)) * count)
    total = sums[-1]
    pooled = sums[: len(mean)] / total
    square = pooled.square() if spread.dim() == 1 else torch.outer(pooled, pooled)
    second = (sums[len(mean) : -1] / total).view_as(spread)
    return pooled, second - square, int(total)


def _moments(x_NC: Tensor) -> tuple[Tensor, Tensor]:
    """(C,) variance and mean; zeros without rows, which still pass gradients on."""
    if len(x_NC) == 0:
        return x_NC.sum(0), x_NC.sum(0)
    if x_NC.device.type == "cpu" and not (x_NC.requires_grad and torch.is_grad_enabled()):
        return _moments_by_blocks(x_NC)
    return torch.var_mean(x_NC, dim=0, correction=0)


def _moments_by_blocks(x_NC: Tensor) -> tuple[Tensor, Tensor]:
    """The same in float64 of float32 blocks that stay near a core, without gradients.

    ``torch.var_mean`` along columns takes ten times as long.
    """
    size = max(64, _BLOCK_VALUES // x_NC.shape[1])
    near_C = x_NC[:size].mean(0)  # so that no digits are lost where a mean is far from zero
    total_C, square_C = x_NC.new_zeros(2, x_NC.shape[1], dtype=torch.float64).unbind()
    for block_NC in x_NC.split(size):
        from_near_NC = block_NC - near_C
        total_C += from_near_NC.sum(0)
        square_C += from_near_NC.square_().sum(0)
    offset_C = total_C / len(x_NC)
    return square_C / len(x_NC) - offset_C.square(), near_C + offset_C


@torch.no_grad()
def update_running_statistics(
    norm: nn.BatchNorm1d, mean_C: Tensor, variance_C: Tensor, count: int
) -> None:
    """Move the running statistics of a BatchNorm towards those of a batch.

    Args:
        norm: Whose buffers change.
        mean_C: Of the batch.
        variance_C: Of the batch, without Bessel's correction.
        count: Rows that they are from.
    """
    norm.get_buffer("num_batches_tracked").add_(1)
    momentum = 0.1 if norm.momentum is None else norm.momentum
    unbiased_C = variance_C * (count / max(count - 1, 1))
    for name, value_C in (("running_mean", mean_C), ("running_var", unbiased_C)):
        buffer = norm.get_buffer(name)
        buffer.lerp_(value_C.to(buffer.dtype), momentum)


class SingleRowError(ValueError):
    """A batch of one row, which has no variance to train with."""


class SyncedBatchNorm(nn.BatchNorm1d):
    """BatchNorm over the (N, C) rows of all processes, on any device.

    With one process, and in evaluation, it is ``torch.nn.BatchNorm1d``.
    """

    def forward(self, x_NC: Tensor) -> Tensor:
        """(N, C) normalised rows.

        Raises:
            SingleRowError: If a batch to train on, in one process, has one row or none.
        """
        if world_size() == 1 or not self.training:
            self._check(x_NC)
            return super().forward(x_NC)
        mean_C, variance_C = self.batch_moments(x_NC)
        scale_C = self.weight * torch.rsqrt(variance_C + self.eps).float()
        centred_NC = x_NC - mean_C.float()
        return centred_NC * scale_C + self.bias

    def batch_moments(self, x_NC: Tensor) -> tuple[Tensor, Tensor]:
        """(C,) float64 mean and variance over all processes; running statistics follow them.

        Raises:
            SingleRowError: See ``forward``.
        """
        self._check(x_NC)
        variance_C, mean_C = _moments(x_NC.float())
        mean_C, variance_C, count = pool_moments(mean_C.double(), variance_C.double(), len(x_NC))
        update_running_statistics(self, mean_C, variance_C, count)
        return mean_C, variance_C

    def _check(self, x_NC: Tensor) -> None:
        if world_size() == 1 and self.training and len(x_NC) < 2:
            msg = (
                f"the batch has {len(x_NC)} rows (points, or cells of a coarse level), and "
                "BatchNorm needs two or more to train on; "
                "raise train.micro_batch, or leave such scans out"
            )
            raise SingleRowError(msg)
