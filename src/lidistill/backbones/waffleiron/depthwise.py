"""Two depthwise 3x3 convolutions with an activation between, where there are points.

The dense version is the definition. The other one computes the cells in use and the ring around
them only: a cell further away cannot reach a cell in use through two 3x3 kernels.

Shape letters: O cells in use, R cells of these and of the ring, C channels, H x W cells.
"""

from typing import Literal, Protocol, TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import FunctionCtx, once_differentiable

from lidistill.backbones.waffleiron.flatten_inflate import segment_sum
from lidistill.backbones.waffleiron.plane import Plane

Activation: TypeAlias = Literal["relu", "gelu"]


class Convolutions(Protocol):
    """``occupied_convs`` or its twin ``dense_convs``."""

    def __call__(
        self,
        cells: Tensor,
        kernels: Tensor,
        biases: Tensor,
        plane: Plane,
        *,
        activation: Activation,
    ) -> Tensor:
        """See ``occupied_convs``."""
        ...


def activate(x: Tensor, activation: Activation) -> Tensor:
    """Apply an activation by its name."""
    return F.relu(x) if activation == "relu" else F.gelu(x)


def activate_backward(grad: Tensor, before: Tensor, activation: Activation) -> Tensor:
    """Gradient before an activation; after a ReLU, ``before`` may be what came out of it."""
    if activation == "relu":
        return torch.ops.aten.threshold_backward(grad, before, 0)
    return torch.ops.aten.gelu_backward(grad, before)


def _spread(values: Tensor, kernel: Tensor, plane: Plane) -> Tensor:
    """(R + 1, C) what the cells in use, times a kernel (9, C), add to the cells around them."""
    products = (values[None] * kernel[:, None]).flatten(0, 1)
    return segment_sum(products, plane.spread_order, plane.spread_offsets)


def _collect(ring: Tensor, kernel: Tensor, plane: Plane) -> Tensor:
    """(O, C) what the cells in use read around them, times a kernel (9, C)."""
    total = torch.zeros(plane.num_cells, ring.shape[1], dtype=ring.dtype, device=ring.device)
    for tap, weight in zip(plane.taps, kernel, strict=True):
        total.addcmul_(ring.index_select(0, tap), weight)
    return total


def _correlate(values: Tensor, ring: Tensor, plane: Plane) -> Tensor:
    """(9, C) sum over the cells in use of their values times what each tap reads."""
    return torch.stack([ring.index_select(0, tap).mul_(values).sum(0) for tap in plane.taps])


class _OccupiedConvs(torch.autograd.Function):
    """Both convolutions as gathers; spreading and collecting are each other's adjoint."""

    @staticmethod
    def forward(
        ctx: FunctionCtx,
        cells: Tensor,
        kernels: Tensor,
        biases: Tensor,
        plane: Plane,
        activation: Activation,
    ) -> Tensor:
        kernels = kernels.contiguous()
        before = _spread(cells, kernels[0].flip(0), plane).add_(biases[0])
        between = activate(before, activation)
        between[-1] = 0  # outside the grid the second kernel reads zero, not act(bias)
        ctx.save_for_backward(cells, kernels, before)
        ctx.plane, ctx.activation = plane, activation  # type: ignore[attr-defined]
        return _collect(between, kernels[1], plane).add_(biases[1])

    @staticmethod
    @once_differentiable
    def backward(ctx: FunctionCtx, grad: Tensor) -> tuple[Tensor | None, ...]:
        cells, kernels, before = ctx.saved_tensors  # type: ignore[attr-defined]
        plane: Plane = ctx.plane  # type: ignore[attr-defined]
        activation: Activation = ctx.activation  # type: ignore[attr-defined]
        between = activate(before, activation)
        between[-1] = 0
        grad_before = activate_backward(_spread(grad, kernels[1], plane), before, activation)
        grad_kernels = torch.stack(
            [_correlate(cells, grad_before, plane).flip(0), _correlate(grad, between, plane)]
        )
        grad_biases = torch.stack([grad_before.sum(0), grad.sum(0)])
        grad_cells = _collect(grad_before, kernels[0].flip(0), plane)
        return grad_cells, grad_kernels, grad_biases, None, None


def occupied_convs(
    cells: Tensor, kernels: Tensor, biases: Tensor, plane: Plane, *, activation: Activation
) -> Tensor:
    """(O, C) result of both convolutions in the cells in use; all others count as zero.

    Args:
        cells: (O, C) features of the cells in use.
        kernels: (2, 9, C) weights of both convolutions, taps in row-major order.
        biases: (2, C) their biases, which act on the empty cells of the ring, too.
        plane: Which cells are in use.
        activation: Between the convolutions.
    """
    return _OccupiedConvs.apply(cells, kernels, biases, plane, activation)


def dense_convs(
    cells: Tensor, kernels: Tensor, biases: Tensor, plane: Plane, *, activation: Activation
) -> Tensor:
    """See ``occupied_convs``; the whole grid of every scan, in plain PyTorch."""
    height, width = plane.size_hw
    channels = cells.shape[1]
    weight = kernels.transpose(1, 2).reshape(2, channels, 1, 3, 3)
    flat = cells.new_zeros(plane.num_scans * height * width, channels)
    flat = flat.index_copy(0, plane.cell, cells)
    grid = flat.view(plane.num_scans, height, width, channels).permute(0, 3, 1, 2)
    grid = F.conv2d(grid, weight[0], biases[0], padding=1, groups=channels)
    grid = activate(grid, activation)
    grid = F.conv2d(grid, weight[1], biases[1], padding=1, groups=channels)
    return grid.permute(0, 2, 3, 1).reshape(-1, channels).index_select(0, plane.cell)
