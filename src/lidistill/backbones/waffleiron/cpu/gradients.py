"""Backward passes of ``loops``; the same conventions.

Shape letters: M points, K neighbours, O cells in use, V rows of the cells read, C channels,
F input channels.
"""

import numpy as np
from numpy.typing import NDArray

from lidistill.backbones.waffleiron.cpu.loops import (
    Floats,
    Index,
    Rows,
    row_moments,
    widen,
)
from lidistill.compiled import compiled


@compiled
def add_norm_gradient(
    row: Floats,
    grad: Floats,
    moments: tuple[np.float32, np.float32],
    factor: np.float32,
    out: Floats,
) -> None:
    """Add to ``out`` the gradient of one row's LayerNorm (without its affine part).

    Args:
        row: (C,) before the LayerNorm.
        grad: (C,) gradient of the normalised row, once multiplied by ``factor``.
        moments: Mean and inverse standard deviation of the row.
        factor: Of ``grad``.
        out: (C,) added to.
    """
    mean, rstd = moments
    total, along = np.float32(0), np.float32(0)
    for c in range(len(row)):
        total += grad[c]
        along += grad[c] * (row[c] - mean)
    count = np.float32(len(row))
    scale = rstd * np.float32(factor)
    offset, slope = total / count, along / count * rstd * rstd
    for c in range(len(row)):
        out[c] += scale * (grad[c] - offset - (row[c] - mean) * slope)


@compiled
def inflate_normed_backward(
    tokens: Floats,
    cells: Floats,
    reads: Index,
    grad_norm: Rows,
    grad_out: Floats,
    eps: float,
    start: int,
    out: Floats,
) -> None:
    """Gradient of the points with their cells' part added, from both uses they have.

    Args:
        tokens: (M, C) points.
        cells: (O, C) what their cells add.
        reads: (M,) cell of each point.
        grad_norm: (span, C) gradient of the normalised points.
        grad_out: (M, C) gradient that passes by on the residual stream.
        eps: Of the LayerNorm; negative for none.
        start: Point of the first row of ``grad_norm``.
        out: (M, C) written.
    """
    channels = tokens.shape[1]
    buffer, wide = np.empty(channels, np.float32), np.empty(channels, np.float32)
    for i in range(len(grad_norm)):
        m = start + i
        row, cell, grad, target, passing = (
            tokens[m],
            cells[reads[m]],
            grad_norm[i],
            out[m],
            grad_out[m],
        )
        for c in range(channels):
            buffer[c] = row[c] + cell[c]
            wide[c] = widen(grad[c])
            target[c] = passing[c]
        if eps >= 0:
            add_norm_gradient(buffer, wide, row_moments(buffer, eps), np.float32(1), target)
        else:
            for c in range(channels):
                target[c] += wide[c]


@compiled
def flatten_normed_backward(
    tokens: Floats,
    grad_cells: Floats,
    reads: Index,
    share: Floats,
    eps: float,
    span: tuple[int, int],
    out: Floats,
) -> None:
    """Add the gradient of ``flatten_normed`` to that of the points.

    Args:
        tokens: (M, C) points.
        grad_cells: (O, C) gradient of the cells.
        reads: (M,) cell of each point.
        share: (M,) weight of each point in its cell; 0 where it fills none.
        eps: Of the LayerNorm.
        span: First point and the one after the last.
        out: (M, C) added to.
    """
    for m in range(span[0], span[1]):
        if share[m] != 0:
            moments = row_moments(tokens[m], eps)
            add_norm_gradient(tokens[m], grad_cells[reads[m]], moments, share[m], out[m])


@compiled
def correlate_taps(
    values: Floats, read: Floats, taps: Index, span: tuple[int, int], out: Floats
) -> None:
    """Gradient of a kernel: ``_correlate`` of ``depthwise``.

    Args:
        values: (O, C) one factor.
        read: (V, C) the other, read at the taps.
        taps: (9, O) positions in ``read``; V and more is zero.
        span: First cell and the one after the last.
        out: (9, C) added to.
    """
    for o in range(span[0], span[1]):
        row = values[o]
        for t in range(9):
            v = taps[t, o]
            if v < len(read):
                other, total = read[v], out[t]
                for c in range(len(row)):
                    total[c] += row[c] * other[c]


@compiled
def edge_max_backward(
    edges: Floats,
    affine: Floats,
    weight: Floats,
    winner: NDArray[np.uint8],
    grad: Floats,
    span: tuple[int, int],
    totals: tuple[Floats, Floats, Floats],
) -> None:
    """Backward of ``max_k relu(edges_k @ affine) @ weight.T``.

    Each point and channel passes its gradient to one neighbour only: a sixteenth of the
    multiplications of two dense products.

    Args:
        edges: (K, M, F) differences to the neighbours.
        affine: (F, C) first layer.
        weight: (C, C) second layer.
        winner: (M, C) neighbour that each maximum came from.
        grad: (M, C) of the maximum.
        span: First point and the one after the last.
        totals: (K, M, F) written, or of no size where not wanted; (F, C) and (C, C) added to.
    """
    num_neighbors, _, inputs = edges.shape
    channels = len(weight)
    hidden = np.empty((num_neighbors, channels), np.float32)
    grad_hidden = np.empty((num_neighbors, channels), np.float32)
    grad_edges, grad_affine, grad_weight = totals
    for m in range(span[0], span[1]):
        hidden[:] = 0
        grad_hidden[:] = 0
        for k in range(num_neighbors):
            row = hidden[k]
            for f in range(inputs):
                factor, source = edges[k, m, f], affine[f]
                for j in range(channels):
                    row[j] += factor * source[j]
            for j in range(channels):
                row[j] = max(row[j], np.float32(0))
        for c in range(channels):
            factor, k = grad[m, c], winner[m, c]
            row, target, source, total = hidden[k], grad_hidden[k], weight[c], grad_weight[c]
            for j in range(channels):
                target[j] += factor * source[j]
                total[j] += factor * row[j]
        for k in range(num_neighbors):
            row, target = hidden[k], grad_hidden[k]
            for j in range(channels):
                target[j] = target[j] if row[j] > 0 else np.float32(0)
            for f in range(inputs):
                factor, total, source = edges[k, m, f], grad_affine[f], affine[f]
                along = np.float32(0)
                for j in range(channels):
                    total[j] += factor * target[j]
                    along += target[j] * source[j]
                if grad_edges.size:
                    grad_edges[k, m, f] = along
