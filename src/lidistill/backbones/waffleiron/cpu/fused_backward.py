"""Backward pass of a layer on the CPU; see ``fused_forward``.

What is cheap is computed again: the points with their cells' part, and both LayerNorms. Every
thread sums gradients of weights for its own points, and the sums are added in a fixed order.

Shape letters: M points, O cells in use, R cells of these and of their ring, C channels.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from lidistill.backbones.waffleiron.cpu import gradients as backward
from lidistill.backbones.waffleiron.cpu import loops
from lidistill.backbones.waffleiron.cpu.fused_forward import (
    CellSums,
    cells_with_affine,
    chunk_size,
    gather_taps,
)
from lidistill.backbones.waffleiron.cpu.loops import rows
from lidistill.backbones.waffleiron.cpu.products import Product
from lidistill.backbones.waffleiron.cpu.threads import chunks, run_split, split_rows
from lidistill.backbones.waffleiron.depthwise import Activation, activate, activate_backward
from lidistill.backbones.waffleiron.layer import Keep, LayerForm, LayerWeights
from lidistill.backbones.waffleiron.plane import Plane
from lidistill.row_padding import padded_row_count


class Saved(NamedTuple):
    """What the forward pass leaves behind."""

    tokens: Tensor
    """(M, C) points before the layer."""
    flat: Tensor
    """(O, C) sums of normalised points, before the affine part of their norm."""
    before: Tensor
    """(R, C) first convolution before its activation."""
    cells: Tensor
    """(O, C) what the cells add to their points."""
    hidden: Tensor
    """(M, C) hidden layer of the perceptron: after a ReLU, before a GELU."""


def channel_backward(
    grad: Tensor,
    saved: Saved,
    weights: LayerWeights,
    plane: Plane,
    form: LayerForm,
    keep: Keep,
) -> tuple[Tensor, Tensor, tuple[Tensor, Tensor, Tensor, Tensor]]:
    """Gradients of points (M, C) with their cells' part, of cells (O, C), and of the weights."""
    num_points, channels = grad.shape
    workers = len(split_rows(num_points))
    out = torch.empty_like(grad)
    matrices = grad.new_zeros(workers, 2, channels, channels)
    vectors = grad.new_zeros(workers, 2, channels)
    first, second = (Product(w.to(form.dtype).t()) for w in (weights.first, weights.second))
    tables, target = (rows(saved.tokens), rows(saved.cells), rows(plane.reads)), rows(out)
    passing, unwanted = rows(grad), rows(grad.new_empty(0, 0))
    ones = grad.new_ones(num_points)
    sums = CellSums(grad, plane.reads, ones, num_cells=plane.num_cells, eps=-1.0)

    def work(worker: int, start: int, stop: int) -> None:
        most = chunk_size(channels)
        size = min(most, stop - start)
        multiplied = padded_row_count(size, most, form.dtype)
        buffers = grad.new_zeros(3, multiplied, channels, dtype=form.dtype)
        arrays = rows(buffers)
        for part in chunks(start, stop, size):
            count = part.stop - part.start
            taken = padded_row_count(count, most, form.dtype)
            norm, grad_hidden, grad_norm = buffers[:, :taken].unbind(0)
            loops.inflate_normed(*tables, form.eps, part.start, unwanted, arrays[0, :count])
            above = grad[part] if keep is None else grad[part] * keep[1][part, None]
            above_low = _with_zeros(above.to(form.dtype), taken)  # so that more rows add nothing
            hidden = _with_zeros(saved.hidden[part], taken)
            second(above_low, grad_hidden)
            active = hidden if form.activation == "relu" else F.gelu(hidden)
            grad_hidden = activate_backward(grad_hidden, hidden, form.activation)
            first(grad_hidden, grad_norm)
            _add_product(matrices[worker, 0], grad_hidden, norm)
            _add_product(matrices[worker, 1], above_low, active)
            vectors[worker, 0] += grad_hidden.sum(0, dtype=torch.float32)
            vectors[worker, 1] += above.sum(0)
            backward.inflate_normed_backward(
                *tables, arrays[2, :count], passing, form.eps, part.start, target
            )
            sums.add(worker, target, (part.start, part.stop))

    run_split(num_points, work)
    grad_first, grad_second = matrices.sum(0).unbind(0)
    grad_first_bias, grad_second_bias = vectors.sum(0).unbind(0)
    grad_cells = sums.total()
    if keep is not None:
        grad_cells.mul_(keep[0][:, None])
    return out, grad_cells, (grad_first, grad_first_bias, grad_second, grad_second_bias)


def _with_zeros(points: Tensor, num_rows: int) -> Tensor:
    """Points (P, C) with rows of zeros behind them, if there are to be more rows."""
    spare = num_rows - len(points)
    return F.pad(points, (0, 0, 0, spare)) if spare else points


def _add_product(total: Tensor, left: Tensor, right: Tensor) -> None:
    """Add ``left.T @ right`` to a float32 total."""
    if left.dtype == total.dtype:
        total.addmm_(left.t(), right)
    else:
        total.add_(left.t() @ right)


def convs_backward(
    grad: Tensor,
    grad_cells: Tensor,
    saved: Saved,
    weights: LayerWeights,
    plane: Plane,
    form: LayerForm,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Gradients of kernels, biases, gain, shift; that of the points is added to ``grad``."""
    grad_flat, grad_kernels, grad_biases = _cells_backward(
        grad_cells, saved, weights, plane, form.activation
    )
    grad_gain, grad_shift = (grad_flat * saved.flat).sum(0), plane.filled @ grad_flat
    grad_flat.mul_(weights.gain)
    points = rows(saved.tokens), rows(grad_flat), rows(plane.reads), rows(plane.share)
    target = rows(grad)

    def spread(_: int, start: int, stop: int) -> None:
        if form.eps >= 0:
            span = (start, stop)
            backward.flatten_normed_backward(*points, form.eps, span, target)
        else:
            reads, share = plane.reads[start:stop], plane.share[start:stop, None]
            grad[start:stop].addcmul_(grad_flat.index_select(0, reads), share)

    run_split(len(grad), spread)
    return grad_kernels, grad_biases, grad_gain, grad_shift


def _cells_backward(
    grad: Tensor, saved: Saved, weights: LayerWeights, plane: Plane, activation: Activation
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of the cells before both convolutions, of both kernels and of both biases."""
    kernels, nothing = weights.kernels.contiguous(), grad.new_zeros(grad.shape[1])
    between = activate(saved.before, activation)
    around = torch.empty_like(between)
    gather_taps(grad, plane.sources, kernels[1], nothing, around)
    around = activate_backward(around, saved.before, activation)
    grad_flat = torch.empty_like(grad)
    gather_taps(around, plane.taps, kernels[0].flip(0), nothing, grad_flat)
    flat = cells_with_affine(saved.flat, weights, plane)
    workers = len(split_rows(plane.num_cells))
    grad_kernels = grad.new_zeros(workers, 2, *kernels.shape[1:])

    def correlate(worker: int, start: int, stop: int) -> None:
        span, taps = (start, stop), rows(plane.taps)
        for values, read, out in (
            (flat, around, grad_kernels[worker, 0]),
            (grad, between, grad_kernels[worker, 1]),
        ):
            backward.correlate_taps(rows(values), rows(read), taps, span, rows(out))

    run_split(plane.num_cells, correlate)
    total = grad_kernels.sum(0)
    grad_biases = torch.stack([around.sum(0), grad.sum(0)])
    return grad_flat, torch.stack([total[0].flip(0), total[1]]), grad_biases
