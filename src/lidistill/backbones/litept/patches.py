"""Patches of attention: slices of an order of the cells, of one scan each.

Shape letters: N cells of a batch, R rows of all patches, S of one patch.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class Patches:
    """Which places of an order belong to which patch."""

    place: Tensor
    """(R,) int64 place in the order of every row of every patch."""
    row: Tensor
    """(N,) int64 row of every place; the other rows only lend their keys and values."""
    lengths: tuple[int, ...]
    """Rows of each patch."""


def patches(lengths: Sequence[int], size: int, device: torch.device) -> Patches:
    """Cut the order of a batch into patches.

    A scan that is not longer than a patch is one, an empty one none. A longer one is cut into whole
    patches, the last of which is filled up with the places that the patch before it has there.

    Args:
        lengths: Cells of each scan, at least one.
        size: S, cells of a whole patch.
        device: Of the result.

    References:
        Wu et al., "Point Transformer V3", CVPR 2024, section 4.2; LitePT does the same.
    """
    places, rows, sizes = [], [], list[int]()
    first_place, first_row = 0, 0
    for length in lengths:
        if not length:
            continue
        padded = length if length <= size else -(-length // size) * size
        place = torch.arange(padded, device=device)
        rows.append(place[:length] + first_row)
        places.append(torch.where(place < length, place, place - size) + first_place)
        sizes += [min(length, size)] * (padded // min(length, size))
        first_place, first_row = first_place + length, first_row + padded
    none = torch.zeros(0, dtype=torch.int64, device=device)
    return Patches(
        place=torch.cat([none, *places]), row=torch.cat([none, *rows]), lengths=tuple(sizes)
    )
