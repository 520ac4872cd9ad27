"""A two-layer perceptron on every difference to a neighbour, and its maximum over the neighbours.

Shape letters: M points, K neighbours, F input channels, C channels.
"""

from collections.abc import Callable
from typing import TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import FunctionCtx, once_differentiable

from lidistill.backbones.waffleiron.cpu import loops
from lidistill.backbones.waffleiron.cpu.gradients import edge_max_backward
from lidistill.backbones.waffleiron.cpu.loops import rows
from lidistill.backbones.waffleiron.cpu.products import Product
from lidistill.backbones.waffleiron.cpu.threads import chunks, run_split, split_rows
from lidistill.backbones.waffleiron.fast_paths import FORMATS, kernels_run, product_format
from lidistill.backbones.waffleiron.gpu.proof import EDGES
from lidistill.compiled import compiling
from lidistill.row_padding import padded_row_count

EdgeMax: TypeAlias = Callable[[Tensor, Tensor, Tensor, torch.dtype], Tensor]
"""Edges, both layers, and the number format of the second one's product."""

_CHUNK = 2048
"""Points at a time on the CPU: two buffers of 256 channels stay in the cache."""

_CHUNK_BYTES = 1 << 20
"""Of edges at a time in the compiled version: two such buffers stay near a core."""


def dense_edge_max(edges: Tensor, affine: Tensor, bias: Tensor, weight: Tensor) -> Tensor:
    """(M, C) ``max_k relu(edges_k @ affine.T + bias) @ weight.T``, in plain PyTorch.

    Args:
        edges: (K, M, F) differences of each point to its neighbours.
        affine: (C, F) first layer.
        bias: (C,) of the first layer.
        weight: (C, C) second layer.
    """
    return F.linear(F.relu(F.linear(edges, affine, bias)), weight).amax(0)


class _EdgeMax(torch.autograd.Function):
    """Neighbour by neighbour, so that (K, M, C) never exists.

    Comparisons write into float buffers: on the CPU that is several times faster than masks.
    """

    @staticmethod
    def forward(
        ctx: FunctionCtx, edges: Tensor, affine: Tensor, weight: Tensor, dtype: torch.dtype
    ) -> Tensor:
        best = edges.new_empty(edges.shape[1], len(weight))
        winner = torch.zeros_like(best)
        weight_t = weight.to(dtype).t()
        for part in _chunks(edges):
            top, which = best[part], winner[part]
            wins = torch.empty_like(top)
            for k, edge in enumerate(edges):
                hidden = (edge[part] @ affine.t()).relu_()
                score = (hidden.to(dtype) @ weight_t).to(top.dtype)
                if k == 0:
                    top.copy_(score)
                    continue
                torch.gt(score, top, out=wins)
                torch.maximum(which, wins.mul_(k), out=which)
                torch.maximum(top, score, out=top)
        ctx.save_for_backward(edges, affine, weight, winner)
        ctx.dtype = dtype  # type: ignore[attr-defined]
        return best

    @staticmethod
    @once_differentiable
    def backward(ctx: FunctionCtx, grad: Tensor) -> tuple[Tensor | None, ...]:
        edges, affine, weight, winner = ctx.saved_tensors  # type: ignore[attr-defined]
        dtype: torch.dtype = ctx.dtype  # type: ignore[attr-defined]
        needs_edges: bool = ctx.needs_input_grad[0]  # type: ignore[attr-defined]
        weight_low = weight.to(dtype)
        grad_edges = torch.empty_like(edges) if needs_edges else None
        grad_affine_t, grad_weight = torch.zeros_like(affine.t()), torch.zeros_like(weight)
        for part in _chunks(edges):
            wins = torch.empty_like(winner[part])
            for k, edge in enumerate(edges):
                hidden = (edge[part] @ affine.t()).relu_()
                torch.eq(winner[part], k, out=wins)
                routed = wins.mul_(grad[part]).to(dtype)
                grad_weight += routed.t() @ hidden.to(dtype)
                grad_hidden = (routed @ weight_low).to(hidden.dtype)
                grad_hidden = torch.ops.aten.threshold_backward(grad_hidden, hidden, 0)
                grad_affine_t += edge[part].t() @ grad_hidden
                if grad_edges is not None:
                    torch.mm(grad_hidden, affine, out=grad_edges[k, part])
        return grad_edges, grad_affine_t.t(), grad_weight, None


def plain_edge_max(edges: Tensor, affine: Tensor, weight: Tensor, dtype: torch.dtype) -> Tensor:
    """(M, C) what ``dense_edge_max`` gives, in plain PyTorch; the first of equals has the gradient.

    Args:
        edges: (K, M, F) differences, the last channel 1.
        affine: (C, F) first layer, its bias in the last column.
        weight: (C, C) second layer.
        dtype: Of the second layer's product.
    """
    return _EdgeMax.apply(edges, affine, weight, dtype)


