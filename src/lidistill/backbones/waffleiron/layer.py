"""One layer of a WaffleIron on folded weights: the definition, in plain PyTorch.

A layer adds to each point what two convolutions say about its cell, and then what a perceptron
says about the point. LayerNorms come without their affine part and LayerScales not at all: both
are folded into the weights.

Shape letters: M points, O cells in use, C channels.
"""

from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor

from lidistill.backbones.waffleiron.depthwise import Activation, Convolutions, activate, dense_convs
from lidistill.backbones.waffleiron.flatten_inflate import flatten_points, inflate_cells
from lidistill.backbones.waffleiron.plane import Plane

Keep: TypeAlias = tuple[Tensor, Tensor] | None
"""(O,) and (M,) factors of both residuals under stochastic depth, float32."""


class LayerWeights(NamedTuple):
    """Weights of a layer with all affine maps folded in."""

    kernels: Tensor
    """(2, 9, C) both convolutions, taps in row-major order."""
    biases: Tensor
    """(2, C) theirs."""
    gain: Tensor
    """(C,) factor of the cells' normalised points."""
    shift: Tensor
    """(C,) what every cell that a point fills has on top of them."""
    first: Tensor
    """(C, C) first layer of the perceptron."""
    first_bias: Tensor
    """(C,)."""
    second: Tensor
    """(C, C) second layer."""
    second_bias: Tensor
    """(C,)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerForm:
    """What a layer computes, apart from its weights."""

    activation: Activation
    eps: float
    """Of both LayerNorms; negative where there is none."""
    dtype: torch.dtype = torch.float32
    """Of the matrix products; everything else is float32."""


def plain_layer(
    tokens: Tensor,
    weights: LayerWeights,
    plane: Plane,
    form: LayerForm,
    keep: Keep = None,
    *,
    convs: Convolutions = dense_convs,
) -> Tensor:
    """(M, C) points after a layer.

    Args:
        tokens: (M, C) points.
        weights: Folded weights.
        plane: Where the points lie.
        form: Activation and norms; its number format is the fast path's business.
        keep: Factors under stochastic depth.
        convs: Both convolutions: on the dense grid, or on the occupied cells.
    """
    channels = tokens.shape[1:]

    def norm(x: Tensor) -> Tensor:
        return F.layer_norm(x, channels, eps=form.eps) if form.eps >= 0 else x

    filled = plane.filled.to(tokens.dtype)[:, None]
    cells = flatten_points(norm(tokens), plane) * weights.gain + weights.shift * filled
    cells = convs(cells, weights.kernels, weights.biases, plane, activation=form.activation)
    if keep is not None:
        cells = cells * keep[0][:, None]
    tokens = tokens + inflate_cells(cells, plane)
    hidden = activate(F.linear(norm(tokens), weights.first, weights.first_bias), form.activation)
    residual = F.linear(hidden, weights.second, weights.second_bias)
    return tokens + (residual if keep is None else residual * keep[1][:, None])
