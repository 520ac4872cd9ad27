"""Convolutions over occupied cells: gather, multiply and add, one place of the kernel at a time.

Shape letters: M input cells, N output cells, V places of a kernel, C input channels, D output
channels.
"""

from typing import Any, Literal, TypeAlias

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from lidistill.sparse.kernel_map import KernelMap

FanAxis: TypeAlias = Literal["in", "out"]


def convolve(features_MC: Tensor, kernel_VCD: Tensor, kernel_map: KernelMap) -> Tensor:
    """(N, D) sums over the places of a kernel, of the matrix there times the features there.

    Only inputs and kernel are kept for the backward pass. Products have the format of the caller's
    autocast, if that is on, and so has the result; sums are taken in float32 at least. Results
    repeat bit for bit, on a GPU too: no two summands of a cell are added at once.

    Args:
        features_MC: (M, C) features of the input cells.
        kernel_VCD: (V, C, D), its places in the order of ``layout.kernel_offsets``.
        kernel_map: Which cells meet.

    Raises:
        ValueError: If the map is of other numbers of cells or places.
    """
    if len(features_MC) != kernel_map.num_sources or len(kernel_VCD) != kernel_map.num_places:
        msg = (
            f"{len(features_MC)} cells and a kernel of {len(kernel_VCD)} places with a map of "
            f"{kernel_map.num_sources} cells and {kernel_map.num_places} places"
        )
        raise ValueError(msg)
    device = features_MC.device.type
    dtype = features_MC.dtype
    if torch.is_autocast_enabled(device):
        dtype = torch.get_autocast_dtype(device)
    result: Tensor = _Convolution.apply(features_MC.to(dtype), kernel_VCD.to(dtype), kernel_map)
    return result


class _Convolution(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, features_MC: Tensor, kernel_VCD: Tensor, kernel_map: KernelMap) -> Tensor:
        ctx.save_for_backward(features_MC, kernel_VCD)
        ctx.kernel_map = kernel_map
        sums_ND = _sums(features_MC, (kernel_map.num_targets, kernel_VCD.shape[2]))
        with torch.autocast(features_MC.device.type, enabled=False):
            for place, source, target in kernel_map.meetings():
                _add(sums_ND, target, _rows(features_MC, source) @ kernel_VCD[place])
        return sums_ND.to(features_MC.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_ND: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        features_MC, kernel_VCD = ctx.saved_tensors
        grad_ND = grad_ND.contiguous()
        grad_MC = _sums(features_MC, features_MC.shape) if ctx.needs_input_grad[0] else None
        grad_VCD = torch.zeros_like(kernel_VCD) if ctx.needs_input_grad[1] else None
        with torch.autocast(features_MC.device.type, enabled=False):
            for place, source, target in ctx.kernel_map.meetings():
                rows_D = _rows(grad_ND, target)
                if grad_MC is not None:
                    _add(grad_MC, source, rows_D @ kernel_VCD[place].t())
                if grad_VCD is not None:
                    grad_VCD[place] = _rows(features_MC, source).t() @ rows_D
        return None if grad_MC is None else grad_MC.to(features_MC.dtype), grad_VCD, None


def _sums(like: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Zeros of a shape, in float32 where the other tensor has half of its precision."""
    dtype = torch.promote_types(like.dtype, torch.float32)
    return torch.zeros(shape, dtype=dtype, device=like.device)


def _rows(features: Tensor, index: Tensor | None) -> Tensor:
    return features if index is None else features.index_select(0, index)


def _add(sums: Tensor, index: Tensor | None, rows: Tensor) -> None:
    """Add rows to some rows of the sums; no row is named twice, so the order does not matter."""
    if index is None:
        sums.add_(rows)
    else:
        sums.index_add_(0, index, rows.to(sums.dtype))


class SparseConvolution(nn.Module):
    """A kernel for maps of one kind, with or without a bias.

    Weights begin uniform within one over the root of V times the channels of one side, as
    MinkowskiEngine's and spconv's do.

    Args:
        in_channels: C.
        out_channels: D.
        num_places: V: k^3 for a kernel of k cells, 8 for a stride of 2 and back.
        bias: Whether there is one.
        fan: The side whose channels count: ``in``, or ``out`` for a transposed convolution.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        num_places: int,
        *,
        bias: bool = False,
        fan: FanAxis = "in",
    ) -> None:
        super().__init__()
        bound = (num_places * (in_channels if fan == "in" else out_channels)) ** -0.5
        kernel = torch.empty(num_places, in_channels, out_channels)
        self.kernel = nn.Parameter(nn.init.uniform_(kernel, -bound, bound))
        self.bias = (
            nn.Parameter(torch.empty(out_channels).uniform_(-bound, bound)) if bias else None
        )

    def forward(self, features_MC: Tensor, kernel_map: KernelMap) -> Tensor:
        """(N, D) features of the output cells."""
        out_ND = convolve(features_MC, self.kernel, kernel_map)
        return out_ND if self.bias is None else out_ND + self.bias.to(out_ND.dtype)
