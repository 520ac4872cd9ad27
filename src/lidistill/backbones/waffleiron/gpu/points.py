"""Kernels on the points: a tile of whole rows a program, each row read and written once.

Rows are float32, but for what goes into a matrix product or comes out of one.

Shape letters: M points, O cells in use, C channels, R rows and W channels of a tile.
"""

import triton.language as tl
from torch import Tensor

from lidistill.backbones.waffleiron.gpu.language import (
    blocks,
    kernel,
    launch,
    normed,
    normed_backward,
    row_sizes,
)


@kernel
def with_cells(
    tokens: tl.tensor,
    cells: tl.tensor,
    reads: tl.tensor,
    row: tl.tensor,
    column: tl.tensor,
    mask: tl.tensor,
    num_points: int,
    CHANNELS: tl.constexpr,
) -> tl.tensor:
    """(R, W) points with their cells' part added."""
    cell = tl.load(reads + row, mask=row < num_points, other=0)
    x = tl.load(tokens + row[:, None] * CHANNELS + column[None, :], mask=mask, other=0.0)
    return x + tl.load(cells + cell[:, None] * CHANNELS + column[None, :], mask=mask, other=0.0)


@kernel
def inflate_kernel(
    tokens: tl.tensor,
    cells: tl.tensor,
    reads: tl.tensor,
    out: tl.tensor,
    eps: float,
    num_points: int,
    CHANNELS: tl.constexpr,
    BLOCK: tl.constexpr,
    ROWS: tl.constexpr,
    NORM: tl.constexpr,
) -> None:
    """A tile of ``inflate_normed``."""
    row = tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS)
    column = tl.arange(0, BLOCK)
    mask = (row < num_points)[:, None] & (column < CHANNELS)[None, :]
    x = with_cells(tokens, cells, reads, row, column, mask, num_points, CHANNELS)
    if NORM:
        x = normed(x, mask, eps, CHANNELS)
    place = row[:, None] * CHANNELS + column[None, :]
    tl.store(out + place, x.to(out.dtype.element_ty), mask=mask)


def inflate_normed(
    tokens: Tensor, cells: Tensor, reads: Tensor, eps: float, *, out: Tensor
) -> None:
    """Add to each point the cell it reads, and normalise: ``cpu.loops.inflate_normed``.

    Args:
        tokens: (M, C) points.
        cells: (O, C) what is added.
        reads: (M,) int64 cell of each point.
        eps: Of the LayerNorm; negative for none.
        out: (M, C) written, in its own number format.
    """
    num_points, channels = tokens.shape
    sizes = row_sizes(channels)
    launch(
        inflate_kernel,
        (blocks(num_points, sizes["ROWS"]),),
        tokens,
        cells,
        reads,
        out,
        eps,
        num_points,
        **sizes,
        NORM=eps >= 0,
    )


@kernel
def add_kernel(
    tokens: tl.tensor,
    cells: tl.tensor,
    reads: tl.tensor,
    residual: tl.tensor,
    bias: tl.tensor,
    keep: tl.tensor,
    out: tl.tensor,
    num_points: int,
    CHANNELS: tl.constexpr,
    BLOCK: tl.constexpr,
    ROWS: tl.constexpr,
    KEEP: tl.constexpr,
) -> None:
    """A tile of ``add_residuals``."""
    row = tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS)
    column = tl.arange(0, BLOCK)
    mask = (row < num_points)[:, None] & (column < CHANNELS)[None, :]
    place = row[:, None] * CHANNELS + column[None, :]
    more = tl.load(residual + place, mask=mask, other=0.0).to(tl.float32)
    more += tl.load(bias + column, mask=column < CHANNELS, other=0.0)[None, :]
    if KEEP:
        more *= tl.load(keep + row, mask=row < num_points, other=0.0)[:, None]
    x = with_cells(tokens, cells, reads, row, column, mask, num_points, CHANNELS)
    tl.store(out + place, x + more, mask=mask)


def add_residuals(
    tokens: Tensor,
    cells: Tensor,
    reads: Tensor,
    residual: Tensor,
    bias: Tensor,
    keep: Tensor | None,
    *,
    out: Tensor,
) -> None:
    """``tokens + cells[reads] + keep * (residual + bias)``: ``cpu.loops.add_residuals``.

    Args:
        tokens: (M, C) points.
        cells: (O, C) what their cells add.
        reads: (M,) int64 cell of each point.
        residual: (M, C) what the perceptron adds, without its last bias.
        bias: (C,) float32.
        keep: (M,) factor of the perceptron's part; None for 1.
        out: (M, C) may be ``tokens``.
    """
    num_points, channels = tokens.shape
    sizes = row_sizes(channels)
    launch(
        add_kernel,
        (blocks(num_points, sizes["ROWS"]),),
        tokens,
        cells,
        reads,
        residual,
        bias,
        bias if keep is None else keep,
        out,
        num_points,
        **sizes,
        KEEP=keep is not None,
    )


