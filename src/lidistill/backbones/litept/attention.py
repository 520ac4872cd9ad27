"""Attention among the cells of a patch.

Shape letters: N cells, R rows of all patches, S of one patch, P patches, H heads, D channels of a
head, C = H D.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lidistill.backbones.litept.patches import Patches
from lidistill.backbones.litept.rotary import Rotation, rotate


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrangement:
    """Cells in the rows of patches."""

    cell: Tensor
    """(R,) int64 cell of every row."""
    row: Tensor
    """(N,) int64 row that every cell's result stands in."""
    lengths: tuple[int, ...]
    """Rows of each patch."""


def arranged(order: Tensor, cut: Patches) -> Arrangement:
    """The patches of an order of the cells.

    Args:
        order: (N,) int64 cells in their order.
        cut: Its patches.
    """
    row = torch.empty_like(order)
    row[order] = cut.row
    return Arrangement(cell=order[cut.place], row=row, lengths=cut.lengths)


class PatchAttention(nn.Module):
    """Attention with several heads, each cell to those of its patch.

    Args:
        width: C.
        heads: H.
        in_16_bits: Whether queries, keys, values and results are rounded to 16 bits, as the
            authors' code does in training and evaluation alike.
    """

    def __init__(self, width: int, heads: int, *, in_16_bits: bool = False) -> None:
        super().__init__()
        self.heads, self.in_16_bits = heads, in_16_bits
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)

    def forward(self, x_NC: Tensor, where: Arrangement, angles: Rotation | None) -> Tensor:
        """(N, C) attention of each cell to the cells of its patch."""
        query, key, value = self.qkv(x_NC).unflatten(-1, (3, self.heads, -1)).unbind(1)
        query, key, value = (self._rounded(x) for x in (query, key, value))
        if angles is not None:
            query, key = (self._rounded(rotate(x, angles)) for x in (query, key))
        rows_3RHD = [x[where.cell] for x in (query, key, value.to(query.dtype))]
        mixed_RC = self._rounded(_within(rows_3RHD, where.lengths)).flatten(1)
        return self.out(mixed_RC[where.row])

    def _rounded(self, x: Tensor) -> Tensor:
        return x.half().to(x.dtype) if self.in_16_bits else x


def _within(rows_3RHD: list[Tensor], lengths: tuple[int, ...]) -> Tensor:
    """(R, H, D) attention of every row to those of its patch; patches of one length at once."""
    parts, first, begin = [rows_3RHD[2][:0]], 0, 0
    while first < len(lengths):
        last = first
        while last < len(lengths) and lengths[last] == lengths[first]:
            last += 1
        number, end = last - first, begin + (last - first) * lengths[first]
        query, key, value = (
            x[begin:end].unflatten(0, (number, -1)).transpose(1, 2) for x in rows_3RHD
        )
        heads_PHSD = F.scaled_dot_product_attention(query, key, value)
        parts.append(heads_PHSD.transpose(1, 2).flatten(0, 1))
        first, begin = last, end
    return torch.cat(parts)
