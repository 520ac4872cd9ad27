"""Kernel that sums the points of every cell of a grid.

One program owns what it writes, and adds in a fixed order; nothing is added atomically.

Shape letters: M points, E points sorted by cell, O cells in use, C channels.
"""

import triton.language as tl
from torch import Tensor

from lidistill.backbones.waffleiron.gpu.language import kernel, launch, normed, row_sizes


@kernel
def segments_kernel(
    values: tl.tensor,
    order: tl.tensor,
    offsets: tl.tensor,
    share: tl.tensor,
    factor: tl.tensor,
    out: tl.tensor,
    eps: float,
    CHANNELS: tl.constexpr,
    BLOCK: tl.constexpr,
    ROWS: tl.constexpr,
    NORM: tl.constexpr,
    SHARE: tl.constexpr,
    FACTOR: tl.constexpr,
) -> None:
    """A cell of ``segment_sums``: some of its points at a time, in their order."""
    cell = tl.program_id(0).to(tl.int64)
    column = tl.arange(0, BLOCK)
    valid = column < CHANNELS
    stop = tl.load(offsets + cell + 1)
    total = tl.zeros((BLOCK,), tl.float32)
    for first in range(tl.load(offsets + cell), stop, ROWS):
        entry = first + tl.arange(0, ROWS)
        present = entry < stop
        row = tl.load(order + entry, mask=present, other=0)
        mask = present[:, None] & valid[None, :]
        x = tl.load(values + row[:, None] * CHANNELS + column[None, :], mask=mask, other=0.0)
        if NORM:
            x = normed(x, mask, eps, CHANNELS)
        if SHARE:
            x *= tl.load(share + entry, mask=present, other=0.0)[:, None]
        total += tl.sum(x, 0)
    if FACTOR:
        total *= tl.load(factor + cell)
    tl.store(out + cell * CHANNELS + column, total, mask=valid)


def segment_sums(
    values: Tensor,
    order: Tensor,
    offsets: Tensor,
    *,
    eps: float = -1.0,
    share: Tensor | None = None,
    factor: Tensor | None = None,
) -> Tensor:
    """(O, C) sums of each cell's rows, LayerNorm before it: ``compiled.flatten_normed``.

    Args:
        values: (M, C) float32 rows.
        order: (E,) int64 rows sorted by cell.
        offsets: (O + 1,) int64 where each cell's begin.
        eps: Of the LayerNorm; negative for none.
        share: (E,) weight of each row; None for 1.
        factor: (O,) factor of each sum; None for 1.
    """
    out = values.new_empty(len(offsets) - 1, values.shape[1])
    launch(
        segments_kernel,
        (len(out),),
        values,
        order,
        offsets,
        values if share is None else share,
        values if factor is None else factor,
        out,
        eps,
        **row_sizes(values.shape[1]),
        NORM=eps >= 0,
        SHARE=share is not None,
        FACTOR=factor is not None,
    )
    return out
