"""Fold the weights of a layer in one launch; ``LayerParameters.folded`` defines it.

Shape letters: C channels, R rows and W columns of a tile.
"""

import torch
import triton.language as tl

from lidistill.backbones.waffleiron.gpu.language import (
    kernel,
    launch,
    matrix_tiles,
    read_matrix,
    read_vector,
    write_matrix,
    write_vector,
)
from lidistill.backbones.waffleiron.layer import LayerForm, LayerParameters, LayerWeights


@kernel
def fold_kernel(
    conv1: tl.tensor,
    conv1_bias: tl.tensor,
    conv2: tl.tensor,
    conv2_bias: tl.tensor,
    conv_scale: tl.tensor,
    gain: tl.tensor,
    shift: tl.tensor,
    linear1: tl.tensor,
    linear1_bias: tl.tensor,
    linear2: tl.tensor,
    linear2_bias: tl.tensor,
    linear_scale: tl.tensor,
    kernels: tl.tensor,
    biases: tl.tensor,
    first: tl.tensor,
    first_bias: tl.tensor,
    second: tl.tensor,
    second_bias: tl.tensor,
    CHANNELS: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
) -> None:
    """Some rows of ``fold``."""
    row = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    scale = read_vector(conv_scale, row, 1, CHANNELS)
    for tap in range(9):
        x = read_vector(conv1 + tap, row, 9, CHANNELS)
        write_vector(kernels + tap * CHANNELS, row, 1, x, CHANNELS)
        x = read_vector(conv2 + tap, row, 9, CHANNELS) * scale
        write_vector(kernels + (9 + tap) * CHANNELS, row, 1, x, CHANNELS)
    bias = read_vector(conv1_bias, row, 1, CHANNELS)
    write_vector(biases, row, 1, bias, CHANNELS)
    bias = read_vector(conv2_bias, row, 1, CHANNELS) * scale
    write_vector(biases + CHANNELS, row, 1, bias, CHANNELS)

    scale = read_vector(linear_scale, row, 1, CHANNELS)
    shifted = tl.zeros((ROWS, COLUMNS), tl.float32)
    for start in range(0, CHANNELS, COLUMNS):
        column = start + tl.arange(0, COLUMNS)
        tile = read_matrix(linear1, row, column, CHANNELS)
        shifted += tile * read_vector(shift, column, 1, CHANNELS)[None, :]
        tile *= read_vector(gain, column, 1, CHANNELS)[None, :]
        write_matrix(first, row, column, tile, CHANNELS)
        tile = read_matrix(linear2, row, column, CHANNELS) * scale[:, None]
        write_matrix(second, row, column, tile, CHANNELS)
    bias = tl.sum(shifted, 1) + read_vector(linear1_bias, row, 1, CHANNELS)
    write_vector(first_bias, row, 1, bias, CHANNELS)
    bias = read_vector(linear2_bias, row, 1, CHANNELS) * scale
    write_vector(second_bias, row, 1, bias, CHANNELS)


def fold(weights: LayerParameters, form: LayerForm) -> LayerWeights:
    """``LayerParameters.folded`` in one launch; what goes into a product in ``form.dtype``.

    Args:
        weights: Any number format.
        form: Its ``dtype`` is that of the products.
    """
    given = LayerParameters(*(tensor.contiguous() for tensor in weights))
    channels, like = len(given.gain), given.gain
    grid, tiles = matrix_tiles(channels)
    single, low = torch.float32, form.dtype
    out = LayerWeights(
        kernels=like.new_empty(2, 9, channels, dtype=single),
        biases=like.new_empty(2, channels, dtype=single),
        gain=given.gain,
        shift=given.shift,
        first=like.new_empty(channels, channels, dtype=low),
        first_bias=like.new_empty(channels, dtype=low),
        second=like.new_empty(channels, channels, dtype=low),
        second_bias=like.new_empty(channels, dtype=single),
    )
    launch(
        fold_kernel,
        grid,
        *given[2:],
        *(out.kernels, out.biases),
        *out[4:],
        **tiles,
    )
    return out
