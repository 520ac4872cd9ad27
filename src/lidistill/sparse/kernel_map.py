"""Which input cell meets which output cell in a convolution, and at which place of its kernel.

A place is what others call a kernel offset, and the map a kernel map, a rulebook or indice pairs.

Shape letters: M cells, V places of a kernel, P pairs of an input and an output cell.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from operator import mul
from typing import NamedTuple, Self

import torch
from torch import Tensor

from lidistill.sparse.cells import cell_keys, coarser, unique_cells
from lidistill.sparse.layout import kernel_offsets


class PairsAtPlace(NamedTuple):
    """The pairs of cells at one place of a kernel."""

    place: int
    """Index into the kernel."""
    source: Tensor | None
    """(n,) int64 row of each input cell; None: every one, in their order."""
    target: Tensor | None
    """(n,) int64 row of each output cell, no row twice; None: every one, in their order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KernelMap:
    """Pairs of input and output cells, place by place of the kernel.

    A map is made of cells alone, without weights, so data workers make it. At one place every cell
    is in one pair at most.
    """

    source: Tensor
    """(P,) int64 row of the input cell of each pair, one place after the other. Numbers of half the
    size would be added by in thrice the time on a CPU."""
    target: Tensor
    """(P,) int64 row of the output cell."""
    places: tuple[int, ...]
    """The places whose pairs are listed, in this order."""
    counts: tuple[int, ...]
    """How many pairs each of them has."""
    num_places: int
    """V."""
    num_sources: int
    num_targets: int
    mirrored: bool = False
    """Whether input and output cells are the same. Then the centre, at which each meets itself, is
    not listed, and of two opposite places, whose pairs are each other's reverse, only one."""

    def __len__(self) -> int:
        return self.num_targets

    def pairs_by_place(self) -> Iterator[PairsAtPlace]:
        """The pairs at each place that has any; an output cell has the sum over all its pairs.

        A place at which every cell meets itself, if there is one, comes first.
        """
        if self.mirrored:
            yield PairsAtPlace(self.num_places // 2, None, None)
        ends = list(accumulate(self.counts))
        for place, count, end in zip(self.places, self.counts, ends, strict=True):
            if not count:
                continue
            source, target = self.source[end - count : end], self.target[end - count : end]
            yield PairsAtPlace(place, source, target)
            if self.mirrored:
                yield PairsAtPlace(self.num_places - 1 - place, target, source)

    def transposed(self) -> "KernelMap":
        """The map of the transposed convolution: from the output cells to the input cells.

        Pairs keep their places, so that one kernel leads down and another one up in the same order.

        Raises:
            ValueError: If input and output cells are the same.
        """
        if self.mirrored:
            msg = "a submanifold map has no transposed one of its own; flip the kernel instead"
            raise ValueError(msg)
        return replace(
            self,
            source=self.target,
            target=self.source,
            num_sources=self.num_targets,
            num_targets=self.num_sources,
        )

    @classmethod
    def collate(cls, parts: Sequence[Self]) -> Self:
        """The map of scans packed one after the other, which do not meet.

        Args:
            parts: One map of each scan, of one kind, at least one.
        """
        sources = [0, *accumulate(part.num_sources for part in parts)]
        targets = [0, *accumulate(part.num_targets for part in parts)]
        starts = zip(sources, targets, strict=True)
        lists = [
            ((part.source + source).split(part.counts), (part.target + target).split(part.counts))
            for part, (source, target) in zip(parts, starts, strict=False)
        ]
        each = range(len(parts[0].places))
        return replace(
            parts[0],
            source=torch.cat([listed[0][place] for place in each for listed in lists]),
            target=torch.cat([listed[1][place] for place in each for listed in lists]),
            counts=tuple(sum(part.counts[place] for part in parts) for place in each),
            num_sources=sources[-1],
            num_targets=targets[-1],
        )


def submanifold_map(cells: Tensor, kernel_size: int) -> KernelMap:
    """The map of a convolution whose output cells are its input cells.

    Args:
        cells: (M, 3) x, y, z or (M, 4) batch, x, y, z, integers of any sign, none twice, in any
            order. Rows of the features have the same order.
        kernel_size: Edge of the kernel in cells, odd.

    Raises:
        ValueError: If the kernel size is even, a cell is given twice, or cells lie too far apart.
    """
    if kernel_size % 2 == 0:
        msg = f"kernel_size={kernel_size}: only an odd kernel has a centre"
        raise ValueError(msg)
    reach = kernel_size // 2
    numbered = cell_keys(cells, margin=reach)
    ordered, row = numbered.keys.sort()
    if bool((ordered[1:] == ordered[:-1]).any()):
        msg = "a cell is given twice; take unique_cells of them first"
        raise ValueError(msg)
    offsets = kernel_offsets(kernel_size).tolist()
    # Of two opposite offsets the one that counts as smaller; along z they follow one another.
    before = sorted((offset, place) for place, offset in enumerate(offsets) if offset < [0, 0, 0])
    steps = [sum(map(mul, offset, numbered.strides[-3:])) for offset, _ in before]
    found, at = _neighbors(ordered, steps)
    which, place = found.nonzero().unbind(1)
    return KernelMap(
        source=row[at[which, place]],
        target=row[place],
        places=tuple(place for _, place in before),
        counts=tuple(found.sum(1).tolist()),
        num_places=kernel_size**3,
        num_sources=len(cells),
        num_targets=len(cells),
        mirrored=True,
    )


def _neighbors(ordered: Tensor, steps: list[int]) -> tuple[Tensor, Tensor]:
    """Which keys have another one at some distance, and where it lies.

    Args:
        ordered: (M,) int64 keys, increasing.
        steps: S distances. Those that follow one another by one are found without a search.

    Returns:
        (S, M) whether there is one, and (S, M) int64 its place in ``ordered``.
    """
    found = torch.zeros((len(steps), len(ordered)), dtype=torch.bool, device=ordered.device)
    at = torch.zeros_like(found, dtype=torch.int64)
    if not len(ordered):
        return found, at
    for i, step in enumerate(steps):
        wanted = ordered + step
        if i and steps[i - 1] == step - 1:
            torch.add(at[i - 1], found[i - 1], out=at[i])  # the next key after one that was there
        else:
            torch.searchsorted(ordered, wanted, out=at[i])
        at[i].clamp_(max=len(ordered) - 1)
        torch.eq(ordered[at[i]], wanted, out=found[i])
    return found, at


class Strided(NamedTuple):
    """Cells of twice the edge, and the map to them."""

    cells: Tensor
    """(U, D) int64 every coarse cell that holds a cell, in lexicographic order."""
    kernel_map: KernelMap


def strided_map(cells: Tensor) -> Strided:
    """The map of a convolution with a kernel of 2 cells and a stride of 2.

    Its transposed leads back, to exactly the cells that are given.

    Args:
        cells: (M, 3) x, y, z or (M, 4) batch, x, y, z, integers of any sign.

    Raises:
        ValueError: If the cells lie too far apart.
    """
    coarse = unique_cells(coarser(cells))
    x, y, z = (cells[:, -3:].long() & 1).unbind(1)
    place = x + 2 * y + 4 * z
    order = place.sort(stable=True).indices
    return Strided(
        coarse.cells,
        KernelMap(
            source=order,
            target=coarse.inverse[order],
            places=tuple(range(8)),
            counts=tuple(torch.bincount(place, minlength=8).tolist()),
            num_places=8,
            num_sources=len(cells),
            num_targets=len(coarse.cells),
        ),
    )
