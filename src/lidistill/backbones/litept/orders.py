"""Orders of the cells of a scan along curves that fill space: Z and Hilbert.

Cells that follow one another in such an order lie near one another, so that a patch of attention
is a slice of it.

Shape letters: N cells, D bits of a coordinate.
"""

from collections.abc import Sequence
from typing import Final, Literal, TypeAlias

import torch
from torch import Tensor

Order: TypeAlias = Literal["z", "z-trans", "hilbert", "hilbert-trans"]
"""A curve; ``-trans`` is the one through cells whose x and y are exchanged."""
ORDERS: Final[tuple[Order, ...]] = ("z", "z-trans", "hilbert", "hilbert-trans")
"""Those that the blocks of a stage take in turn."""
MAX_DEPTH: Final = 16
"""Bits of a coordinate; with three of them, 15 bits are left for the number of the scan."""


def order_depth(largest: int, margin: int) -> int:
    """D, the bits of a coordinate that an order counts with.

    Two depths give one Hilbert order only if they differ by a multiple of three, so a result
    depends on which cells are counted.

    Args:
        largest: Largest coordinate of all the cells.
        margin: What is added to it first: 1 in LitePT, 0 in Point Transformer V3.

    Raises:
        ValueError: If the cells reach further than an order can count.
    """
    depth = (largest + margin).bit_length()
    if depth > MAX_DEPTH:
        msg = (
            f"the cells of a scan reach to number {largest:,}, and orders count to "
            f"{(1 << MAX_DEPTH) - 1 - margin:,}; raise grid_size, or set a smaller field of view"
        )
        raise ValueError(msg)
    return depth


def codes(cells: Tensor, scan: Tensor, depth: int, order: Order) -> Tensor:
    """(N,) int64 place of every cell along a curve; those of a later scan come later.

    Args:
        cells: (N, 3) int64 x, y and z, none negative.
        scan: (N,) int64 number of the scan that a cell is of.
        depth: D, see ``order_depth``.
        order: The curve.
    """
    x, y, z = cells.unbind(1)
    axes = [y, x, z] if order.endswith("-trans") else [x, y, z]
    if order.startswith("hilbert"):
        axes = _along_hilbert(axes, depth)
    return (scan << 3 * depth) | _interleaved(axes, depth)


def sorted_by(cells: Tensor, scan: Tensor, depth: int) -> Tensor:
    """(4, N) int64 cells in each of the ``ORDERS``; see ``codes``."""
    return torch.stack([codes(cells, scan, depth, order).argsort() for order in ORDERS])


def _interleaved(axes: Sequence[Tensor], depth: int) -> Tensor:
    """(N,) bits of three numbers in turn, the highest first and the first number first."""
    code = torch.zeros_like(axes[0])
    for bit in range(depth):
        for place, axis in zip((2, 1, 0), axes, strict=True):
            code |= ((axis >> bit) & 1) << (3 * bit + place)
    return code


def _along_hilbert(axes: Sequence[Tensor], depth: int) -> list[Tensor]:
    """Three numbers whose bits, in turn, are the place along a Hilbert curve.

    References:
        Skilling, "Programming the Hilbert curve", AIP Conference Proceedings 707, 2004.
    """
    first, *others = axes
    for bit in range(depth - 1, 0, -1):
        below = (1 << bit) - 1
        first = first ^ (((first >> bit) & 1) * below)
        for place, other in enumerate(others):
            # A set bit mirrors the first axis below it, a bit that is not exchanges the axes there.
            is_set = (other >> bit) & 1
            exchanged = (first ^ other) & (below * (1 - is_set))
            first = first ^ ((is_set * below) | exchanged)
            others[place] = other ^ exchanged
    second = others[0] ^ first
    third = others[1] ^ second
    mirrored = torch.zeros_like(first)
    for bit in range(1, depth):
        mirrored ^= ((third >> bit) & 1) * ((1 << bit) - 1)
    return [first ^ mirrored, second ^ mirrored, third ^ mirrored]
