"""Where a cell is, as a rotation of the queries and keys of its attention.

Shape letters: N rows, H heads, D channels of a head, Q angles of an axis.
"""

from typing import TypeAlias

import torch
from torch import Tensor

Rotation: TypeAlias = tuple[Tensor, Tensor]
"""Cosine and sine, (N, 3, Q) each."""


def rotation(cells: Tensor, head_channels: int, base: float) -> Rotation:
    """Cosine and sine of the angles that each cell turns by, one set for each axis.

    Args:
        cells: (N, 3) cells, from the corner of their own scan.
        head_channels: D, a multiple of 6.
        base: Angle j of an axis is the cell's number on it times ``base ** (-j / Q)``.

    References:
        LitePT, section 3 (PointROPE); Su et al., "RoFormer", 2021.
    """
    count = head_channels // 6
    exponent = torch.arange(count, device=cells.device, dtype=torch.float32) / count
    angle = cells[:, :, None].float() * base**-exponent
    return angle.cos(), angle.sin()


def rotate(rows: Tensor, angles: Rotation) -> Tensor:
    """(N, H, D) rows turned: two times Q channels for x, as many for y, and for z.

    Args:
        rows: (N, H, D) queries or keys.
        angles: See ``rotation``.
    """
    cos, sin = (part[:, None] for part in angles)
    u, v = rows.unflatten(-1, (3, 2, -1)).unbind(-2)
    turned = torch.stack([u * cos - v * sin, v * cos + u * sin], dim=-2)
    return turned.flatten(-3)
