"""Take the gradients of a layer's folded weights back to those that are trained; see ``folding``.

Programs of one launch own some rows of both matrices and all that goes with them; those of the
other own some columns of the first matrix, whose sums over the rows are the norm's gradients.

Shape letters: C channels, R rows and W columns of a tile.
"""

from typing import Final

import torch
import triton.language as tl

from lidistill.backbones.waffleiron.gpu.language import (
    blocks,
    kernel,
    launch,
    matrix_tiles,
    read_matrix,
    read_vector,
    write_matrix,
    write_vector,
)
from lidistill.backbones.waffleiron.layer import LayerParameters, LayerWeights

_STRIP: Final = 32
"""Columns of a program that sums over rows."""
_STRIP_ROWS: Final = 64
"""Rows that it takes at a time."""


@kernel
def unfold_rows_kernel(
    kernels: tl.tensor,
    biases: tl.tensor,
    first: tl.tensor,
    first_bias: tl.tensor,
    second: tl.tensor,
    second_bias: tl.tensor,
    conv2: tl.tensor,
    conv2_bias: tl.tensor,
    conv_scale: tl.tensor,
    gain: tl.tensor,
    shift: tl.tensor,
    linear2: tl.tensor,
    linear2_bias: tl.tensor,
    linear_scale: tl.tensor,
    grad_conv1: tl.tensor,
    grad_conv1_bias: tl.tensor,
    grad_conv2: tl.tensor,
    grad_conv2_bias: tl.tensor,
    grad_conv_scale: tl.tensor,
    grad_linear1: tl.tensor,
    grad_linear1_bias: tl.tensor,
    grad_linear2: tl.tensor,
    grad_linear2_bias: tl.tensor,
    grad_linear_scale: tl.tensor,
    CHANNELS: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
) -> None:
    """Some rows of ``unfold``; the first six are gradients of the folded weights."""
    row = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    scale = read_vector(conv_scale, row, 1, CHANNELS)
    grad = read_vector(biases, row, 1, CHANNELS)
    write_vector(grad_conv1_bias, row, 1, grad, CHANNELS)
    grad = read_vector(biases + CHANNELS, row, 1, CHANNELS)
    write_vector(grad_conv2_bias, row, 1, grad * scale, CHANNELS)
    total = grad * read_vector(conv2_bias, row, 1, CHANNELS)
    for tap in range(9):
        grad = read_vector(kernels + tap * CHANNELS, row, 1, CHANNELS)
        write_vector(grad_conv1 + tap, row, 9, grad, CHANNELS)
        grad = read_vector(kernels + (9 + tap) * CHANNELS, row, 1, CHANNELS)
        write_vector(grad_conv2 + tap, row, 9, grad * scale, CHANNELS)
        total += grad * read_vector(conv2 + tap, row, 9, CHANNELS)
    write_vector(grad_conv_scale, row, 1, total, CHANNELS)

    scale = read_vector(linear_scale, row, 1, CHANNELS)
    bias = read_vector(first_bias, row, 1, CHANNELS)
    write_vector(grad_linear1_bias, row, 1, bias, CHANNELS)
    scaled = tl.zeros((ROWS, COLUMNS), tl.float32)
    for start in range(0, CHANNELS, COLUMNS):
        column = start + tl.arange(0, COLUMNS)
        tile = read_matrix(first, row, column, CHANNELS)
        tile *= read_vector(gain, column, 1, CHANNELS)[None, :]
        tile += bias[:, None] * read_vector(shift, column, 1, CHANNELS)[None, :]
        write_matrix(grad_linear1, row, column, tile, CHANNELS)
        tile = read_matrix(second, row, column, CHANNELS)
        write_matrix(grad_linear2, row, column, tile * scale[:, None], CHANNELS)
        scaled += tile * read_matrix(linear2, row, column, CHANNELS)
    grad = read_vector(second_bias, row, 1, CHANNELS)
    write_vector(grad_linear2_bias, row, 1, grad * scale, CHANNELS)
    total = tl.sum(scaled, 1) + grad * read_vector(linear2_bias, row, 1, CHANNELS)
    write_vector(grad_linear_scale, row, 1, total, CHANNELS)


@kernel
def unfold_columns_kernel(
    first: tl.tensor,
    first_bias: tl.tensor,
    linear1: tl.tensor,
    grad_gain: tl.tensor,
    grad_shift: tl.tensor,
    CHANNELS: tl.constexpr,
    STRIP: tl.constexpr,
    ROWS: tl.constexpr,
) -> None:
    """Some columns of ``unfold``; the first two are gradients of the folded weights."""
    column = tl.program_id(0) * STRIP + tl.arange(0, STRIP)
    gains = tl.zeros((ROWS, STRIP), tl.float32)
    shifts = tl.zeros((ROWS, STRIP), tl.float32)
    for start in range(0, CHANNELS, ROWS):
        row = start + tl.arange(0, ROWS)
        tile = read_matrix(linear1, row, column, CHANNELS)
        gains += tile * read_matrix(first, row, column, CHANNELS)
        shifts += tile * read_vector(first_bias, row, 1, CHANNELS)[:, None]
    write_vector(grad_gain, column, 1, tl.sum(gains, 0), CHANNELS)
    write_vector(grad_shift, column, 1, tl.sum(shifts, 0), CHANNELS)


def unfold(weights: LayerParameters, grads: LayerWeights) -> LayerParameters:
    """Gradients of what is trained, each in the number format of what it belongs to.

    Args:
        weights: As they were folded.
        grads: Of the folded weights, in any number format.
    """
    given = LayerParameters(*(tensor.contiguous() for tensor in weights))
    above = LayerWeights(*(tensor.contiguous() for tensor in grads))
    channels = len(given.gain)
    grid, tiles = matrix_tiles(channels)
    passed = (grad.to(given.gain.dtype) for grad in (above.gain, above.shift))
    out = LayerParameters(*passed, *map(torch.empty_like, given[2:]))
    launch(
        unfold_rows_kernel,
        grid,
        *(above.kernels, above.biases, *above[4:]),
        *(given.conv2, given.conv2_bias, given.conv_scale, given.point_gain, given.point_shift),
        *(given.linear2, given.linear2_bias, given.linear_scale),
        *(out.conv1, out.conv1_bias, out.conv2, out.conv2_bias, out.conv_scale),
        *(out.linear1, out.linear1_bias, out.linear2, out.linear2_bias, out.linear_scale),
        **tiles,
    )
    launch(
        unfold_columns_kernel,
        (blocks(channels, _STRIP),),
        *(above.first, above.first_bias, given.linear1, out.point_gain, out.point_shift),
        CHANNELS=channels,
        STRIP=_STRIP,
        ROWS=_STRIP_ROWS,
    )
    return out