@kernel
def inflate_backward_kernel(
    tokens: tl.tensor,
    cells: tl.tensor,
    reads: tl.tensor,
    grad_norm: tl.tensor,
    grad_out: tl.tensor,
    out: tl.tensor,
    eps: float,
    num_points: int,
    CHANNELS: tl.constexpr,
    BLOCK: tl.constexpr,
    ROWS: tl.constexpr,
    NORM: tl.constexpr,
) -> None:
    """A tile of ``inflate_normed_backward``."""
    row = tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS)
    column = tl.arange(0, BLOCK)
    mask = (row < num_points)[:, None] & (column < CHANNELS)[None, :]
    place = row[:, None] * CHANNELS + column[None, :]
    grad = tl.load(grad_norm + place, mask=mask, other=0.0).to(tl.float32)
    if NORM:
        x = with_cells(tokens, cells, reads, row, column, mask, num_points, CHANNELS)
        grad = normed_backward(x, grad, mask, eps, CHANNELS)
    grad += tl.load(grad_out + place, mask=mask, other=0.0)
    tl.store(out + place, grad, mask=mask)


def inflate_normed_backward(
    tokens: Tensor,
    cells: Tensor,
    reads: Tensor,
    grad_norm: Tensor,
    grad_out: Tensor,
    eps: float,
) -> Tensor:
    """(M, C) gradient of ``tokens + cells[reads]``: ``cpu.gradients`` has its twin.

    Args:
        tokens: (M, C) points.
        cells: (O, C) what their cells add.
        reads: (M,) int64 cell of each point.
        grad_norm: (M, C) gradient of the normalised points.
        grad_out: (M, C) gradient that passes by on the residual stream.
        eps: Of the LayerNorm; negative for none.
    """
    num_points, channels = tokens.shape
    sizes, out = row_sizes(channels), tokens.new_empty(num_points, channels)
    launch(
        inflate_backward_kernel,
        (blocks(num_points, sizes["ROWS"]),),
        tokens,
        cells,
        reads,
        grad_norm,
        grad_out,
        out,
        eps,
        num_points,
        **sizes,
        NORM=eps >= 0,
    )
    return out


@kernel
def flatten_backward_kernel(
    tokens: tl.tensor,
    grad_cells: tl.tensor,
    reads: tl.tensor,
    share: tl.tensor,
    gain: tl.tensor,
    out: tl.tensor,
    eps: float,
    num_points: int,
    CHANNELS: tl.constexpr,
    BLOCK: tl.constexpr,
    ROWS: tl.constexpr,
    NORM: tl.constexpr,
) -> None:
    """A tile of ``flatten_normed_backward``."""
    row = tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS)
    column = tl.arange(0, BLOCK)
    present = row < num_points
    mask = present[:, None] & (column < CHANNELS)[None, :]
    place = row[:, None] * CHANNELS + column[None, :]
    cell = tl.load(reads + row, mask=present, other=0)
    source = grad_cells + cell[:, None] * CHANNELS + column[None, :]
    grad = tl.load(source, mask=mask, other=0.0)
    grad *= tl.load(gain + column, mask=column < CHANNELS, other=0.0)[None, :]
    if NORM:
        x = tl.load(tokens + place, mask=mask, other=0.0)
        grad = normed_backward(x, grad, mask, eps, CHANNELS)
    grad *= tl.load(share + row, mask=present, other=0.0)[:, None]
    tl.store(out + place, tl.load(out + place, mask=mask, other=0.0) + grad, mask=mask)


def flatten_normed_backward(
    tokens: Tensor,
    grad_cells: Tensor,
    reads: Tensor,
    share: Tensor,
    gain: Tensor,
    eps: float,
    *,
    out: Tensor,
) -> None:
    """Add the gradient of the flattened points to that of the points.

    Args:
        tokens: (M, C) points.
        grad_cells: (O, C) gradient of the cells, the affine part of the norm included.
        reads: (M,) int64 cell of each point.
        share: (M,) weight of each point in its cell; 0 where it fills none.
        gain: (C,) of the norm.
        eps: Of the LayerNorm; negative for none.
        out: (M, C) added to.
    """
    num_points, channels = tokens.shape
    sizes = row_sizes(channels)
    launch(
        flatten_backward_kernel,
        (blocks(num_points, sizes["ROWS"]),),
        tokens,
        grad_cells,
        reads,
        share,
        gain,
        out,
        eps,
        num_points,
        **sizes,
        NORM=eps >= 0,
    )
