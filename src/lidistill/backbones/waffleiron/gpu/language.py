"""What all kernels share: how they are declared and started, LayerNorm and activations of a tile.

A tile is a block of rows times a block of channels. Its sizes are powers of two, as Triton wants
them; what lies beyond the last row or channel is masked and counts as zero.

Shape letters: R rows of a tile, W channels of a tile, C channels.
"""

import inspect
from collections.abc import Callable
from typing import Any, Final, Protocol, cast

import torch
import triton
import triton.language as tl
from torch import Tensor

_TILE: Final = 4096
"""Numbers of a tile that whole rows fill: 32 for each of 128 threads."""


class Kernel(Protocol):
    """A function that Triton compiles."""

    def __getitem__(self, grid: tuple[int, ...]) -> Callable[..., None]:
        """What starts one program for every place of a grid."""
        ...

    def __call__(self, *args: Any) -> Any:
        """Its part of another kernel."""
        ...


def kernel(function: Callable[..., Any]) -> Kernel:
    """Declare a kernel; a ``num_…`` of one or of a multiple of 16 gets no version of its own."""
    counts = [name for name in inspect.signature(function).parameters if name.startswith("num_")]
    return cast("Kernel", triton.jit(function, do_not_specialize=counts))


def launch(program: Kernel, grid: tuple[int, ...], *args: object, **sizes: object) -> None:
    """Run a kernel on the device of its first tensor; an empty grid does nothing.

    Args:
        program: The kernel.
        grid: Programs along up to three axes.
        args: Tensors and numbers, in order.
        sizes: What is a constant to the compiler.
    """
    if 0 in grid:
        return
    first = next(arg for arg in args if isinstance(arg, Tensor))
    with torch.cuda.device_of(first):
        # What a multiplication and an addition may become one of, whatever the version's default.
        program[grid](*args, **sizes, enable_fp_fusion=True)


def blocks(count: int, size: int) -> int:
    """How many blocks of a size cover a count."""
    return -(-count // size)


def row_sizes(channels: int) -> dict[str, int]:
    """Tile of whole rows: C, the power of two above it, and rows enough to keep threads busy."""
    block: int = triton.next_power_of_2(channels)
    rows = min(16, max(1, _TILE // block))
    return {"CHANNELS": channels, "BLOCK": block, "ROWS": rows}


def matrix_tiles(channels: int) -> tuple[tuple[int], dict[str, int]]:
    """Grid and tile of programs that own some rows of a (C, C) matrix, some columns at a time."""
    columns = min(128, triton.next_power_of_2(channels))
    return (blocks(channels, 16),), {"CHANNELS": channels, "ROWS": 16, "COLUMNS": columns}


@kernel
def read_vector(
    values: tl.tensor, row: tl.tensor, STRIDE: tl.constexpr, CHANNELS: tl.constexpr
) -> tl.tensor:
    """(R,) numbers of a vector (C,) that lie ``STRIDE`` apart, in float32."""
    return tl.load(values + row * STRIDE, mask=row < CHANNELS, other=0.0).to(tl.float32)


@kernel
def write_vector(
    out: tl.tensor, row: tl.tensor, STRIDE: tl.constexpr, x: tl.tensor, CHANNELS: tl.constexpr
) -> None:
    """Store what ``read_vector`` reads, in the vector's own number format."""
    tl.store(out + row * STRIDE, x.to(out.dtype.element_ty), mask=row < CHANNELS)


@kernel
def read_matrix(
    values: tl.tensor, row: tl.tensor, column: tl.tensor, CHANNELS: tl.constexpr
) -> tl.tensor:
    """(R, W) tile of a matrix (C, C), in float32."""
    mask = (row < CHANNELS)[:, None] & (column < CHANNELS)[None, :]
    place = row[:, None] * CHANNELS + column[None, :]
    return tl.load(values + place, mask=mask, other=0.0).to(tl.float32)


@kernel
def write_matrix(
    out: tl.tensor, row: tl.tensor, column: tl.tensor, x: tl.tensor, CHANNELS: tl.constexpr
) -> None:
    """Store what ``read_matrix`` reads, in the matrix's own number format."""
    mask = (row < CHANNELS)[:, None] & (column < CHANNELS)[None, :]
    place = row[:, None] * CHANNELS + column[None, :]
    tl.store(out + place, x.to(out.dtype.element_ty), mask=mask)


@kernel
def moments(x: tl.tensor, mask: tl.tensor, eps: float, CHANNELS: tl.constexpr) -> Any:
    """Mean (R,) of rows that are zero outside the mask, and one over their standard deviation."""
    mean = tl.sum(x, 1) / CHANNELS
    centred = tl.where(mask, x - mean[:, None], 0.0)
    return mean, 1.0 / tl.sqrt(tl.sum(centred * centred, 1) / CHANNELS + eps)


@kernel
def normed(x: tl.tensor, mask: tl.tensor, eps: float, CHANNELS: tl.constexpr) -> tl.tensor:
    """(R, W) LayerNorm without its affine part."""
    mean, rstd = moments(x, mask, eps, CHANNELS)
    return tl.where(mask, (x - mean[:, None]) * rstd[:, None], 0.0)


@kernel
def normed_backward(
    x: tl.tensor, grad: tl.tensor, mask: tl.tensor, eps: float, CHANNELS: tl.constexpr
) -> tl.tensor:
    """(R, W) gradient before that LayerNorm, of the gradient after it."""
    mean, rstd = moments(x, mask, eps, CHANNELS)
    unit = tl.where(mask, (x - mean[:, None]) * rstd[:, None], 0.0)
    offset = tl.sum(grad, 1) / CHANNELS
    slope = tl.sum(grad * unit, 1) / CHANNELS
    return (grad - offset[:, None] - unit * slope[:, None]) * rstd[:, None]


@kernel
def activated(x: tl.tensor, ACTIVATION: tl.constexpr) -> tl.tensor:
    """Activation by its name; "none" leaves the tile as it is."""
    y = x
    if ACTIVATION == "relu":
        y = tl.maximum(x, 0.0)
    if ACTIVATION == "gelu":
        y = 0.5 * x * (1.0 + tl.erf(x * 0.7071067811865476))
    return y


@kernel
def activated_backward(x: tl.tensor, grad: tl.tensor, ACTIVATION: tl.constexpr) -> tl.tensor:
    """Gradient before an activation; after a ReLU, ``x`` may be what came out of it."""
    y = grad
    if ACTIVATION == "relu":
        y = tl.where(x > 0.0, grad, 0.0)
    if ACTIVATION == "gelu":
        below = 0.5 * (1.0 + tl.erf(x * 0.7071067811865476))
        y = grad * (below + x * tl.exp(-0.5 * x * x) * 0.3989422804014327)
    return y
