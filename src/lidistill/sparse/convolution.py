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

    Only inputs and kernel are kept for the backward pass. Under autocast, products and result have
    its format on a GPU; on a CPU they have float32, because many products of few rows, each of its
    own length, take twice the time in bf16 there. Sums are taken in float32 at least. Results
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
        dtype = torch.float32 if device == "cpu" else torch.get_autocast_dtype(device)
    result: Tensor = _Convolution.apply(features_MC.to(dtype), kernel_VCD.to(dtype), kernel_map)
    return result


class _Convolution(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, features_MC: Tensor, kernel_VCD: Tensor, kernel_map: KernelMap) -> Tensor:
        ctx.save_for_backward(features_MC, kernel_VCD)
        ctx.kernel_map = kernel_map
        sums = _Sums(kernel_map.num_targets, kernel_VCD.shape[2], features_MC)
        with torch.autocast(features_MC.device.type, enabled=False):
            for place, source, target in kernel_map.pairs_by_place():
                sums.add(target, _rows(features_MC, source) @ kernel_VCD[place])
        return sums.result()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_ND: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        features_MC, kernel_VCD = ctx.saved_tensors
        grad_ND = grad_ND.contiguous()
        shape = len(features_MC), features_MC.shape[1]
        sums = _Sums(*shape, features_MC) if ctx.needs_input_grad[0] else None
        grad_VCD = torch.zeros_like(kernel_VCD) if ctx.needs_input_grad[1] else None
        with torch.autocast(features_MC.device.type, enabled=False):
            for place, source, target in ctx.kernel_map.pairs_by_place():
                rows_D = _rows(grad_ND, target)
                if sums is not None:
                    sums.add(source, rows_D @ kernel_VCD[place].t())
                if grad_VCD is not None:
                    torch.mm(_rows(features_MC, source).t(), rows_D, out=grad_VCD[place])
        return None if sums is None else sums.result(), grad_VCD, None


def _rows(features: Tensor, index: Tensor | None) -> Tensor:
    return features if index is None else features.index_select(0, index)


class _Sums:
    """Rows that products are added to, in float32 at least.

    Args:
        num_rows: How many.
        num_channels: Of each.
        like: Has the format of the result.
    """

    def __init__(self, num_rows: int, num_channels: int, like: Tensor) -> None:
        self._shape = num_rows, num_channels
        self._like = like
        self._dtype = torch.promote_types(like.dtype, torch.float32)
        self._rows: Tensor | None = None

    def add(self, index: Tensor | None, rows: Tensor) -> None:
        """Add to some rows, none of them twice, so that their order does not matter.

        Args:
            index: Which; None: all of them, in their order, before any others.
            rows: What to add.
        """
        rows = rows.to(self._dtype)
        if index is None:
            self._rows = rows
            return
        if self._rows is None:
            self._rows = self._zeros()
        self._rows.index_add_(0, index, rows)

    def result(self) -> Tensor:
        """All rows, in the format that was asked for."""
        rows = self._zeros() if self._rows is None else self._rows
        return rows.to(self._like.dtype)

    def _zeros(self) -> Tensor:
        return torch.zeros(self._shape, dtype=self._dtype, device=self._like.device)


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
