"""A whole layer of a WaffleIron in one pass over the points, for the CPU; ``layer`` defines it.

Shape letters: M points, O cells in use, R cells of these and of their ring, C channels.
"""

import torch
from torch import Tensor
from torch.autograd.function import FunctionCtx, once_differentiable

from lidistill.ops.flatten_inflate import Plane
from lidistill.ops.fused_backward import Saved, channel_backward, convs_backward
from lidistill.ops.fused_forward import (
    cell_sums,
    channel_mix,
    convs_on_cells,
    flatten_normed,
)
from lidistill.ops.layer import Keep, LayerForm, LayerWeights


class _FusedLayer(torch.autograd.Function):
    """Keeps the points, the hidden layer and the few cells; computes again what is cheap."""

    @staticmethod
    def forward(
        ctx: FunctionCtx,
        tokens: Tensor,
        plane: Plane,
        form: LayerForm,
        keep: Keep,
        *tensors: Tensor,
    ) -> Tensor:
        weights = LayerWeights(*(tensor.detach() for tensor in tensors))
        tokens = tokens.detach().contiguous()
        flat = flatten_normed(tokens, plane, form)
        before, cells = convs_on_cells(flat, weights, plane, form)
        if keep is not None:
            cells.mul_(keep[0][:, None])
        hidden = torch.empty_like(tokens, dtype=form.dtype)
        out = channel_mix(tokens, cells, weights, plane, form, keep=keep, hidden=hidden)
        ctx.save_for_backward(tokens, flat, before, cells, hidden, *tensors)
        ctx.rest = (plane, form, keep)  # type: ignore[attr-defined]
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: FunctionCtx, grad: Tensor) -> tuple[Tensor | None, ...]:
        tensors: tuple[Tensor, ...] = ctx.saved_tensors  # type: ignore[attr-defined]
        plane, form, keep = ctx.rest  # type: ignore[attr-defined]
        saved = Saved(*(tensor.detach() for tensor in tensors[:5]))
        weights = LayerWeights(*(tensor.detach() for tensor in tensors[5:]))
        grad = grad.contiguous()
        grad_tokens, grad_cells, perceptron = channel_backward(
            grad, saved, weights, plane, form, keep
        )
        convs = convs_backward(grad_tokens, grad_cells, saved, weights, plane, form, keep)
        return grad_tokens, None, None, None, *convs, *perceptron


def fused_layer(
    tokens: Tensor, weights: LayerWeights, plane: Plane, form: LayerForm, keep: Keep = None
) -> Tensor:
    """(M, C) points after a layer; see ``plain_layer``.

    Args:
        tokens: (M, C) float32 points, on the CPU.
        weights: Folded weights, float32.
        plane: Where the points lie.
        form: Activation, norms, and the number format of the matrix products.
        keep: Factors under stochastic depth.
    """
    with torch.autocast("cpu", enabled=False):
        return _FusedLayer.apply(tokens, plane, form, keep, *weights)


@torch.no_grad()
def layer_in_place(
    tokens: Tensor,
    weights: LayerWeights,
    plane: Plane,
    form: LayerForm,
    *,
    flat: Tensor | None = None,
    following: Plane | None = None,
) -> Tensor | None:
    """Overwrite the points (M, C) with those after a layer; nothing is kept for gradients.

    Args:
        tokens: (M, C) float32 points, on the CPU.
        weights: Folded weights; the two matrices may be stored in ``form.dtype``.
        plane: Where the points lie.
        form: Activation, norms, and the number format of the matrix products.
        flat: (O, C) normalised points in their cells, if the layer before has made them.
        following: Where the points lie in the next layer.

    Returns:
        ``flat`` of the next layer; None without ``following``.
    """
    with torch.autocast("cpu", enabled=False):
        if flat is None:
            flat = flatten_normed(tokens, plane, form)
        _, cells = convs_on_cells(flat, weights, plane, form)
        sums = None if following is None else cell_sums(tokens, following, form)
        channel_mix(tokens, cells, weights, plane, form, following=sums)
        return None if sums is None else sums.total()
