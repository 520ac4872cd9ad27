"""``edge_max`` on a GPU: all neighbours of some points at a time, kernels around ``torch.mm``.

Shape letters: M points, S points at a time, K neighbours, F input channels (the last one is 1 and
carries the bias), C channels, R points and W channels of a tile.
"""

from typing import Final

import torch
import triton
import triton.language as tl
from torch import Tensor
from torch.autograd.function import FunctionCtx, once_differentiable

from lidistill.backbones.waffleiron.cpu.threads import chunks
from lidistill.backbones.waffleiron.gpu.language import blocks, kernel, launch

_CHUNK: Final = 4096
"""Points at a time: with 16 neighbours and 768 channels a buffer of 96 MiB in bfloat16."""
_CHANNELS: Final = 128
_ROWS: Final = 16


@kernel
def hidden_kernel(
    edges: tl.tensor,
    affine: tl.tensor,
    out: tl.tensor,
    num_points: int,
    num_chunk: int,
    INPUTS: tl.constexpr,
    CHANNELS: tl.constexpr,
    BLOCK: tl.constexpr,
    ROWS: tl.constexpr,
) -> None:
    """A tile of ``relu(edges @ affine)`` of one neighbour, (K, S, C) in all."""
    row = tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS)
    column = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    neighbor = tl.program_id(2)
    present, valid = row < num_chunk, column < CHANNELS
    total = tl.zeros((ROWS, BLOCK), tl.float32)
    for f in range(INPUTS):
        source = edges + (neighbor * num_points + row) * INPUTS + f
        x = tl.load(source, mask=present, other=0.0)
        weight = tl.load(affine + f * CHANNELS + column, mask=valid, other=0.0)
        total += x[:, None] * weight[None, :]
    place = (neighbor * num_chunk + row)[:, None] * CHANNELS + column[None, :]
    mask = present[:, None] & valid[None, :]
    tl.store(out + place, tl.maximum(total, 0.0).to(out.dtype.element_ty), mask=mask)


@kernel
def best_kernel(
    score: tl.tensor,
    best: tl.tensor,
    winner: tl.tensor,
    num_neighbors: int,
    num_chunk: int,
    CHANNELS: tl.constexpr,
    BLOCK: tl.constexpr,
    ROWS: tl.constexpr,
) -> None:
    """A tile of the maximum over the neighbours and which it came from, the first of equals."""
    row = tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS)
    column = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    mask = (row < num_chunk)[:, None] & (column < CHANNELS)[None, :]
    place = row[:, None] * CHANNELS + column[None, :]
    top = tl.load(score + place, mask=mask, other=0.0).to(tl.float32)
    which = tl.zeros((ROWS, BLOCK), tl.int32)
    for k in range(1, num_neighbors):
        other = row + k * num_chunk
        source = score + other[:, None] * CHANNELS + column[None, :]
        x = tl.load(source, mask=mask, other=0.0).to(tl.float32)
        better = x > top
        top = tl.where(better, x, top)
        which = tl.where(better, k, which)
    tl.store(best + place, top, mask=mask)
    tl.store(winner + place, which.to(winner.dtype.element_ty), mask=mask)


@kernel
def route_kernel(
    grad: tl.tensor,
    winner: tl.tensor,
    out: tl.tensor,
    num_chunk: int,
    CHANNELS: tl.constexpr,
    BLOCK: tl.constexpr,
    ROWS: tl.constexpr,
) -> None:
    """A tile of the gradient that one neighbour gets: where it won, (K, S, C) in all."""
    row = tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS)
    column = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    neighbor = tl.program_id(2)
    mask = (row < num_chunk)[:, None] & (column < CHANNELS)[None, :]
    place = row[:, None] * CHANNELS + column[None, :]
    x = tl.load(grad + place, mask=mask, other=0.0)
    which = tl.load(winner + place, mask=mask, other=0).to(tl.int32)
    target = (neighbor * num_chunk + row)[:, None] * CHANNELS + column[None, :]
    routed = tl.where(which == neighbor, x, 0.0)
    tl.store(out + target, routed.to(out.dtype.element_ty), mask=mask)


