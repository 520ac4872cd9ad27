"""Points to the cells of a 2D grid and back.

Shape letters: M points, O cells that hold or are read by a point, C channels.
"""

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import FunctionCtx, once_differentiable

from lidistill.backbones.waffleiron.plane import Plane


def segment_sum(
    values: Tensor, order: Tensor, offsets: Tensor, *, weight: Tensor | None = None
) -> Tensor:
    """(S, C) sums of runs of reordered rows, always added in the same order.

    Args:
        values: (N, C) rows.
        order: (E,) int64 rows in the order of the runs.
        offsets: (S + 1,) int64 where each run begins; the last one is E.
        weight: (E,) factor of each row.
    """
    if weight is not None:
        weight = weight.to(values.dtype)
    return F.embedding_bag(
        order,
        values.contiguous(),
        offsets,
        mode="sum",
        per_sample_weights=weight,
        include_last_offset=True,
    )


class _Flatten(torch.autograd.Function):
    @staticmethod
    def forward(ctx: FunctionCtx, points: Tensor, plane: Plane) -> Tensor:
        ctx.plane = plane  # type: ignore[attr-defined]
        return segment_sum(points, plane.fills, plane.fills_offsets, weight=plane.fills_share)

    @staticmethod
    @once_differentiable
    def backward(ctx: FunctionCtx, grad: Tensor) -> tuple[Tensor, None]:
        plane: Plane = ctx.plane  # type: ignore[attr-defined]
        share = plane.share.to(grad.dtype)
        return grad.index_select(0, plane.reads).mul_(share[:, None]), None


class _Inflate(torch.autograd.Function):
    @staticmethod
    def forward(ctx: FunctionCtx, cells: Tensor, plane: Plane) -> Tensor:
        ctx.plane = plane  # type: ignore[attr-defined]
        return cells.index_select(0, plane.reads)

    @staticmethod
    @once_differentiable
    def backward(ctx: FunctionCtx, grad: Tensor) -> tuple[Tensor, None]:
        plane: Plane = ctx.plane  # type: ignore[attr-defined]
        return segment_sum(grad, plane.reads_order, plane.reads_offsets), None


def flatten_points(points: Tensor, plane: Plane) -> Tensor:
    """(O, C) average of the points in each cell in use.

    Args:
        points: (M, C) features.
        plane: Where they lie.
    """
    return _Flatten.apply(points, plane)


def inflate_cells(cells: Tensor, plane: Plane) -> Tensor:
    """(M, C) features of the cell that each point reads.

    Args:
        cells: (O, C) features of the cells in use.
        plane: Where the points lie.
    """
    return _Inflate.apply(cells, plane)
