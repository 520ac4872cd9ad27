"""Forward pass of a layer on the CPU, in portions of points that stay in the cache.

Memory sees each point twice per layer: when it is flattened, and when it takes everything else.

Shape letters: M points, O cells in use, R cells of these and of their ring, C channels.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from lidistill.ops import compiled as loops
from lidistill.ops.compiled import rows
from lidistill.ops.flatten_inflate import Plane
from lidistill.ops.layer import Keep, LayerForm, LayerWeights
from lidistill.ops.occupied import activate
from lidistill.ops.threads import chunks, run_split

CHUNK = 1024
"""Points at a time: three buffers of 256 channels stay in the cache of a core."""


def gather_taps(values: Tensor, taps: Tensor, kernel: Tensor, bias: Tensor, out: Tensor) -> None:
    """One depthwise 3x3 convolution; see ``compiled.gather_taps``."""
    arrays = rows(values), rows(taps), rows(kernel), rows(bias)

    def work(_: int, start: int, stop: int) -> None:
        loops.gather_taps(*arrays, (start, stop), rows(out))

    run_split(len(out), work)


def cells_with_affine(flat: Tensor, weights: LayerWeights, plane: Plane) -> Tensor:
    """(O, C) flattened points, the affine part of their norm included."""
    return (flat * weights.gain).addcmul_(plane.filled[:, None], weights.shift)


def convs_on_cells(
    tokens: Tensor, weights: LayerWeights, plane: Plane, form: LayerForm
) -> tuple[Tensor, Tensor, Tensor]:
    """Sums of normalised points (O, C), first convolution before its activation (R, C), second."""
    num_cells, channels = plane.num_cells, tokens.shape[1]
    flat, out = tokens.new_empty(2, num_cells, channels).unbind(0)
    before = tokens.new_empty(plane.sources.shape[1], channels)
    tables = rows(tokens), rows(plane.fills), rows(plane.fills_offsets), rows(plane.fills_share)

    def flatten(_: int, start: int, stop: int) -> None:
        loops.flatten_normed(*tables, form.eps, (start, stop), rows(flat))

    run_split(num_cells, flatten)
    kernels = weights.kernels.contiguous()
    gather_taps(
        cells_with_affine(flat, weights, plane),
        plane.sources,
        kernels[0].flip(0),
        weights.biases[0],
        before,
    )
    between = activate(before, form.activation)
    gather_taps(between, plane.taps, kernels[1], weights.biases[1], out)
    return flat, before, out


def channel_mix(
    tokens: Tensor,
    cells: Tensor,
    weights: LayerWeights,
    plane: Plane,
    form: LayerForm,
    *,
    out: Tensor,
    keep: Keep = None,
    hidden: Tensor | None = None,
) -> None:
    """Inflate the cells, add them, and add the perceptron.

    Args:
        tokens: (M, C) points before the layer.
        cells: (O, C) what the convolutions add.
        weights: Folded weights.
        plane: Where the points lie.
        form: Of the layer.
        out: (M, C) written; may be ``tokens``.
        keep: Factors under stochastic depth; ``cells`` has its own already.
        hidden: (M, C) in ``form.dtype``, written: its hidden layer before the activation (GELU) or
            after it (ReLU), for the backward pass.
    """
    first, second = weights.first.to(form.dtype).t(), weights.second.to(form.dtype).t()
    first_bias = weights.first_bias.to(form.dtype)
    tables = rows(tokens), rows(cells), rows(plane.reads)
    factor = rows(tokens.new_empty(0) if keep is None else keep[1])
    bias = rows(weights.second_bias)

    def work(_: int, start: int, stop: int) -> None:
        size = min(CHUNK, stop - start)
        buffers = torch.empty(3, size, tokens.shape[1], dtype=form.dtype)
        for part in chunks(start, stop, size):
            norm, middle, residual = buffers[:, : part.stop - part.start].unbind(0)
            if hidden is not None:
                middle = hidden[part]
            loops.inflate_normed(*tables, form.eps, (part.start, part.stop), rows(norm))
            torch.addmm(first_bias, norm, first, out=middle)
            active = middle.relu_() if form.activation == "relu" else F.gelu(middle)
            torch.mm(active, second, out=residual)
            loops.add_residuals(*tables, rows(residual), bias, factor, part.start, rows(out))

    run_split(len(tokens), work)
