"""Loops over rows, compiled by numba on first use and kept on disk.

They read and write float32, or bfloat16 as its 16 bits in a ``uint16`` array, and compute in
float32. Ranges of rows come in as ``start`` and ``stop``, and all release the lock of Python, so
that threads can share the work. The plain PyTorch version of each is named beside it.

Shape letters: M points, O cells in use, N rows of one set of cells, V of another, C channels.
"""

from collections.abc import Callable
from typing import Any, ParamSpec, TypeAlias, TypeVar, cast

import numba
import numpy as np
import torch
from numba.extending import overload
from numpy.typing import NDArray
from torch import Tensor

P = ParamSpec("P")
R = TypeVar("R")
Rows: TypeAlias = NDArray[np.float32] | NDArray[np.uint16]
Floats: TypeAlias = NDArray[np.float32]
Index: TypeAlias = NDArray[np.int64]


def compiled(function: Callable[P, R]) -> Callable[P, R]:
    """Compile a loop; sums may be reordered, NaN and infinity keep their meaning."""
    relaxed = {"nsz", "arcp", "contract", "reassoc"}
    jit = numba.njit(nogil=True, cache=True, fastmath=relaxed, error_model="numpy")
    return cast("Callable[P, R]", jit(function))


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
    order: Index,
    offsets: Index,
    share: Floats,
    eps: float,
    span: tuple[int, int],
    out: Floats,
) -> None:
    """Weighted sum of each cell's normalised points: LayerNorm, then ``flatten_points``.

    Args:
        tokens: (M, C) points.
        order: (E,) points sorted by cell.
        offsets: (O + 1,) where each cell's begin.
        share: (E,) weight of each.
        eps: Of the LayerNorm; negative for sums of the points as they are.
        span: First cell and the one after the last.
        out: (O, C) written from ``span[0]`` to ``span[1]``.
    """
    for o in range(span[0], span[1]):
        cell = out[o]
        cell[:] = 0
        for e in range(offsets[o], offsets[o + 1]):
            row = tokens[order[e]]
            mean, scale = np.float32(0), np.float32(1)
            if eps >= 0:
                mean, scale = row_moments(row, eps)
            scale *= share[e]
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
    """One depthwise 3x3 convolution, cell by cell: ``_spread`` and ``_collect`` of ``occupied``.

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
        cell[:] = bias
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
    span: tuple[int, int],
    out: Rows,
) -> None:
    """Add to each point the cell it reads, and normalise: ``inflate_cells``, then LayerNorm.

    Args:
        tokens: (M, C) points, left alone.
        cells: (O, C) what is added.
        reads: (M,) cell of each point.
        eps: Of the LayerNorm; negative for none.
        span: First point and the one after the last.
        out: (span, C) normalised points, from row 0.
    """
    buffer = np.empty(tokens.shape[1], np.float32)
    for m in range(span[0], span[1]):
        row, cell, target = tokens[m], cells[reads[m]], out[m - span[0]]
        for c in range(len(row)):
            buffer[c] = row[c] + cell[c]
        mean, scale = np.float32(0), np.float32(1)
        if eps >= 0:
            mean, scale = row_moments(buffer, eps)
        for c in range(len(row)):
            target[c] = narrow((buffer[c] - mean) * scale, target)


@compiled
def add_residuals(
    tokens: Floats,
    cells: Floats,
    reads: Index,
    residual: Rows,
    bias: Floats,
    keep: Floats,
    start: int,
    out: Floats,
) -> None:
    """``tokens + cells[reads] + keep * (residual + bias)``.

    Args:
        tokens: (M, C) points.
        cells: (O, C) what their cells add.
        reads: (M,) cell of each point.
        residual: (span, C) what the perceptron adds, without its last bias.
        bias: (C,).
        keep: (M,) factor of the perceptron's part; empty for 1.
        start: Point of the residual's first row.
        out: (M, C) may be ``tokens``.
    """
    for i in range(len(residual)):
        m = start + i
        factor = keep[m] if len(keep) else np.float32(1)
        row, cell, more, target = tokens[m], cells[reads[m]], residual[i], out[m]
        for c in range(len(row)):
            target[c] = row[c] + cell[c] + factor * (widen(more[c]) + bias[c])


@compiled
def affine_relu(edges: Floats, affine: Floats, out: Rows) -> None:
    """``relu(edges @ affine)`` for a few input channels.

    Args:
        edges: (span, F).
        affine: (F, C).
        out: (span, C) written.
    """
    buffer = np.empty(affine.shape[1], np.float32)
    for m in range(len(edges)):
        buffer[:] = 0
        for f in range(len(affine)):
            factor, row = edges[m, f], affine[f]
            for c in range(len(buffer)):
                buffer[c] += factor * row[c]
        target = out[m]
        for c in range(len(buffer)):
            target[c] = narrow(max(buffer[c], np.float32(0)), target)


@compiled
def keep_best(score: Rows, k: int, best: Floats, winner: NDArray[np.uint8]) -> None:
    """Running maximum and the neighbour it came from, the first one of equals.

    Args:
        score: (span, C) of neighbour k.
        k: 0 starts anew.
        best: (span, C) maximum so far.
        winner: (span, C) its neighbour.
    """
    for m in range(len(score)):
        for c in range(score.shape[1]):
            value = widen(score[m, c])
            better = k == 0 or value > best[m, c]
            best[m, c] = value if better else best[m, c]
            winner[m, c] = k if better else winner[m, c]
