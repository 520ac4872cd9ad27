"""The passes of a layer on a GPU: kernels around ``torch.mm``; ``waffleiron.layer`` defines them.

Shape letters: M points, O cells in use, R cells of these and of their ring, C channels.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from lidistill.backbones.waffleiron.cpu.fused_backward import Saved
from lidistill.backbones.waffleiron.cpu.fused_layer import Folding, Passes
from lidistill.backbones.waffleiron.gpu.cells import segment_sums
from lidistill.backbones.waffleiron.gpu.columns import (
    narrow,
    sums_over_cells,
    through_activation,
)
from lidistill.backbones.waffleiron.gpu.folding import fold
from lidistill.backbones.waffleiron.gpu.points import (
    add_residuals,
    flatten_normed_backward,
    inflate_normed,
    inflate_normed_backward,
)
from lidistill.backbones.waffleiron.gpu.taps import correlate_taps, gather_taps
from lidistill.backbones.waffleiron.gpu.unfolding import unfold
from lidistill.backbones.waffleiron.layer import Keep, LayerForm, LayerWeights
from lidistill.backbones.waffleiron.plane import Plane


def flatten_normed(tokens: Tensor, plane: Plane, form: LayerForm) -> Tensor:
    """See ``fused_forward.flatten_normed``."""
    fills = plane.fills, plane.fills_offsets, plane.fills_pieces
    return segment_sums(tokens, *fills, eps=form.eps, share=plane.fills_share)


def convs_on_cells(
    flat: Tensor, weights: LayerWeights, plane: Plane, form: LayerForm
) -> tuple[Tensor, Tensor]:
    """See ``fused_forward.convs_on_cells``."""
    affine = weights.gain, weights.shift, plane.filled
    before = gather_taps(
        flat, plane.sources, weights.kernels[0], weights.biases[0], affine=affine, flip=True
    )
    out = gather_taps(
        before, plane.taps, weights.kernels[1], weights.biases[1], read=form.activation
    )
    return before, out


def channel_mix(
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
    """See ``fused_forward.channel_mix``."""
    out = tokens if hidden is None else torch.empty_like(tokens)
    norm = torch.empty_like(tokens, dtype=form.dtype)
    inflate_normed(tokens, cells, plane.reads, form.eps, out=norm)
    middle = torch.empty_like(norm) if hidden is None else hidden
    first, bias = weights.first.to(form.dtype).t(), weights.first_bias.to(form.dtype)
    if form.activation == "relu":  # within the product: its output is written once, and not read
        active = torch._addmm_activation(bias, norm, first, out=middle)
    else:
        active = F.gelu(torch.addmm(bias, norm, first, out=middle))
    residual = torch.mm(active, weights.second.to(form.dtype).t(), out=norm)
    factor = None if keep is None else keep[1]
    add_residuals(tokens, cells, plane.reads, residual, weights.second_bias, factor, out=out)
    return out, None if following is None else flatten_normed(out, following, form)


def channel_backward(
    grad: Tensor,
    saved: Saved,
    weights: LayerWeights,
    plane: Plane,
    form: LayerForm,
    keep: Keep,
) -> tuple[Tensor, Tensor, tuple[Tensor, Tensor, Tensor, Tensor]]:
    """See ``fused_backward.channel_backward``."""
    first, second = weights.first.to(form.dtype), weights.second.to(form.dtype)
    above, grad_second_bias = narrow(grad, None if keep is None else keep[1], form.dtype)
    grad_hidden = torch.mm(above, second)
    grad_first_bias = through_activation(grad_hidden, saved.hidden, form.activation)
    active = saved.hidden if form.activation == "relu" else F.gelu(saved.hidden)
    grad_second = torch.mm(above.t(), active)
    norm = above  # its numbers are no longer needed
    inflate_normed(saved.tokens, saved.cells, plane.reads, form.eps, out=norm)
    grad_first = torch.mm(grad_hidden.t(), norm)
    grad_norm = torch.mm(grad_hidden, first, out=norm)
    out = inflate_normed_backward(saved.tokens, saved.cells, plane.reads, grad_norm, grad, form.eps)
    factor = None if keep is None else keep[0]
    reads = plane.reads_order, plane.reads_offsets, plane.reads_pieces
    grad_cells = segment_sums(out, *reads, factor=factor)
    return out, grad_cells, (grad_first, grad_first_bias, grad_second, grad_second_bias)


def convs_backward(
    grad: Tensor,
    grad_cells: Tensor,
    saved: Saved,
    weights: LayerWeights,
    plane: Plane,
    form: LayerForm,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """See ``fused_backward.convs_backward``."""
    kernels, through = weights.kernels, (saved.before, form.activation)
    around = gather_taps(grad_cells, plane.sources, kernels[1], through=through)
    grad_flat = gather_taps(around, plane.taps, kernels[0], flip=True)
    grad_kernels = kernels.new_empty(kernels.shape)
    affine = weights.gain, weights.shift, plane.filled
    correlate_taps(saved.flat, around, plane.taps, affine=affine, flip=True, out=grad_kernels[0])
    correlate_taps(
        grad_cells, saved.before, plane.taps, activation=form.activation, out=grad_kernels[1]
    )
    shared = sums_over_cells(around, grad_cells, grad_flat, saved.flat, plane.filled)
    spread = plane.reads, plane.share, weights.gain
    flatten_normed_backward(saved.tokens, grad_flat, *spread, form.eps, out=grad)
    return grad_kernels, shared[:2], shared[2], shared[3]


TRITON = Passes(
    flatten_normed=flatten_normed,
    convs_on_cells=convs_on_cells,
    channel_mix=channel_mix,
    channel_backward=channel_backward,
    convs_backward=convs_backward,
    folding=Folding(forward=fold, backward=unfold),
)
"""On GPUs."""