class _TritonEdgeMax(torch.autograd.Function):
    """Keeps each maximum's neighbour and computes the hidden layer again."""

    @staticmethod
    def forward(
        ctx: FunctionCtx, edges: Tensor, affine: Tensor, weight: Tensor, dtype: torch.dtype
    ) -> Tensor:
        num_points, channels = edges.shape[1], len(weight)
        edges, affine_t = edges.detach().contiguous(), affine.detach().t().contiguous()
        best = edges.new_empty(num_points, channels)
        winner = torch.empty(num_points, channels, dtype=torch.uint8, device=edges.device)
        weight_t = weight.detach().to(dtype).t()
        for part in chunks(0, num_points, _CHUNK):
            hidden = _hidden(edges, affine_t, part, dtype)
            score = torch.mm(hidden.flatten(0, 1), weight_t)
            grid, sizes = _tiles(best[part])
            neighbors, size = hidden.shape[:2]
            launch(best_kernel, grid, score, best[part], winner[part], neighbors, size, **sizes)
        ctx.save_for_backward(edges, affine_t, weight, winner)
        ctx.dtype = dtype  # type: ignore[attr-defined]
        return best

    @staticmethod
    @once_differentiable
    def backward(ctx: FunctionCtx, grad: Tensor) -> tuple[Tensor | None, ...]:
        edges, affine_t, weight, winner = ctx.saved_tensors  # type: ignore[attr-defined]
        dtype: torch.dtype = ctx.dtype  # type: ignore[attr-defined]
        needs_edges: bool = ctx.needs_input_grad[0]  # type: ignore[attr-defined]
        grad, weight_low = grad.contiguous(), weight.to(dtype)
        grad_edges = torch.empty_like(edges) if needs_edges else None
        grad_affine_t, grad_weight = torch.zeros_like(affine_t), torch.zeros_like(weight)
        for part in chunks(0, len(grad), _CHUNK):
            hidden = _hidden(edges, affine_t, part, dtype)
            routed = torch.empty_like(hidden)
            grid, sizes = _tiles(grad[part])
            size = hidden.shape[1]
            launch(
                route_kernel,
                (*grid, len(hidden)),
                grad[part],
                winner[part],
                routed,
                size,
                **sizes,
            )
            rows, wins = hidden.flatten(0, 1), routed.flatten(0, 1)
            grad_weight += wins.t() @ rows
            grad_hidden = torch.ops.aten.threshold_backward(wins @ weight_low, rows, 0).float()
            grad_affine_t += edges[:, part].flatten(0, 1).t() @ grad_hidden
            if grad_edges is not None:
                product = grad_hidden @ affine_t.t()
                grad_edges[:, part] = product.unflatten(0, hidden.shape[:2])
        return grad_edges, grad_affine_t.t(), grad_weight, None


def triton_edge_max(edges: Tensor, affine: Tensor, weight: Tensor, dtype: torch.dtype) -> Tensor:
    """(M, C) ``max_k relu(edges_k @ affine.T) @ weight.T``; see ``edge_max.dense_edge_max``.

    Args:
        edges: (K, M, F) float32 differences, at most 256 to a point, and a last channel of 1.
        affine: (C, F) first layer, its bias in the last column.
        weight: (C, C) second layer.
        dtype: Of the second layer's product.
    """
    return _TritonEdgeMax.apply(edges, affine, weight, dtype)


def _hidden(edges: Tensor, affine_t: Tensor, part: slice, dtype: torch.dtype) -> Tensor:
    """(K, S, C) first layer of some points' neighbours."""
    neighbors, num_points, inputs = edges.shape
    size = part.stop - part.start
    out = edges.new_empty(neighbors, size, affine_t.shape[1], dtype=dtype)
    grid, sizes = _tiles(out[0])
    launch(
        hidden_kernel,
        (*grid, neighbors),
        edges[:, part],
        affine_t,
        out,
        num_points,
        size,
        INPUTS=inputs,
        **sizes,
    )
    return out


def _tiles(rows: Tensor) -> tuple[tuple[int, int], dict[str, int]]:
    """Grid over tiles of rows (S, C), and their sizes."""
    size, channels = rows.shape
    block = min(_CHANNELS, triton.next_power_of_2(channels))
    sizes = {"CHANNELS": channels, "BLOCK": block, "ROWS": _ROWS}
    return (blocks(size, _ROWS), blocks(channels, block)), sizes
