"""A whole layer of a WaffleIron in one pass over the points; ``layer`` defines it.

The passes themselves are written twice: compiled loops for the CPU, Triton kernels for GPUs.

Shape letters: M points, O cells in use, R cells of these and of their ring, C channels.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor
from torch.autograd.function import FunctionCtx, once_differentiable

from lidistill.backbones.waffleiron.cpu.fused_backward import (
    Saved,
    channel_backward,
    convs_backward,
)
from lidistill.backbones.waffleiron.cpu.fused_forward import (
    channel_mix,
    convs_on_cells,
    flatten_normed,
)
from lidistill.backbones.waffleiron.layer import (
    Keep,
    LayerForm,
    LayerParameters,
    LayerWeights,
)
from lidistill.backbones.waffleiron.plane import Plane


class ChannelMix(Protocol):
    """See ``fused_forward.channel_mix``."""

    def __call__(
        self,
        tokens: Tensor,
        cells: Tensor,
        weights: LayerWeights,
        plane: Plane,
        form: LayerForm,
        *,
        keep: Keep = None,
        hidden: Tensor | None = None,
        following: Plane | None = None,
    ) -> tuple[Tensor, Tensor | None]:
        """Inflate the cells, add them, and add the perceptron."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Folding:
    """``LayerParameters.folded`` and its gradient, each in one piece."""

    forward: Callable[[LayerParameters, LayerForm], LayerWeights]
    """Folded weights; both matrices and the bias between them may come in ``form.dtype``."""
    backward: Callable[[LayerParameters, LayerWeights], LayerParameters]
    """Gradients of what is trained, from those of the folded weights, in whatever format."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Passes:
    """The passes over points and cells that a layer consists of, on one kind of device."""

    flatten_normed: Callable[[Tensor, Plane, LayerForm], Tensor]
    convs_on_cells: Callable[[Tensor, LayerWeights, Plane, LayerForm], tuple[Tensor, Tensor]]
    channel_mix: ChannelMix
    channel_backward: Callable[
        [Tensor, Saved, LayerWeights, Plane, LayerForm, Keep],
        tuple[Tensor, Tensor, tuple[Tensor, Tensor, Tensor, Tensor]],
    ]
    convs_backward: Callable[
        [Tensor, Tensor, Saved, LayerWeights, Plane, LayerForm],
        tuple[Tensor, Tensor, Tensor, Tensor],
    ]
    folding: Folding | None = None
    """None: weights are folded by the definition, and autograd goes back through it."""


COMPILED = Passes(
    flatten_normed=flatten_normed,
    convs_on_cells=convs_on_cells,
    channel_mix=channel_mix,
    channel_backward=channel_backward,
    convs_backward=convs_backward,
)
"""On the CPU."""


class _FusedLayer(torch.autograd.Function):
    """Keeps the points, the hidden layer and the few cells; computes again what is cheap."""

    @staticmethod
    def forward(
        ctx: FunctionCtx,
        tokens: Tensor,
        plane: Plane,
        form: LayerForm,
        keep: Keep,
        passes: Passes,
        *tensors: Tensor,
    ) -> Tensor:
        weights, folded = _folded(passes, form, tensors)
        tokens = tokens.detach().contiguous()
        flat = passes.flatten_normed(tokens, plane, form)
        before, cells = passes.convs_on_cells(flat, weights, plane, form)
        if keep is not None:
            cells.mul_(keep[0][:, None])
        hidden = torch.empty_like(tokens, dtype=form.dtype)
        out, _ = passes.channel_mix(tokens, cells, weights, plane, form, keep=keep, hidden=hidden)
        ctx.save_for_backward(tokens, flat, before, cells, hidden, *tensors, *folded)
        ctx.rest = (plane, form, keep)  # type: ignore[attr-defined]
        ctx.passes = passes  # type: ignore[attr-defined]
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: FunctionCtx, grad: Tensor) -> tuple[Tensor | None, ...]:
        tensors: tuple[Tensor, ...] = ctx.saved_tensors  # type: ignore[attr-defined]
        plane, form, keep = ctx.rest  # type: ignore[attr-defined]
        passes: Passes = ctx.passes  # type: ignore[attr-defined]
        saved = Saved(*(tensor.detach() for tensor in tensors[:5]))
        given = [tensor.detach() for tensor in tensors[5:]]
        weights = LayerWeights(*given[-len(LayerWeights._fields) :])
        rest = (saved, weights, plane, form)
        with torch.autocast(grad.device.type, enabled=False):
            grad_tokens, grad_cells, perceptron = passes.channel_backward(
                grad.contiguous(), *rest, keep
            )
            convs = passes.convs_backward(grad_tokens, grad_cells, *rest)
            grads: tuple[Tensor, ...] = (*convs, *perceptron)
            if passes.folding is not None:
                trained = LayerParameters(*given[: len(LayerParameters._fields)])
                grads = passes.folding.backward(trained, LayerWeights(*grads))
        return grad_tokens, None, None, None, None, *grads


def _folded(
    passes: Passes, form: LayerForm, tensors: tuple[Tensor, ...]
) -> tuple[LayerWeights, tuple[Tensor, ...]]:
    """Folded weights, and what of them is to be kept beside the given tensors."""
    given = [tensor.detach() for tensor in tensors]
    if passes.folding is None:
        return LayerWeights(*given), ()
    weights = passes.folding.forward(LayerParameters(*given), form)
    return weights, weights


def fused_layer(
    tokens: Tensor,
    weights: LayerParameters,
    plane: Plane,
    form: LayerForm,
    keep: Keep = None,
    *,
    passes: Passes = COMPILED,
) -> Tensor:
    """(M, C) points after a layer; see ``plain_layer``.

    Args:
        tokens: (M, C) float32 points.
        weights: As they are trained, float32.
        plane: Where the points lie.
        form: Activation, norms, and the number format of the matrix products.
        keep: Factors under stochastic depth.
        passes: Of the device that the points are on; see ``fast_paths``.
    """
    with torch.autocast(tokens.device.type, enabled=False):
        tensors = weights.folded() if passes.folding is None else weights
        return _FusedLayer.apply(tokens, plane, form, keep, passes, *tensors)


@torch.no_grad()
def layer_in_place(
    tokens: Tensor,
    weights: LayerWeights,
    plane: Plane,
    form: LayerForm,
    *,
    flat: Tensor | None = None,
    following: Plane | None = None,
    passes: Passes = COMPILED,
) -> Tensor | None:
    """Overwrite the points (M, C) with those after a layer; nothing is kept for gradients.

    Args:
        tokens: (M, C) float32 points.
        weights: Folded weights; the two matrices may be stored in ``form.dtype``.
        plane: Where the points lie.
        form: Activation, norms, and the number format of the matrix products.
        flat: (O, C) normalised points in their cells, if the layer before has made them.
        following: Where the points lie in the next layer.
        passes: Of the device that the points are on; see ``fast_paths``.

    Returns:
        ``flat`` of the next layer; None without ``following``.
    """
    with torch.autocast(tokens.device.type, enabled=False):
        if flat is None:
            flat = passes.flatten_normed(tokens, plane, form)
        _, cells = passes.convs_on_cells(flat, weights, plane, form)
        return passes.channel_mix(tokens, cells, weights, plane, form, following=following)[1]
