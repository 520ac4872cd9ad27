"""Kernels of the backward pass that sum up columns, for gradients of biases, gain and shift.

A program sums a share of the rows; the shares are added afterwards, in a fixed order.

Shape letters: M points, O cells in use, R cells of these and of their ring, C channels.
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
_CELLS: Final = 64
"""Rows of cells, which are fewer."""


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


@kernel
def shared_kernel(
    around: tl.tensor,
    grad_cells: tl.tensor,
    grad_flat: tl.tensor,
    flat: tl.tensor,
    filled: tl.tensor,
    partial: tl.tensor,
    num_rows: int,
    num_cells: int,
    CHANNELS: tl.constexpr,
    BLOCK: tl.constexpr,
    ROWS: tl.constexpr,
    SPAN: tl.constexpr,
) -> None:
    """A share of ``sums_over_cells``."""
    share = tl.program_id(0).to(tl.int64)
    column = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    valid = column < CHANNELS
    first_bias = tl.zeros((ROWS, BLOCK), tl.float32)
    second_bias = tl.zeros((ROWS, BLOCK), tl.float32)
    gain = tl.zeros((ROWS, BLOCK), tl.float32)
    shift = tl.zeros((ROWS, BLOCK), tl.float32)
    start = share * SPAN
    for first in range(start, tl.minimum(start + SPAN, num_rows), ROWS):
        row = first + tl.arange(0, ROWS)
        place = row[:, None] * CHANNELS + column[None, :]
        mask = (row < num_rows)[:, None] & valid[None, :]
        first_bias += tl.load(around + place, mask=mask, other=0.0)
        mask = (row < num_cells)[:, None] & valid[None, :]
        second_bias += tl.load(grad_cells + place, mask=mask, other=0.0)
        grad = tl.load(grad_flat + place, mask=mask, other=0.0)
        gain += grad * tl.load(flat + place, mask=mask, other=0.0)
        shift += grad * tl.load(filled + row, mask=row < num_cells, other=0.0)[:, None]
    place = partial + share * 4 * CHANNELS + column
    tl.store(place, tl.sum(first_bias, 0), mask=valid)
    tl.store(place + CHANNELS, tl.sum(second_bias, 0), mask=valid)
    tl.store(place + 2 * CHANNELS, tl.sum(gain, 0), mask=valid)
    tl.store(place + 3 * CHANNELS, tl.sum(shift, 0), mask=valid)


def sums_over_cells(
    around: Tensor, grad_cells: Tensor, grad_flat: Tensor, flat: Tensor, filled: Tensor
) -> Tensor:
    """(4, C) gradients of what all cells share: both convolutions' biases, gain and shift.

    Args:
        around: (R, C) gradient of what the first convolution gives; R is at least O.
        grad_cells: (O, C) that of the second one.
        grad_flat: (O, C) that of the cells with gain and shift.
        flat: (O, C) the cells without them.
        filled: (O,) how much of the shift each cell gets.
    """
    grid, sizes = _shares(around, span=_CELLS, rows=_ROWS // 2)  # it keeps four tiles
    partial = torch.empty(grid[0], 4, around.shape[1], device=around.device)
    rows = len(around), len(flat)
    launch(
        shared_kernel, grid, around, grad_cells, grad_flat, flat, filled, partial, *rows, **sizes
    )
    return partial.sum(0)


def _shares(
    values: Tensor, *, span: int = _SPAN, rows: int = _ROWS
) -> tuple[tuple[int, int], dict[str, int]]:
    """Grid over shares of the rows and blocks of channels, and the sizes of a tile."""
    num_rows, channels = values.shape
    block = min(_CHANNELS, triton.next_power_of_2(channels))
    sizes = {"CHANNELS": channels, "BLOCK": block, "ROWS": rows, "SPAN": span}
    return (blocks(num_rows, span), blocks(channels, block)), sizes
