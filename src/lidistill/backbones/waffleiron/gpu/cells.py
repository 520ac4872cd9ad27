"""Kernels that sum the points of every cell of a grid, a bounded piece of a cell in a program.

The first piece of a cell is written as its sum. Sums of further pieces go into rows of their own,
which a second launch adds to it. One program owns what it writes, and adds in a fixed order;
nothing is added atomically.

Shape letters: M points, E points sorted by cell, O cells in use, P pieces beyond the first of each
cell, C channels.
"""

from typing import Final

import triton
import triton.language as tl
from torch import Tensor

from lidistill.backbones.waffleiron.gpu.language import blocks, kernel, launch, normed, row_sizes
from lidistill.backbones.waffleiron.plane import PIECE

_CHANNELS: Final = 128
"""Channels of a program that adds pieces up."""
_ROWS: Final = 16
"""Its pieces at a time."""


@kernel
def segments_kernel(
    values: tl.tensor,
    order: tl.tensor,
    offsets: tl.tensor,
    pieces: tl.tensor,
    share: tl.tensor,
    factor: tl.tensor,
    out: tl.tensor,
    partial: tl.tensor,
    eps: float,
    num_cells: int,
    num_pieces: int,
    CHANNELS: tl.constexpr,
    BLOCK: tl.constexpr,
    ROWS: tl.constexpr,
    SPAN: tl.constexpr,
    NORM: tl.constexpr,
    SHARE: tl.constexpr,
    FACTOR: tl.constexpr,
) -> None:
    """A piece of a cell of ``segment_sums``: some of its points at a time, in their order.

    The further pieces come first, since most are full; those that no cell needs do nothing.
    """
    piece = tl.program_id(0).to(tl.int64)
    further = piece < num_pieces
    cell = tl.load(pieces + piece, mask=further, other=0)
    cell = tl.where(further, cell, piece - num_pieces)
    present = cell < num_cells
    start = tl.load(pieces + num_pieces + piece, mask=further, other=0)
    start = tl.where(further, start, tl.load(offsets + cell))
    stop = tl.minimum(start + SPAN, tl.load(offsets + cell + 1, mask=present, other=0))
    column = tl.arange(0, BLOCK)
    valid = column < CHANNELS
    total = tl.zeros((BLOCK,), tl.float32)
    for first in range(start, stop, ROWS):
        entry = first + tl.arange(0, ROWS)
        inside = entry < stop
        row = tl.load(order + entry, mask=inside, other=0)
        mask = inside[:, None] & valid[None, :]
        x = tl.load(values + row[:, None] * CHANNELS + column[None, :], mask=mask, other=0.0)
        if NORM:
            x = normed(x, mask, eps, CHANNELS)
        if SHARE:
            x *= tl.load(share + entry, mask=inside, other=0.0)[:, None]
        total += tl.sum(x, 0)
    if FACTOR:
        total *= tl.load(factor + cell, mask=present, other=0.0)
    if not further:
        tl.store(out + cell * CHANNELS + column, total, mask=valid)
    elif present:
        tl.store(partial + piece * CHANNELS + column, total, mask=valid)


@kernel
def pieces_kernel(
    partial: tl.tensor,
    offsets: tl.tensor,
    pieces: tl.tensor,
    out: tl.tensor,
    num_cells: int,
    num_pieces: int,
    CHANNELS: tl.constexpr,
    BLOCK: tl.constexpr,
    ROWS: tl.constexpr,
    SPAN: tl.constexpr,
) -> None:
    """All further pieces of the cell whose second piece this is, added to its first one."""
    piece = tl.program_id(0).to(tl.int64)
    cell = tl.load(pieces + piece)
    start = tl.load(pieces + num_pieces + piece)
    if (cell < num_cells) & (start == tl.load(offsets + cell) + SPAN):
        column = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
        valid = column < CHANNELS
        stop = piece + (tl.load(offsets + cell + 1) - start + SPAN - 1) // SPAN
        total = tl.load(out + cell * CHANNELS + column, mask=valid, other=0.0)
        for first in range(piece, stop, ROWS):
            row = first + tl.arange(0, ROWS)
            mask = (row < stop)[:, None] & valid[None, :]
            x = tl.load(partial + row[:, None] * CHANNELS + column[None, :], mask=mask, other=0.0)
            total += tl.sum(x, 0)
        tl.store(out + cell * CHANNELS + column, total, mask=valid)


def segment_sums(
    values: Tensor,
    order: Tensor,
    offsets: Tensor,
    pieces: Tensor,
    *,
    eps: float = -1.0,
    share: Tensor | None = None,
    factor: Tensor | None = None,
) -> Tensor:
    """(O, C) sums of each cell's rows, LayerNorm before it: ``cpu.loops.flatten_normed``.

    Args:
        values: (M, C) float32 rows.
        order: (E,) int64 rows sorted by cell.
        offsets: (O + 1,) int64 where each cell's begin.
        pieces: (2, P) int64 cell and beginning of pieces beyond each cell's first; see ``Plane``.
        eps: Of the LayerNorm; negative for none.
        share: (E,) weight of each row; None for 1.
        factor: (O,) factor of each sum; None for 1.
    """
    num_cells, num_pieces, channels = len(offsets) - 1, pieces.shape[1], values.shape[1]
    out, partial = (values.new_empty(rows, channels) for rows in (num_cells, num_pieces))
    launch(
        segments_kernel,
        (num_pieces + num_cells,),
        values,
        order,
        offsets,
        pieces,
        values if share is None else share,
        values if factor is None else factor,
        out,
        partial,
        eps,
        num_cells,
        num_pieces,
        **row_sizes(channels),
        SPAN=PIECE,
        NORM=eps >= 0,
        SHARE=share is not None,
        FACTOR=factor is not None,
    )
    block = min(_CHANNELS, triton.next_power_of_2(channels))
    launch(
        pieces_kernel,
        (num_pieces, blocks(channels, block)),
        *(partial, offsets, pieces, out, num_cells, num_pieces),
        CHANNELS=channels,
        BLOCK=block,
        ROWS=_ROWS,
        SPAN=PIECE,
    )
    return out
