"""Every GPU kernel beside its definition in plain PyTorch, with the bytes it has to move.

``gpu_check.py`` runs them; those on cells are in ``gpu_cells.py``. The definitions are the plain
twins of ``lidistill.ops`` where a kernel is one operation, and a few lines of PyTorch where it is
several.

Shape letters: M points, O cells in use, R cells of these and of their ring, C channels.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from lidistill.backbones.waffleiron.cpu.fused_layer import Passes, fused_layer
from lidistill.backbones.waffleiron.depthwise import activate_backward, occupied_convs
from lidistill.backbones.waffleiron.edge_max import dense_edge_max
from lidistill.backbones.waffleiron.gpu.proof import drawn_weights
from lidistill.backbones.waffleiron.layer import (
    Keep,
    LayerForm,
    LayerParameters,
    LayerWeights,
    plain_layer,
)
from lidistill.backbones.waffleiron.plane import Plane

EPS = 1e-5
LIMITS = {torch.float32: 1e-5, torch.bfloat16: 2e-2}
"""Largest relative difference that counts as equal."""
KINK = 0.1
"""That of gradients of a ReLU in 16 bits: rounding decides on which side of 0 a number lies."""


@dataclass(frozen=True, kw_only=True)
class Kernel:
    """One operation in both forms."""

    name: str
    run: Callable[[], Tensor | tuple[Tensor, ...]]
    twin: Callable[[], Tensor | tuple[Tensor, ...]]
    bytes_moved: float
    """Tensors that must be read or written at least once; a gather counts its rows."""


class Setting(NamedTuple):
    """Random points in a plane, and one layer's weights."""

    tokens: Tensor
    """(M, C) float32."""
    weights: LayerParameters
    folded: LayerWeights
    """The same, by the definition."""
    plane: Plane
    keep: Keep


def make_setting(plane: Plane, channels: int) -> Setting:
    """Draw what a layer needs on the device of a plane."""
    rng = torch.Generator().manual_seed(0)
    device, num_points = plane.cell.device, len(plane.reads)

    def draw(shape: tuple[int, ...]) -> Tensor:
        return (torch.randn(shape, generator=rng) / shape[-1] ** 0.5).to(device)

    weights = drawn_weights(draw, channels)
    sizes = plane.num_cells, num_points
    keep = tuple(torch.rand(size, generator=rng).to(device) for size in sizes)
    tokens = draw((num_points, channels)) * channels**0.5
    return Setting(tokens, weights, weights.folded(), plane, (keep[0], keep[1]))


def _normed_backward(x: Tensor, grad: Tensor) -> Tensor:
    leaf = x.detach().requires_grad_()
    out = F.layer_norm(leaf, x.shape[1:], eps=EPS)
    return torch.autograd.grad(out, leaf, grad)[0]


def point_kernels(setting: Setting, dtype: torch.dtype) -> list[Kernel]:
    """Kernels on points, with the number format of the products given."""
    from lidistill.backbones.waffleiron.gpu import columns, points  # noqa: PLC0415  Triton is optional

    tokens, _, weights, plane, keep = setting
    reads, bias = plane.reads, weights.second_bias
    factor = None if keep is None else keep[1]
    cell = torch.randn(plane.num_cells, tokens.shape[1], device=tokens.device)
    low = torch.randn_like(tokens).to(dtype)
    hidden = torch.randn_like(tokens).to(dtype)
    wide, narrow = 4.0 * tokens.numel(), float(low.element_size() * low.numel())

    def inflate() -> Tensor:
        out = torch.empty_like(low)
        points.inflate_normed(tokens, cell, reads, EPS, out=out)
        return out

    def add() -> Tensor:
        out = torch.empty_like(tokens)
        points.add_residuals(tokens, cell, reads, low, bias, factor, out=out)
        return out

    def add_twin() -> Tensor:
        scale = 1.0 if factor is None else factor[:, None]
        return tokens + cell[reads] + scale * (low.float() + bias)

    def flatten_backward() -> Tensor:
        out = torch.zeros_like(tokens)
        spread = reads, plane.share, weights.gain
        points.flatten_normed_backward(tokens, cell, *spread, EPS, out=out)
        return out

    def through() -> Tensor:
        grad = low.clone()
        columns.through_activation(grad, hidden, "gelu")
        return grad

    return [
        Kernel(
            name="inflate + LayerNorm",
            run=inflate,
            twin=lambda: F.layer_norm(tokens + cell[reads], tokens.shape[1:], eps=EPS).to(dtype),
            bytes_moved=wide + narrow,
        ),
        Kernel(name="residuals", run=add, twin=add_twin, bytes_moved=2 * wide + narrow),
        Kernel(
            name="inflate + LayerNorm, backward",
            run=lambda: points.inflate_normed_backward(tokens, cell, reads, low, tokens, EPS),
            twin=lambda: tokens + _normed_backward(tokens + cell[reads], low.float()),
            bytes_moved=3 * wide + narrow,
        ),
        Kernel(
            name="LayerNorm + flatten, backward (with zeroing its output)",
            run=flatten_backward,
            twin=lambda: (
                _normed_backward(tokens, (cell * weights.gain)[reads]) * plane.share[:, None]
            ),
            bytes_moved=4 * wide,
        ),
        Kernel(
            name="gradient to the products' format, with column sums",
            run=lambda: columns.narrow(tokens, factor, dtype)[0],
            twin=lambda: (tokens if factor is None else tokens * factor[:, None]).to(dtype),
            bytes_moved=wide + narrow,
        ),
        Kernel(
            name="activation backward, with column sums (and a copy)",
            run=through,
            twin=lambda: activate_backward(low.float(), hidden.float(), "gelu").to(dtype),
            bytes_moved=5 * narrow,
        ),
    ]


