"""Loops over rows, compiled by numba on first use and kept on disk.

They read and write float32, or bfloat16 as its 16 bits in a ``uint16`` array, and compute in
float32. Ranges of rows come in as ``start`` and ``stop``, and all release the lock of Python, so
that threads can share the work. The plain PyTorch version of each is named beside it.

Shape letters: M points, O cells in use, N rows of one set of cells, V of another, C channels.
"""

from typing import Any, TypeAlias

import numba
import numpy as np
import torch
from numba.extending import overload
from numpy.typing import NDArray
from torch import Tensor

from lidistill.compiled import compiled

Rows: TypeAlias = NDArray[np.float32] | NDArray[np.uint16]
Floats: TypeAlias = NDArray[np.float32]
Index: TypeAlias = NDArray[np.int64]


def rows(tensor: Tensor) -> Any:
    """Array on a tensor's memory; bfloat16 as its bits."""
    tensor = tensor.detach()
    # Tensor.numpy() would fix the size of the memory for good, which sharded weights cannot have.
    if tensor.dtype == torch.bfloat16:
        return np.from_dlpack(tensor.view(torch.int16)).view(np.uint16)
    return np.from_dlpack(tensor)


def widen(value: Any) -> Any:
    """A stored number as float32; see ``rows``."""
    raise NotImplementedError


def narrow(value: Any, like: Any) -> Any:
    """A float32 as it is stored in an array such as ``like``, rounded to nearest, ties to even."""
    raise NotImplementedError


@compiled
def _rounded(value: float) -> Any:
    bits = np.float32(value).view(np.uint32)
    odd = (bits >> np.uint32(16)) & np.uint32(1)
    return np.uint16((bits + np.uint32(0x7FFF) + odd) >> np.uint32(16))


def _widen(value: Any) -> Any:
    if value == numba.types.uint16:
        return lambda value: np.uint32(np.uint32(value) << np.uint32(16)).view(np.float32)
    return lambda value: value


def _narrow(value: Any, like: Any) -> Any:
    del value
    if like.dtype == numba.types.uint16:
        return lambda value, like: _rounded(value)  # noqa: ARG005
    return lambda value, like: value  # noqa: ARG005


overload(widen, strict=False)(_widen)
overload(narrow, strict=False)(_narrow)


@compiled
def copy_row(source: NDArray[Any], target: NDArray[Any]) -> None:
    """Copy a row; ``target[:] = source`` takes several times as long."""
    for c in range(len(source)):
        target[c] = source[c]


@compiled
def row_moments(row: Floats, eps: float) -> tuple[np.float32, np.float32]:
    """Mean of a row, and one over its standard deviation."""
    total = np.float32(0)
    for c in range(len(row)):
        total += row[c]
    mean = total / np.float32(len(row))
    squares = np.float32(0)
    for c in range(len(row)):
        squares += (row[c] - mean) ** 2
    variance = squares / np.float32(len(row))
    return mean, np.float32(1 / np.sqrt(variance + np.float32(eps)))


@compiled
def flatten_normed(
    tokens: Floats,
    reads: Index,
    share: Floats,
    eps: float,
    span: tuple[int, int],
    out: Floats,
) -> None:
    """Add normalised points to their cells: LayerNorm, then ``flatten_points``.

    The points come in their own order, so that memory is read from front to back; their cells
    stay in the cache.

    Args:
        tokens: (M, C) points.
        reads: (M,) cell of each point.
        share: (M,) weight of each point in its cell; 0 where it fills none.
        eps: Of the LayerNorm; negative for sums of the points as they are.
        span: First point and the one after the last.
        out: (O, C) added to.
    """
    for m in range(span[0], span[1]):
        if share[m] == 0:
            continue
        row, cell = tokens[m], out[reads[m]]
        mean, scale = np.float32(0), np.float32(1)
        if eps >= 0:
            mean, scale = row_moments(row, eps)
        scale *= share[m]
        for c in range(len(cell)):
            cell[c] += (row[c] - mean) * scale


