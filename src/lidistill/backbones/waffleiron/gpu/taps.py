"""Kernels of the 3x3 convolutions on the cells of a grid, and of their gradients.

One program owns what it writes, and adds in a fixed order; nothing is added atomically.

Shape letters: O cells in use, N rows of one set of cells, V of another, C channels, R rows and W
channels of a tile.
"""

from typing import Final, TypeAlias

import torch
import triton
import triton.language as tl
from torch import Tensor

from lidistill.backbones.waffleiron.depthwise import Activation
from lidistill.backbones.waffleiron.gpu.language import (
    activated,
    activated_backward,
    blocks,
    kernel,
    launch,
)

_CHANNELS: Final = 128
"""Channels of a program."""
_ROWS: Final = 16
"""Its rows at a time."""
_SPAN: Final = 256
"""Rows that it sums up."""

Affine: TypeAlias = tuple[Tensor, Tensor, Tensor]
"""Gain (C,) and shift (C,) of cells, and how much of the shift each of them gets (O,)."""


@kernel
def read_rows(
    values: tl.tensor,
    row: tl.tensor,
    column: tl.tensor,
    num_values: int,
    filled: tl.tensor,
    gain: tl.tensor,
    shift: tl.tensor,
    CHANNELS: tl.constexpr,
    AFFINE: tl.constexpr,
) -> tl.tensor:
    """(R, W) some of the values, with ``gain`` and ``shift``; zero beyond the last value."""
    present, valid = row < num_values, column < CHANNELS
    mask = present[:, None] & valid[None, :]
    x = tl.load(values + row[:, None] * CHANNELS + column[None, :], mask=mask, other=0.0)
    if AFFINE:
        x *= tl.load(gain + column, mask=valid, other=0.0)[None, :]
        offset = tl.load(shift + column, mask=valid, other=0.0)
        x += tl.load(filled + row, mask=present, other=0.0)[:, None] * offset[None, :]
    return x


@kernel
def taps_kernel(
    values: tl.tensor,
    taps: tl.tensor,
    weights: tl.tensor,
    bias: tl.tensor,
    filled: tl.tensor,
    gain: tl.tensor,
    shift: tl.tensor,
    before: tl.tensor,
    out: tl.tensor,
    num_values: int,
    num_rows: int,
    CHANNELS: tl.constexpr,
    BLOCK: tl.constexpr,
    ROWS: tl.constexpr,
    AFFINE: tl.constexpr,
    FLIP: tl.constexpr,
    BIAS: tl.constexpr,
    READ: tl.constexpr,
    THROUGH: tl.constexpr,
) -> None:
    """A tile of ``gather_taps``."""
    row = tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS)
    column = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    valid = column < CHANNELS
    total = tl.zeros((ROWS, BLOCK), tl.float32)
    for tap in range(9):
        source = tl.load(taps + tap * num_rows + row, mask=row < num_rows, other=num_values)
        x = read_rows(values, source, column, num_values, filled, gain, shift, CHANNELS, AFFINE)
        place = (8 - tap if FLIP else tap) * CHANNELS + column
        total += activated(x, READ) * tl.load(weights + place, mask=valid, other=0.0)[None, :]
    if BIAS:
        total += tl.load(bias + column, mask=valid, other=0.0)[None, :]
    place = row[:, None] * CHANNELS + column[None, :]
    mask = (row < num_rows)[:, None] & valid[None, :]
    if THROUGH != "none":
        x = tl.load(before + place, mask=mask, other=0.0)
        total = activated_backward(x, total, THROUGH)
    tl.store(out + place, total, mask=mask)


