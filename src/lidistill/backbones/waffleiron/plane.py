"""Index tables of the points of a batch on a 2D grid: whose cell is whose, and what lies around it.

Shape letters: M points, E points that fill a cell, O cells that hold or are read by a point,
R cells of these and of the ring around them, B scans, C channels, H x W cells of a grid,
P pieces of cells beyond the first of each.
"""

from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor

Flatten: TypeAlias = Literal["mean", "sum_over_count_eps"]

COUNT_EPS = 1e-6
PIECE: Final = 64
"""Most points of a cell that one program of a GPU sums up; docs/decisions/0007 says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plane:
    """Where the points of a batch lie in one grid; the same for every layer that shares it."""

    num_scans: int
    size_hw: tuple[int, int]
    """H and W, cells."""
    cell: Tensor
    """(O,) int64 increasing ``(scan * H + row) * W + column`` of each cell in use."""
    reads: Tensor
    """(M,) int64 position in ``cell`` of the cell that each point reads."""
    reads_order: Tensor
    """(M,) int64 points sorted by the cell they read."""
    reads_offsets: Tensor
    """(O + 1,) int64 where each cell's points begin in ``reads_order``."""
    reads_pieces: Tensor
    """(2, P) int64 pieces of cells beyond each one's first ``PIECE`` points; see ``_pieces``."""
    fills: Tensor
    """(E,) int64 points sorted by the cell they fill."""
    fills_offsets: Tensor
    """(O + 1,) int64 where each cell's points begin in ``fills``."""
    fills_pieces: Tensor
    """(2, P) int64 the same of ``fills``."""
    share: Tensor
    """(M,) float32 what a point's features count in its cell; 0 where it fills none."""
    fills_share: Tensor
    """(E,) float32 ``share`` in the order of ``fills``."""
    taps: Tensor
    """(9, O) int64 position in the R cells of each tap of a 3x3 kernel; R outside the grid."""
    sources: Tensor
    """(9, R) int64 position in the O cells whose tap each R cell is; O where there is none."""
    filled: Tensor
    """(O,) float32 sum of the shares of each cell's points: 1, or 0 where nothing fills it."""
    spread_order: Tensor
    """(S,) int64 positions in the flattened ``taps``, sorted by the cell they point to."""
    spread_offsets: Tensor
    """(R + 2,) int64 where each R cell's entries begin in ``spread_order``; the last is empty."""

    @property
    def num_cells(self) -> int:
        """O, the cells in use."""
        return len(self.cell)

    @property
    def scan(self) -> Tensor:
        """(O,) int64 scan of each cell."""
        return self.cell // (self.size_hw[0] * self.size_hw[1])


