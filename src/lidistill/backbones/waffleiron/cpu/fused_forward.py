"""Forward pass of a layer on the CPU, in portions of points that stay in the cache.

Memory sees each point once per layer where no gradients are kept, and twice otherwise. What is
done with the cells is dealt out, too: PyTorch's own team of threads, which waits for its next turn
by keeping the cores busy, stays out of it.

Shape letters: M points, O cells in use, R cells of these and of their ring, C channels.
"""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from lidistill.backbones.waffleiron.cpu import loops
from lidistill.backbones.waffleiron.cpu.loops import rows
from lidistill.backbones.waffleiron.cpu.products import Product
from lidistill.backbones.waffleiron.cpu.threads import chunks, run_split, split_rows
from lidistill.backbones.waffleiron.depthwise import activate
from lidistill.backbones.waffleiron.layer import Keep, LayerForm, LayerWeights
from lidistill.backbones.waffleiron.plane import Plane
from lidistill.row_padding import padded_row_count

_CHUNK_VALUES = 1 << 18
"""Of points at a time: few enough for them and three buffers to stay near a core, and so many that
the calls of a chunk are soon paid for."""


def chunk_size(channels: int) -> int:
    """Points that a thread takes at a time."""
    return max(256, _CHUNK_VALUES // channels)


class CellSums:
    """Sums of the points in each cell, one table for every thread.

    Args:
        like: (M, C) what the points look like.
        reads: (M,) cell of each.
        share: (M,) weight of each.
        num_cells: O.
        eps: Of the LayerNorm before; negative for none.
    """

    def __init__(
        self, like: Tensor, reads: Tensor, share: Tensor, *, num_cells: int, eps: float
    ) -> None:
        self._sums = like.new_empty(len(split_rows(len(like))), num_cells, like.shape[1])
        self._arrays = rows(reads), rows(share)
        self._tables = rows(self._sums)
        self._empty = [True] * len(self._sums)
        self._eps = eps

    def add(self, worker: int, points: Any, span: tuple[int, int]) -> None:
        """Add a range of the points, given as an array (M, C), to the table of a thread."""
        if self._empty[worker]:
            self._tables[worker].fill(0)
            self._empty[worker] = False
        loops.flatten_normed(points, *self._arrays, self._eps, span, self._tables[worker])

    def total(self) -> Tensor:
        """(O, C) sums over all threads."""
        total = self._sums[0]

        def work(_: int, start: int, stop: int) -> None:
            for more in self._sums[1:]:
                total[start:stop] += more[start:stop]

        run_split(len(total), work)
        return total


def cell_sums(like: Tensor, plane: Plane, form: LayerForm) -> CellSums:
    """What ``flatten_points`` of normalised points (M, C) gives, still to be added up."""
    size = plane.num_cells
    return CellSums(like, plane.reads, plane.share, num_cells=size, eps=form.eps)


def flatten_normed(tokens: Tensor, plane: Plane, form: LayerForm) -> Tensor:
    """(O, C) average of each cell's normalised points."""
    sums, points = cell_sums(tokens, plane, form), rows(tokens)
    run_split(len(tokens), lambda worker, *span: sums.add(worker, points, span))
    return sums.total()


def gather_taps(
    values: Tensor,
    taps: Tensor,
    kernel: Tensor,
    bias: Tensor,
    out: Tensor,
    *,
    then: Callable[[slice], None] | None = None,
) -> None:
    """One depthwise 3x3 convolution; see ``loops.gather_taps``.

    Args:
        values: (V, C) cells that are read.
        taps: (9, N) which of them each cell reads.
        kernel: (9, C) weights.
        bias: (C,).
        out: (N, C) written.
        then: Called with every range of finished rows, in the thread that has made them.
    """
    arrays, target = (rows(values), rows(taps), rows(kernel), rows(bias)), rows(out)

    def work(_: int, start: int, stop: int) -> None:
        loops.gather_taps(*arrays, (start, stop), target)
        if then is not None:
            then(slice(start, stop))

    run_split(len(out), work)


def cells_with_affine(flat: Tensor, weights: LayerWeights, plane: Plane) -> Tensor:
    """(O, C) flattened points, the affine part of their norm included."""
    out, filled = torch.empty_like(flat), plane.filled[:, None]

    def work(_: int, start: int, stop: int) -> None:
        part = slice(start, stop)
        torch.mul(flat[part], weights.gain, out=out[part])
        out[part].addcmul_(filled[part], weights.shift)

    run_split(len(flat), work)
    return out


def convs_on_cells(
    flat: Tensor, weights: LayerWeights, plane: Plane, form: LayerForm
) -> tuple[Tensor, Tensor]:
    """First convolution before its activation (R, C), and second one (O, C), of the cells."""
    before, between = flat.new_empty(2, plane.sources.shape[1], flat.shape[1]).unbind(0)
    out = torch.empty_like(flat)
    kernels = weights.kernels.contiguous()

    def act(part: slice) -> None:
        between[part] = activate(before[part], form.activation)

    affine = cells_with_affine(flat, weights, plane)
    kernel = kernels[0].flip(0)
    gather_taps(affine, plane.sources, kernel, weights.biases[0], before, then=act)
    gather_taps(between, plane.taps, kernels[1], weights.biases[1], out)
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
    """Add the cells' part and the perceptron's part to the points.

    Args:
        tokens: (M, C) points before the layer; overwritten if ``hidden`` is not wanted.
        cells: (O, C) what the convolutions add.
        weights: Folded weights.
        plane: Where the points lie.
        form: Of the layer.
        keep: Factors under stochastic depth; ``cells`` has its own already.
        hidden: (M, C) in ``form.dtype``, written: the perceptron's hidden layer before the
            activation (GELU) or after it (ReLU), for the backward pass.
        following: Where the points lie in the next layer.

    Returns:
        The points (M, C), and ``flatten_normed`` of them on ``following``, if that is given.
    """
    out = tokens if hidden is None else torch.empty_like(tokens)
    first, second = (Product(w.to(form.dtype)) for w in (weights.first, weights.second))
    first_bias = rows(weights.first_bias)
    tables, target = (rows(tokens), rows(cells), rows(plane.reads), form.eps), rows(out)
    factor = rows(tokens.new_empty(0) if keep is None else keep[1])
    bias = rows(weights.second_bias)
    sums = None if following is None else cell_sums(tokens, following, form)

    def work(worker: int, start: int, stop: int) -> None:
        most = chunk_size(tokens.shape[1])
        size = min(most, stop - start)
        multiplied = padded_row_count(size, most, form.dtype)
        buffers = torch.zeros(3, multiplied, tokens.shape[1], dtype=form.dtype)
        arrays = rows(buffers)
        for part in chunks(start, stop, size):
            count = part.stop - part.start
            taken = padded_row_count(count, most, form.dtype)
            norm, middle, residual = buffers[:, :taken].unbind(0)
            middle_rows = arrays[1, :count]
            if hidden is not None and taken == count:
                middle = hidden[part]
                middle_rows = rows(middle)
            loops.inflate_normed(*tables, part.start, target, arrays[0, :count])
            first(norm, middle)
            active = middle
            if form.activation == "relu":
                loops.bias_relu(middle_rows, first_bias)
            else:
                active = F.gelu(middle.add_(weights.first_bias))
            if hidden is not None and taken > count:
                hidden[part] = middle[:count]
            second(active, residual)
            loops.add_residuals(target, arrays[2, :count], bias, factor, part.start)
            if sums is not None:
                sums.add(worker, target, (part.start, part.stop))

    run_split(len(tokens), work)
    return out, None if sums is None else sums.total()
