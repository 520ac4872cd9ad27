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


class LayerParameters(NamedTuple):
    """Weights of a layer as they are trained; of a BatchNorm, its affine map in evaluation."""

    gain: Tensor
    """(C,) of the norm before the cells."""
    shift: Tensor
    """(C,) of the same."""
    conv1: Tensor
    """(C, 1, 3, 3)."""
    conv1_bias: Tensor
    """(C,)."""
    conv2: Tensor
    """(C, 1, 3, 3)."""
    conv2_bias: Tensor
    """(C,)."""
    conv_scale: Tensor
    """(C,) LayerScale behind both convolutions."""
    point_gain: Tensor
    """(C,) of the norm before the perceptron."""
    point_shift: Tensor
    """(C,) of the same."""
    linear1: Tensor
    """(C, C)."""
    linear1_bias: Tensor
    """(C,)."""
    linear2: Tensor
    """(C, C)."""
    linear2_bias: Tensor
    """(C,)."""
    linear_scale: Tensor
    """(C,) LayerScale behind the perceptron."""

    def folded(self) -> LayerWeights:
        """All that is affine folded in: the definition, in plain PyTorch."""
        convs = (self.conv1, self.conv1_bias), (self.conv2, self.conv2_bias)
        kernels, biases = fold_convs(*convs, self.conv_scale)
        return LayerWeights(
            kernels=kernels,
            biases=biases,
            gain=self.gain,
            shift=self.shift,
            first=self.linear1 * self.point_gain,
            first_bias=torch.mv(self.linear1, self.point_shift) + self.linear1_bias,
            second=self.linear2 * self.linear_scale[:, None],
            second_bias=self.linear2_bias * self.linear_scale,
        )


def fold_convs(
    first: tuple[Tensor, Tensor], second: tuple[Tensor, Tensor], scale: Tensor
) -> tuple[Tensor, Tensor]:
    """Kernels (2, 9, C) and biases (2, C) of both convolutions, the layer scale in the second.

    Args:
        first: (C, 1, 3, 3) kernel and (C,) bias.
        second: Those of the second convolution.
        scale: (C,) LayerScale.
    """
    scaled = second[0] * scale[:, None, None, None]
    kernels = torch.stack([first[0], scaled]).flatten(2).transpose(1, 2)
    return kernels, torch.stack((first[1], second[1] * scale))


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