@compiled
def gather_taps(
    values: Floats,
    taps: Index,
    kernel: Floats,
    bias: Floats,
    span: tuple[int, int],
    out: Floats,
) -> None:
    """One depthwise 3x3 convolution, cell by cell: ``_spread`` and ``_collect`` of ``depthwise``.

    Args:
        values: (V, C) cells that are read.
        taps: (9, N) which of them each cell reads at each tap; V and more is zero.
        kernel: (9, C) weights.
        bias: (C,).
        span: First cell and the one after the last.
        out: (N, C) written from ``span[0]`` to ``span[1]``.
    """
    for n in range(span[0], span[1]):
        cell = out[n]
        copy_row(bias, cell)
        for t in range(9):
            v = taps[t, n]
            if v < len(values):
                row, weight = values[v], kernel[t]
                for c in range(len(cell)):
                    cell[c] += row[c] * weight[c]


@compiled
def inflate_normed(
    tokens: Floats,
    cells: Floats,
    reads: Index,
    eps: float,
    start: int,
    out: Floats,
    norm: Rows,
) -> None:
    """Add to each point the cell it reads, and normalise: ``inflate_cells``, then LayerNorm.

    Args:
        tokens: (M, C) points.
        cells: (O, C) what is added.
        reads: (M,) cell of each point.
        eps: Of the LayerNorm; negative for none.
        start: Point of the first row of ``norm``.
        out: (M, C) written, the sums; may be ``tokens``, or of no size where not wanted.
        norm: (span, C) written, the sums normalised.
    """
    # What is read may be what is written: a row of its own in between lets the loops be
    # vectorised.
    total = np.empty(tokens.shape[1], np.float32)
    for i in range(len(norm)):
        m = start + i
        row, cell, target = tokens[m], cells[reads[m]], norm[i]
        for c in range(len(total)):
            total[c] = row[c] + cell[c]
        if out.size:
            copy_row(total, out[m])
        mean, scale = np.float32(0), np.float32(1)
        if eps >= 0:
            mean, scale = row_moments(total, eps)
        for c in range(len(total)):
            target[c] = narrow((total[c] - mean) * scale, target)


@compiled
def bias_relu(hidden: Rows, bias: Floats) -> None:
    """``relu(hidden + bias)`` in place.

    Args:
        hidden: (span, C) overwritten.
        bias: (C,).
    """
    for i in range(len(hidden)):
        row = hidden[i]
        for c in range(len(bias)):
            value = widen(row[c]) + bias[c]
            row[c] = narrow(np.float32(0) if value < 0 else value, row)


@compiled
def add_residuals(tokens: Floats, residual: Rows, bias: Floats, keep: Floats, start: int) -> None:
    """``tokens + keep * (residual + bias)`` in place.

    Args:
        tokens: (M, C) points, some of which are overwritten.
        residual: (span, C) what the perceptron adds, without its last bias.
        bias: (C,).
        keep: (M,) factor of the perceptron's part; empty for 1.
        start: Point of the residual's first row.
    """
    for i in range(len(residual)):
        factor = keep[start + i] if len(keep) else np.float32(1)
        row, more = tokens[start + i], residual[i]
        for c in range(len(row)):
            row[c] += factor * (widen(more[c]) + bias[c])


@compiled
def affine_relu(edges: Floats, affine: Floats, out: Rows) -> None:
    """``relu(edges @ affine)`` for a few input channels.

    Args:
        edges: (K, span, F).
        affine: (F, C).
        out: (K, span, C) written.
    """
    sums = np.empty(affine.shape[1], np.float32)
    for k in range(len(edges)):
        for m in range(edges.shape[1]):
            sums[:] = 0
            for f in range(len(affine)):
                factor, row = edges[k, m, f], affine[f]
                for c in range(len(sums)):
                    sums[c] += factor * row[c]
            target = out[k, m]
            for c in range(len(sums)):
                value = sums[c]
                target[c] = narrow(np.float32(0) if value < 0 else value, target)


@compiled
def keep_best(score: Rows, best: Floats, winner: NDArray[np.uint8]) -> None:
    """Maximum and the neighbour it comes from, the first one of equals.

    Args:
        score: (K, span, C) of each neighbour.
        best: (span, C) written, the maximum.
        winner: (span, C) written, its neighbour; of no size where not wanted.
    """
    channels = score.shape[2]
    top, which = np.empty(channels, np.float32), np.empty(channels, np.int32)
    for m in range(score.shape[1]):
        which[:] = 0
        first = score[0, m]
        for c in range(channels):
            top[c] = widen(first[c])
        for k in range(1, len(score)):
            row = score[k, m]
            for c in range(channels):
                value = widen(row[c])
                which[c] = k if value > top[c] else which[c]
                top[c] = value if value > top[c] else top[c]
        copy_row(top, best[m])
        if winner.size:
            copy_row(which, winner[m])