def build_plane(
    cells: Tensor,
    scan: Tensor,
    *,
    num_scans: int,
    size_hw: tuple[int, int],
    flatten: Flatten = "mean",
) -> Plane:
    """Sort the points of a batch by cell, once for all layers that share the grid.

    Args:
        cells: (M,) int64 row-major cell of each point in the grid of its own scan. A negative
            value ``-1 - c`` marks a point that reads cell c without filling it.
        scan: (M,) int64 scan of each point.
        num_scans: Scans of the batch.
        size_hw: Cells of the grid.
        flatten: ``mean`` of a cell's points, or their sum divided by their number plus 1e-6.

    Raises:
        ValueError: If a cell lies outside the grid.
    """
    height, width = size_hw
    area = height * width
    read_cell = torch.where(cells < 0, -1 - cells, cells)
    if len(cells) and int(read_cell.max()) >= area:
        msg = (
            f"cell {int(read_cell.max())} lies outside a grid of {height} x {width}; "
            "prepare the samples with the grids of this backbone"
        )
        raise ValueError(msg)
    key = scan * area + read_cell
    in_use = torch.zeros(num_scans * area, dtype=torch.bool, device=cells.device)
    in_use[key] = True
    cell = in_use.nonzero().squeeze(1)
    position = in_use.cumsum(0) - 1
    reads = position[key]
    reads_order = torch.argsort(reads, stable=True)
    fills = reads_order[cells[reads_order] >= 0]
    num_fills = torch.bincount(reads[fills], minlength=len(cell))
    weight = 1.0 / (num_fills + COUNT_EPS if flatten != "mean" else num_fills.clamp(min=1))
    share = weight[reads] * (cells >= 0)
    taps, spread_order, spread_offsets = _ring(cell, num_scans=num_scans, size_hw=size_hw)
    fills_offsets = _offsets(num_fills)
    fills_pieces = _pieces(fills_offsets, len(fills))
    reads_offsets, reads_pieces = fills_offsets, fills_pieces
    if len(fills) < len(reads):
        reads_offsets = _offsets(torch.bincount(reads, minlength=len(cell)))
        reads_pieces = _pieces(reads_offsets, len(reads))
    return Plane(
        num_scans=num_scans,
        size_hw=size_hw,
        cell=cell,
        reads=reads,
        reads_order=reads_order,
        reads_offsets=reads_offsets,
        reads_pieces=reads_pieces,
        fills=fills,
        fills_offsets=fills_offsets,
        fills_pieces=fills_pieces,
        share=share,
        fills_share=share[fills],
        taps=taps,
        sources=_sources(taps, len(spread_offsets) - 2),
        filled=num_fills * weight,
        spread_order=spread_order,
        spread_offsets=spread_offsets,
    )


def _offsets(counts: Tensor) -> Tensor:
    return F.pad(counts.cumsum(0), (1, 0))


def _pieces(offsets: Tensor, num_entries: int) -> Tensor:
    """Cut what cells hold beyond their first ``PIECE`` points into pieces of at most as many.

    How many there are only the device knows; their number cannot exceed E // PIECE, so the table
    is that long, without asking. What is left over belongs to cell O and starts behind the last
    entry.

    Args:
        offsets: (O + 1,) int64 where each cell's entries begin.
        num_entries: E.

    Returns:
        (2, P) int64: the cell of each piece, in increasing order, and the entry it starts with.
    """
    ends = ((offsets.diff() - 1).clamp(min=0) // PIECE).cumsum(0)
    piece = torch.arange(num_entries // PIECE, device=offsets.device)
    cell = torch.searchsorted(ends, piece, right=True)
    before = piece - F.pad(ends, (1, 0))[cell]
    return torch.stack([cell, offsets[cell] + (1 + before) * PIECE])


def _ring(
    cell: Tensor, *, num_scans: int, size_hw: tuple[int, int]
) -> tuple[Tensor, Tensor, Tensor]:
    """Number the cells within one step of the given ones, and find them from both sides.

    Returns:
        ``taps``, ``spread_order`` and ``spread_offsets`` of ``Plane``.
    """
    height, width = size_hw
    step = torch.arange(-1, 2, device=cell.device)
    row = (cell // width % height)[None, :] + step.repeat_interleave(3)[:, None]
    column = (cell % width)[None, :] + step.repeat(3)[:, None]
    inside = (row >= 0) & (row < height) & (column >= 0) & (column < width)
    target = (cell // (height * width) * height + row) * width + column
    near = torch.zeros(num_scans * height * width, dtype=torch.bool, device=cell.device)
    near[target[inside]] = True
    position = near.cumsum(0) - 1
    num_near = int(near.sum())
    taps = torch.where(inside, position[target.where(inside, 0)], num_near)
    counts = torch.bincount(taps.flatten(), minlength=num_near + 1)
    counts[num_near] = 0
    order = torch.argsort(taps.flatten(), stable=True)[: int(inside.sum())]
    return taps, order, _offsets(counts)


def _sources(taps: Tensor, num_near: int) -> Tensor:
    """The way back of ``taps``: which cell in use reads a near one at each tap."""
    num_cells = taps.shape[1]
    sources = taps.new_full((9, num_near + 1), num_cells)
    sources.scatter_(1, taps, torch.arange(num_cells, device=taps.device).expand(9, -1))
    return sources[:, :num_near].contiguous()
