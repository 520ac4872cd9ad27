"""Kernels of the perceptron's backward pass that also sum up columns, for the biases' gradients.

A program sums a share of the rows; the shares are added afterwards, in a fixed order.

Shape letters: M points, C channels, P programs along the rows.
"""

from typing import Final

import torch
import triton
import triton.language as tl
from torch import Tensor

from lidistill.backbones.waffleiron.depthwise import Activation
from lidistill.backbones.waffleiron.gpu.language import activated_backward, blocks, kernel, launch

_CHANNELS: Final = 128
_ROWS: Final = 16
_SPAN: Final = 256
"""Rows that a program sums up."""


@kernel
def narrow_kernel(
    grad: tl.tensor,
    keep: tl.tensor,
    out: tl.tensor,
    partial: tl.tensor,
    num_rows: int,
    CHANNELS: tl.constexpr,
    BLOCK: tl.constexpr,
    ROWS: tl.constexpr,
    SPAN: tl.constexpr,
    KEEP: tl.constexpr,
) -> None:
    """A share of ``narrow``."""
    share = tl.program_id(0).to(tl.int64)
    column = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    valid = column < CHANNELS
    total = tl.zeros((ROWS, BLOCK), tl.float32)
    start = share * SPAN
    for first in range(start, tl.minimum(start + SPAN, num_rows), ROWS):
        row = first + tl.arange(0, ROWS)
        present = row < num_rows
        mask = present[:, None] & valid[None, :]
        place = row[:, None] * CHANNELS + column[None, :]
        x = tl.load(grad + place, mask=mask, other=0.0)
        if KEEP:
            x *= tl.load(keep + row, mask=present, other=0.0)[:, None]
        total += x
        tl.store(out + place, x.to(out.dtype.element_ty), mask=mask)
    tl.store(partial + share * CHANNELS + column, tl.sum(total, 0), mask=valid)


def narrow(grad: Tensor, keep: Tensor | None, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """``grad * keep`` (M, C) in another number format, and its sum (C,) in float32.

    Args:
        grad: (M, C) float32.
        keep: (M,) factors; None for 1.
        dtype: Number format of the product.
    """
    out = torch.empty_like(grad, dtype=dtype)
    grid, sizes = _shares(grad)
    partial = torch.empty(grid[0], grad.shape[1], device=grad.device)
    factors, flag = (grad, False) if keep is None else (keep, True)
    launch(narrow_kernel, grid, grad, factors, out, partial, len(grad), **sizes, KEEP=flag)
    return out, partial.sum(0)


@kernel
def through_kernel(
    grad: tl.tensor,
    hidden: tl.tensor,
    partial: tl.tensor,
    num_rows: int,
    CHANNELS: tl.constexpr,
    BLOCK: tl.constexpr,
    ROWS: tl.constexpr,
    SPAN: tl.constexpr,
    ACTIVATION: tl.constexpr,
) -> None:
    """A share of ``through_activation``."""
    share = tl.program_id(0).to(tl.int64)
    column = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    valid = column < CHANNELS
    total = tl.zeros((ROWS, BLOCK), tl.float32)
    start = share * SPAN
    for first in range(start, tl.minimum(start + SPAN, num_rows), ROWS):
        row = first + tl.arange(0, ROWS)
        mask = (row < num_rows)[:, None] & valid[None, :]
        place = row[:, None] * CHANNELS + column[None, :]
        x = tl.load(hidden + place, mask=mask, other=0.0).to(tl.float32)
        y = tl.load(grad + place, mask=mask, other=0.0).to(tl.float32)
        y = activated_backward(x, y, ACTIVATION)
        total += y
        tl.store(grad + place, y.to(grad.dtype.element_ty), mask=mask)
    tl.store(partial + share * CHANNELS + column, tl.sum(total, 0), mask=valid)


def through_activation(grad: Tensor, hidden: Tensor, activation: Activation) -> Tensor:
    """Overwrite the gradient after an activation with that before it; returns its sum (C,).

    Args:
        grad: (M, C) in any number format.
        hidden: (M, C) before the activation, or after a ReLU.
        activation: Which one.
    """
    grid, sizes = _shares(grad)
    partial = torch.empty(grid[0], grad.shape[1], device=grad.device)
    launch(through_kernel, grid, grad, hidden, partial, len(grad), **sizes, ACTIVATION=activation)
    return partial.sum(0)


def _shares(rows: Tensor) -> tuple[tuple[int, int], dict[str, int]]:
    """Grid over shares of the rows and blocks of channels, and the sizes of a tile."""
    num_rows, channels = rows.shape
    block = min(_CHANNELS, triton.next_power_of_2(channels))
    sizes = {"CHANNELS": channels, "BLOCK": block, "ROWS": _ROWS, "SPAN": _SPAN}
    return (blocks(num_rows, _SPAN), blocks(channels, block)), sizes