def gather_taps(
    values: Tensor,
    taps: Tensor,
    weights: Tensor,
    bias: Tensor | None = None,
    *,
    affine: Affine | None = None,
    flip: bool = False,
    read: Activation | None = None,
    through: tuple[Tensor, Activation] | None = None,
) -> Tensor:
    """(N, C) depthwise 3x3 convolution: ``cpu.loops.gather_taps``, with activations around.

    Args:
        values: (V, C) float32 cells that are read.
        taps: (9, N) int64 which of them each cell reads at each tap; V and more is zero.
        weights: (9, C).
        bias: (C,); None for zero.
        affine: Gain and shift of the values; None for 1 and 0.
        flip: Whether tap 0 has the last weight.
        read: Activation of the values.
        through: Gradients pass an activation, whose input (N, C) this is; see
            ``depthwise.activate_backward``.
    """
    num_rows, channels = taps.shape[1], values.shape[1]
    out = values.new_empty(num_rows, channels)
    block = min(_CHANNELS, triton.next_power_of_2(channels))
    launch(
        taps_kernel,
        (blocks(num_rows, _ROWS), blocks(channels, block)),
        values,
        taps,
        weights.contiguous(),
        values if bias is None else bias,
        *_affine(affine, values),
        values if through is None else through[0],
        out,
        len(values),
        num_rows,
        CHANNELS=channels,
        BLOCK=block,
        ROWS=_ROWS,
        AFFINE=affine is not None,
        FLIP=flip,
        BIAS=bias is not None,
        READ=read or "none",
        THROUGH="none" if through is None else through[1],
    )
    return out


def _affine(affine: Affine | None, unused: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """How much of the shift each cell gets, gain and shift, as a kernel takes them."""
    return (unused, unused, unused) if affine is None else (affine[2], affine[0], affine[1])


@kernel
def correlate_kernel(
    values: tl.tensor,
    read: tl.tensor,
    taps: tl.tensor,
    filled: tl.tensor,
    gain: tl.tensor,
    shift: tl.tensor,
    partial: tl.tensor,
    num_read: int,
    num_rows: int,
    CHANNELS: tl.constexpr,
    BLOCK: tl.constexpr,
    ROWS: tl.constexpr,
    SPAN: tl.constexpr,
    AFFINE: tl.constexpr,
    FLIP: tl.constexpr,
    READ: tl.constexpr,
) -> None:
    """One tap of ``correlate_taps``, for a share of the rows."""
    share = tl.program_id(0).to(tl.int64)
    tap = tl.program_id(1)
    column = tl.program_id(2) * BLOCK + tl.arange(0, BLOCK)
    total = tl.zeros((ROWS, BLOCK), tl.float32)
    start = share * SPAN
    for first in range(start, tl.minimum(start + SPAN, num_rows), ROWS):
        row = first + tl.arange(0, ROWS)
        source = tl.load(taps + tap * num_rows + row, mask=row < num_rows, other=num_read)
        x = read_rows(read, source, column, num_read, filled, gain, shift, CHANNELS, False)
        y = read_rows(values, row, column, num_rows, filled, gain, shift, CHANNELS, AFFINE)
        total += activated(x, READ) * y
    place = (share * 9 + (8 - tap if FLIP else tap)) * CHANNELS + column
    tl.store(partial + place, tl.sum(total, 0), mask=column < CHANNELS)


def correlate_taps(
    values: Tensor,
    read: Tensor,
    taps: Tensor,
    *,
    affine: Affine | None = None,
    flip: bool = False,
    activation: Activation | None = None,
    out: Tensor,
) -> Tensor:
    """(9, C) gradient of a kernel: ``cpu.gradients.correlate_taps``.

    Args:
        values: (O, C) one factor, float32.
        read: (V, C) the other, read at the taps.
        taps: (9, O) int64 positions in ``read``; V and more is zero.
        affine: Gain and shift of ``values``; None for 1 and 0.
        flip: Whether tap 0 has the last gradient.
        activation: Of what is read.
        out: (9, C) written.
    """
    num_rows, channels = values.shape
    block = min(_CHANNELS, triton.next_power_of_2(channels))
    shares = blocks(num_rows, _SPAN)
    partial = torch.empty(shares, 9, channels, device=values.device)
    launch(
        correlate_kernel,
        (shares, 9, blocks(channels, block)),
        values,
        read,
        taps,
        *_affine(affine, values),
        partial,
        len(read),
        num_rows,
        CHANNELS=channels,
        BLOCK=block,
        ROWS=_ROWS,
        SPAN=_SPAN,
        AFFINE=affine is not None,
        FLIP=flip,
        READ=activation or "none",
    )
    return torch.sum(partial, 0, out=out)