class _CompiledEdgeMax(torch.autograd.Function):
    """The same on the CPU, with compiled loops around the one large product."""

    @staticmethod
    def forward(
        ctx: FunctionCtx, edges: Tensor, affine: Tensor, weight: Tensor, dtype: torch.dtype
    ) -> Tensor:
        num_points, channels = edges.shape[1], len(weight)
        wanted = any(ctx.needs_input_grad)  # type: ignore[attr-defined]
        best = edges.new_empty(num_points, channels)
        winner = torch.empty(num_points if wanted else 0, channels, dtype=torch.uint8)
        edges, affine_t = edges.detach().contiguous(), affine.detach().t().contiguous()
        second, arrays = Product(weight.detach().to(dtype)), (rows(edges), rows(affine_t))
        results = rows(best), rows(winner)

        def work(_: int, start: int, stop: int) -> None:
            size = max(1, _CHUNK_BYTES // (len(edges) * channels * dtype.itemsize))
            most, size = len(edges) * size, min(size, stop - start)
            multiplied = padded_row_count(len(edges) * size, most, dtype)
            buffers = edges.new_zeros(2, multiplied, channels, dtype=dtype)
            for part in chunks(start, stop, size):
                shape = len(edges), part.stop - part.start, channels
                count = shape[0] * shape[1]
                hidden, score = buffers[:, :count].unbind(0)
                loops.affine_relu(arrays[0][:, part], arrays[1], rows(hidden.view(shape)))
                second(*buffers[:, : padded_row_count(count, most, dtype)].unbind(0))
                loops.keep_best(rows(score.view(shape)), *(array[part] for array in results))

        run_split(num_points, work)
        ctx.save_for_backward(edges, affine_t, weight, winner)
        return best

    @staticmethod
    @once_differentiable
    def backward(ctx: FunctionCtx, grad: Tensor) -> tuple[Tensor | None, ...]:
        edges, affine_t, weight, winner = ctx.saved_tensors  # type: ignore[attr-defined]
        needs_edges: bool = ctx.needs_input_grad[0]  # type: ignore[attr-defined]
        grad_edges = torch.empty_like(edges) if needs_edges else edges.new_empty(0, 0, 0)
        workers = len(split_rows(len(grad)))
        grad_affine = affine_t.new_zeros(workers, *affine_t.shape)
        grad_weight = weight.new_zeros(workers, *weight.shape)
        grad = grad.contiguous()
        weights = rows(affine_t), rows(weight.contiguous())

        def work(worker: int, start: int, stop: int) -> None:
            totals = rows(grad_edges), rows(grad_affine[worker]), rows(grad_weight[worker])
            span = (start, stop)
            edge_max_backward(rows(edges), *weights, rows(winner), rows(grad), span, totals)

        run_split(len(grad), work)
        wanted = grad_edges if needs_edges else None
        return wanted, grad_affine.sum(0).t(), grad_weight.sum(0), None


def _path_for(edges: Tensor, dtype: torch.dtype) -> EdgeMax:
    """Fast paths are for float32 edges and a byte for the neighbour."""
    simple = compiling() and edges.dtype == torch.float32 and dtype in FORMATS
    if simple and 0 < len(edges) < 256 and edges.shape[1] > 0:
        if edges.device.type == "cpu":
            return _CompiledEdgeMax.apply
        if edges.device.type == "cuda" and kernels_run(EDGES, edges.device, dtype):
            from lidistill.backbones.waffleiron.gpu.edges import triton_edge_max  # noqa: PLC0415  Triton is optional

            return triton_edge_max
    return plain_edge_max


def _chunks(edges: Tensor) -> list[slice]:
    num_points = edges.shape[1]
    size = _CHUNK if edges.device.type == "cpu" else max(num_points, 1)
    return [slice(start, start + size) for start in range(0, num_points, size)]


def edge_max(edges: Tensor, affine: Tensor, bias: Tensor, weight: Tensor) -> Tensor:
    """See ``dense_edge_max``; neighbour by neighbour, at a fraction of the memory.

    Under autocast the second layer multiplies in the lower precision.
    """
    device = edges.device.type
    low = torch.is_autocast_enabled(device)
    wanted = torch.get_autocast_dtype(device) if low else edges.dtype
    dtype = product_format(device, wanted)
    with torch.autocast(device, enabled=False):
        # A constant channel carries the bias, so that one product gives both gradients.
        edges = F.pad(edges, (0, 1), value=1.0)
        affine = torch.cat([affine, bias[:, None]], dim=1)
        return _path_for(edges, dtype)(edges, affine, weight, dtype)
