"""Kernels on the cells of a grid: sums of points by cell, 3x3 convolutions, their backwards.

One program owns what it writes, and adds in a fixed order; nothing is added atomically.

Shape letters: M points, E points sorted by cell, O cells in use, N rows of one set of cells, V of
another, C channels, P programs along the rows.
"""

from typing import Final

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
    normed,
    row_sizes,
)

_CHANNELS: Final = 128
"""Channels of a program that needs no whole rows."""
_ROWS: Final = 16
"""Its rows at a time."""
_SPAN: Final = 256
"""Rows that it sums up."""


@kernel
def segments_kernel(
    values: tl.tensor,
    order: tl.tensor,
    offsets: tl.tensor,
    share: tl.tensor,
    factor: tl.tensor,
    out: tl.tensor,
    eps: float,
    CHANNELS: tl.constexpr,
    BLOCK: tl.constexpr,
    ROWS: tl.constexpr,
    NORM: tl.constexpr,
    SHARE: tl.constexpr,
    FACTOR: tl.constexpr,
) -> None:
    """A cell of ``segment_sums``: some of its points at a time, in their order."""
    cell = tl.program_id(0).to(tl.int64)
    column = tl.arange(0, BLOCK)
    valid = column < CHANNELS
    stop = tl.load(offsets + cell + 1)
    total = tl.zeros((BLOCK,), tl.float32)
    for first in range(tl.load(offsets + cell), stop, ROWS):
        entry = first + tl.arange(0, ROWS)
        present = entry < stop
        row = tl.load(order + entry, mask=present, other=0)
        mask = present[:, None] & valid[None, :]
        x = tl.load(values + row[:, None] * CHANNELS + column[None, :], mask=mask, other=0.0)
        if NORM:
            x = normed(x, mask, eps, CHANNELS)
        if SHARE:
            x *= tl.load(share + entry, mask=present, other=0.0)[:, None]
        total += tl.sum(x, 0)
    if FACTOR:
        total *= tl.load(factor + cell)
    tl.store(out + cell * CHANNELS + column, total, mask=valid)


def segment_sums(
    values: Tensor,
    order: Tensor,
    offsets: Tensor,
    *,
    eps: float = -1.0,
    share: Tensor | None = None,
    factor: Tensor | None = None,
) -> Tensor:
    """(O, C) sums of each cell's rows, LayerNorm before it: ``compiled.flatten_normed``.

    Args:
        values: (M, C) float32 rows.
        order: (E,) int64 rows sorted by cell.
        offsets: (O + 1,) int64 where each cell's begin.
        eps: Of the LayerNorm; negative for none.
        share: (E,) weight of each row; None for 1.
        factor: (O,) factor of each sum; None for 1.
    """
    out = values.new_empty(len(offsets) - 1, values.shape[1])
    launch(
        segments_kernel,
        (len(out),),
        values,
        order,
        offsets,
        values if share is None else share,
        values if factor is None else factor,
        out,
        eps,
        **row_sizes(values.shape[1]),
        NORM=eps >= 0,
        SHARE=share is not None,
        FACTOR=factor is not None,
    )
    return out


@kernel
def read_tap(
    values: tl.tensor,
    taps: tl.tensor,
    tap: tl.tensor,
    row: tl.tensor,
    column: tl.tensor,
    num_values: int,
    num_rows: int,
    CHANNELS: tl.constexpr,
) -> tl.tensor:
    """(R, W) what rows read at a tap; zero beyond the last value, row and channel."""
    source = tl.load(taps + tap * num_rows + row, mask=row < num_rows, other=num_values)
    mask = (source < num_values)[:, None] & (column < CHANNELS)[None, :]
    return tl.load(values + source[:, None] * CHANNELS + column[None, :], mask=mask, other=0.0)


@kernel
def taps_kernel(
    values: tl.tensor,
    taps: tl.tensor,
    weights: tl.tensor,
    bias: tl.tensor,
    before: tl.tensor,
    out: tl.tensor,
    num_values: int,
    num_rows: int,
    CHANNELS: tl.constexpr,
    BLOCK: tl.constexpr,
    ROWS: tl.constexpr,
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
        x = read_tap(values, taps, tap, row, column, num_values, num_rows, CHANNELS)
        weight = tl.load(weights + tap * CHANNELS + column, mask=valid, other=0.0)
        total += activated(x, READ) * weight[None, :]
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
    read: Activation | None = None,
    through: tuple[Tensor, Activation] | None = None,
) -> Tensor:
    """(N, C) depthwise 3x3 convolution: ``compiled.gather_taps``, with an activation on either end.

    Args:
        values: (V, C) float32 cells that are read.
        taps: (9, N) int64 which of them each cell reads at each tap; V and more is zero.
        weights: (9, C).
        bias: (C,); None for zero.
        read: Activation of the values.
        through: Gradients pass an activation, whose input (N, C) this is; see
            ``occupied.activate_backward``.
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
        values if through is None else through[0],
        out,
        len(values),
        num_rows,
        CHANNELS=channels,
        BLOCK=block,
        ROWS=_ROWS,
        BIAS=bias is not None,
        READ=read or "none",
        THROUGH="none" if through is None else through[1],
    )
    return out


@kernel
def correlate_kernel(
    values: tl.tensor,
    read: tl.tensor,
    taps: tl.tensor,
    partial: tl.tensor,
    num_read: int,
    num_rows: int,
    CHANNELS: tl.constexpr,
    BLOCK: tl.constexpr,
    ROWS: tl.constexpr,
    SPAN: tl.constexpr,
    READ: tl.constexpr,
) -> None:
    """One tap of ``correlate_taps``, for a share of the rows."""
    share = tl.program_id(0).to(tl.int64)
    tap = tl.program_id(1)
    column = tl.program_id(2) * BLOCK + tl.arange(0, BLOCK)
    valid = column < CHANNELS
    total = tl.zeros((ROWS, BLOCK), tl.float32)
    start = share * SPAN
    for first in range(start, tl.minimum(start + SPAN, num_rows), ROWS):
        row = first + tl.arange(0, ROWS)
        x = read_tap(read, taps, tap, row, column, num_read, num_rows, CHANNELS)
        mask = (row < num_rows)[:, None] & valid[None, :]
        y = tl.load(values + row[:, None] * CHANNELS + column[None, :], mask=mask, other=0.0)
        total += activated(x, READ) * y
    place = (share * 9 + tap) * CHANNELS + column
    tl.store(partial + place, tl.sum(total, 0), mask=valid)


def correlate_taps(
    values: Tensor, read: Tensor, taps: Tensor, *, activation: Activation | None = None
) -> Tensor:
    """(9, C) gradient of a kernel: ``compiled_gradients.correlate_taps``.

    Args:
        values: (O, C) one factor, float32.
        read: (V, C) the other, read at the taps.
        taps: (9, O) int64 positions in ``read``; V and more is zero.
        activation: Of what is read.
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
        partial,
        len(read),
        num_rows,
        CHANNELS=channels,
        BLOCK=block,
        ROWS=_ROWS,
        SPAN=_SPAN,
        READ=activation or "none",
    )
    return partial.sum(0)
