"""16-bit matrix products on a CPU, made of few different numbers of rows.

There oneDNN compiles every product for its number of rows, into a quarter of a megabyte of the
heap, and keeps the latest thousand. Scans have another number of points and of pairs each time, so
these pieces would come and go between the tensors of a step, and the holes that they leave in the
heap would grow without end (docs/experiments.md, 29 November 2026).
"""

from collections.abc import Callable
from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor

_ROWS: Final = 512
"""Numbers of rows are multiples of this."""


def with_padded_rows(layer: Callable[[Tensor], Tensor], rows_PC: Tensor) -> Tensor:
    """(P, D) what a layer makes of each row alone.

    Args:
        layer: Computes each row from that row.
        rows_PC: Its input; rows of zeros are added where it computes in 16 bits on a CPU.
    """
    low = torch.is_autocast_enabled("cpu") or rows_PC.dtype != torch.float32
    if rows_PC.device.type != "cpu" or not low:
        return layer(rows_PC)
    return layer(F.pad(rows_PC, (0, 0, 0, -len(rows_PC) % _ROWS)))[: len(rows_PC)]


def padded_row_count(count: int, most: int, dtype: torch.dtype) -> int:
    """How many rows of a buffer of ``most`` to multiply where ``count`` are wanted.

    Args:
        count: At most ``most``.
        most: Rows that are taken at a time where there are enough.
        dtype: Of the product; with float32 it is ``count``, with 16 bits one of eight numbers.
    """
    if dtype == torch.float32:
        return count
    step = max(1, most // 8)
    return min(most, -(-count // step) * step)