def weight_kernels(setting: Setting, dtype: torch.dtype) -> list[Kernel]:
    """Folding of a layer's weights and its gradient, with the products' format given."""
    from lidistill.backbones.waffleiron.gpu import folding, unfolding  # noqa: PLC0415  Triton is optional

    weights, form = setting.weights, LayerForm(activation="relu", eps=EPS, dtype=dtype)
    leaves = LayerParameters(*(one.detach().clone().requires_grad_() for one in weights))
    folded = leaves.folded()
    above = LayerWeights(*map(torch.randn_like, setting.folded))
    above = above._replace(first=above.first.to(dtype), second=above.second.to(dtype))
    wide = LayerWeights(*(one.float() for one in above))
    matrix = float(weights.linear1.numel())
    low = matrix * above.first.element_size()
    return [
        Kernel(
            name="weights folded",
            run=lambda: folding.fold(weights, form),
            twin=weights.folded,
            bytes_moved=8 * matrix + 2 * low,
        ),
        Kernel(
            name="gradients of the weights, from those of the folded ones; two launches",
            run=lambda: unfolding.unfold(weights, above),
            twin=lambda: torch.autograd.grad(folded, leaves, wide, retain_graph=True),
            bytes_moved=16 * matrix + 2 * low,
        ),
    ]


def gradients(function: Callable[..., Tensor], inputs: list[Tensor]) -> list[Tensor]:
    """Value, and gradients of all inputs along a fixed direction."""
    leaves = [tensor.detach().clone().requires_grad_() for tensor in inputs]
    out = function(*leaves)
    direction = torch.linspace(-1, 1, out.numel(), device=out.device).view_as(out)
    return [out.detach(), *torch.autograd.grad((out * direction).sum(), leaves)]


def worst(found: list[Tensor], expected: list[Tensor]) -> float:
    """Largest relative difference of the norms."""
    pairs = zip(found, expected, strict=True)
    return max(float((a.float() - b.float()).norm() / b.float().norm()) for a, b in pairs)


def layer_differences(setting: Setting, passes: Passes) -> dict[str, dict[str, float]]:
    """Whole layers against the definition: values, and all gradients."""
    tokens, weights, _, plane, keep = setting
    record = {}
    for activation in ("relu", "gelu"):
        for dtype in (torch.float32, torch.bfloat16):
            form = LayerForm(activation=activation, eps=EPS, dtype=dtype)

            def fast(*tensors: Tensor, form: LayerForm = form) -> Tensor:
                rest = (LayerParameters(*tensors[1:]), plane, form, keep)
                return fused_layer(tensors[0], *rest, passes=passes)

            def plain(*tensors: Tensor, form: LayerForm = form) -> Tensor:
                rest = (LayerParameters(*tensors[1:]).folded(), plane, form, keep)
                return plain_layer(tensors[0], *rest, convs=occupied_convs)

            inputs = [tokens, *weights]
            name = f"{activation} {str(dtype).removeprefix('torch.')}"
            found, expected = gradients(fast, inputs), gradients(plain, inputs)
            value, limit = worst(found[:1], expected[:1]), LIMITS[dtype]
            record[f"{name}, values"] = {"difference": value, "limit": limit}
            if activation == "relu" and dtype != torch.float32:
                limit = KINK
            value = worst(found[1:], expected[1:])
            record[f"{name}, gradients"] = {"difference": value, "limit": limit}
    return record


def edge_inputs(num_points: int, channels: int, device: torch.device) -> list[Tensor]:
    """Differences to 16 neighbours in 5 channels and one of ones, and both layers."""
    rng = torch.Generator().manual_seed(0)
    shapes = ((16, num_points, 6), (channels, 6), (channels, channels))
    edges, affine, weight = (torch.randn(shape, generator=rng).to(device) for shape in shapes)
    edges[..., -1] = 1
    return [edges, affine, weight / channels**0.5]


def plain_edges(edges: Tensor, affine: Tensor, weight: Tensor) -> Tensor:
    """The definition, with the bias in the last channel."""
    return dense_edge_max(edges, affine, affine.new_zeros(len(affine)), weight)
