"""Exact nearest neighbours by a grid of hashed cells, on any device.

The definition is ``nearest_by_scipy``, which runs where the search has not proven itself
or is switched off. A point whose K-th neighbour in the 27 cells
around it lies within one cell's edge is done, for nothing outside of them is nearer; the others
search again with cells of twice the size.

Shape letters: M points, Q of them that search, K neighbours, W candidates of a point at most.
"""

from typing import Final, NamedTuple

import torch
from torch import Tensor

from lidistill.backbones.waffleiron.gpu.proof import NEIGHBORS, trusted
from lidistill.compiled import compiling
from lidistill.samples.nearest import nearest_by_scipy

_CELL: Final = 0.3  # metres; fastest for scans thinned to voxels of 0.1 m
_BUDGET: Final = 1 << 22  # candidates looked at together
_MAX_CELLS: Final = 1 << 20  # along one axis, so that a cell's number fits 63 bits


class _Grid(NamedTuple):
    """Points sorted by their cell."""

    order: Tensor
    """(M,) int64 points in the order of their cells."""
    keys: Tensor
    """(M,) int64 number of each one's cell, increasing; z counts fastest."""
    cell: Tensor
    """(M, 3) int64 cell of each point; a border of empty ones lies around all."""
    shape: Tensor
    """(3,) int64 cells along each axis."""


def hash_neighbors(points: Tensor, k: int) -> Tensor:
    """(M, 1 + K) every (M, 3) finite point and its nearest others; see ``grid_search``."""
    if not len(points) or (compiling() and trusted(NEIGHBORS, points.device)):
        return grid_search(points, k)
    return torch.from_numpy(nearest_by_scipy(points.cpu().numpy(), k)).to(points.device)


def grid_search(points: Tensor, k: int, *, cell: float = _CELL) -> Tensor:
    """(M, 1 + K) every (M, 3) finite point and its nearest others, the nearest first.

    See ``inputs.nearest_neighbors``: rows are filled up with the point itself, points on the
    same distance come in any order.

    Args:
        points: (M, 3) metres.
        k: Number of neighbours beside the point itself.
        cell: Edge of the first cells, metres; changes no distance.
    """
    searching = torch.arange(len(points), device=points.device)
    found = searching[:, None].repeat(1, 1 + k)
    if not (k and len(points)):
        return found
    precise = points.double()
    precise = precise - precise.amin(0)
    extent = float(precise.max())
    size = max(cell, extent / _MAX_CELLS)
    while len(searching):
        near, distance2 = _search(precise, _grid(precise, size), searching, k)
        bound = (size * (1 - 1e-9)) ** 2
        done = (distance2[:, -1] < bound) | (size > extent)
        found[searching[done]] = near[done]
        searching, size = searching[~done], 2 * size
    return found


def _grid(points: Tensor, size: float) -> _Grid:
    cell = (points / size).long() + 1
    shape = cell.amax(0) + 2
    keys, order = torch.sort(_key(cell, shape), stable=True)
    return _Grid(order, keys, cell, shape)


def _key(cell: Tensor, shape: Tensor) -> Tensor:
    return (cell[..., 0] * shape[1] + cell[..., 1]) * shape[2] + cell[..., 2]


def _search(points: Tensor, grid: _Grid, searching: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """(Q, 1 + K) nearest points in the 27 cells around each, and their squared distances.

    A point is at -1 of itself; what is lacking is the point itself at infinity.
    """
    step = torch.arange(-1, 2, device=points.device)
    around = torch.cartesian_prod(step, step, torch.zeros_like(step[:1]))
    centre = _key(grid.cell[searching][:, None] + around, grid.shape)
    start = torch.searchsorted(grid.keys, centre - 1)
    ends = (torch.searchsorted(grid.keys, centre + 1, right=True) - start).cumsum(1)
    # Points with about equally many candidates search together.
    totals, order = torch.sort(ends[:, -1], descending=True, stable=True)
    near = searching.new_empty(len(searching), 1 + k)
    distance2 = points.new_empty(len(searching), 1 + k)
    for first, stop, width in _portions(totals.tolist(), 1 + k):
        rows = order[first:stop]
        candidates = _candidates(grid, start[rows], ends[rows], width)
        near[rows], distance2[rows] = _nearest(points, searching[rows], candidates, 1 + k)
    return near, distance2


def _portions(totals: list[int], fewest: int) -> list[tuple[int, int, int]]:
    """First and last row, and the candidates of a row, that fit the budget; decreasing totals."""
    portions, first = [], 0
    while first < len(totals):
        width = max(totals[first], fewest)
        stop = min(first + max(1, _BUDGET // width), len(totals))
        portions.append((first, stop, width))
        first = stop
    return portions


def _candidates(grid: _Grid, start: Tensor, ends: Tensor, width: int) -> Tensor:
    """(Q, W) points in the nine columns of cells around each searching one; -1 beyond the last."""
    rank = torch.arange(width, device=start.device).expand(len(start), -1).contiguous()
    column = torch.searchsorted(ends, rank, right=True)
    present = column < ends.shape[1]
    column = column.clamp(max=ends.shape[1] - 1)
    before = torch.nn.functional.pad(ends, (1, 0))[:, :-1]
    place = (start - before).gather(1, column) + rank
    return torch.where(present, grid.order[place.where(present, 0)], -1)


def _nearest(
    points: Tensor, searching: Tensor, candidates: Tensor, count: int
) -> tuple[Tensor, Tensor]:
    """The nearest so many of the candidates; see ``_search``."""
    own, other = points[searching], points[candidates]
    distance2 = sum(
        ((other[..., i] - own[:, i, None]) ** 2 for i in range(3)), points.new_zeros(())
    )
    distance2[candidates < 0] = torch.inf
    distance2[candidates == searching[:, None]] = -1
    best, place = torch.topk(distance2, count, dim=1, largest=False, sorted=True)
    near = candidates.gather(1, place)
    return torch.where(near < 0, searching[:, None], near), best
