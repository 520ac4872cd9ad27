"""Noise that repeats at its edges, and the grids that patterns are drawn on."""

from functools import cache
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Float32: TypeAlias = NDArray[np.float32]
Float64: TypeAlias = NDArray[np.float64]

SIZE = 256


@cache
def noise_tile(slope: float = 1.1, size: int = 512) -> Float32:
    """(size, size) periodic noise of zero mean and unit spread; its amplitude falls as f^-slope."""
    white = np.random.default_rng(size).standard_normal((size, size))
    frequency = np.hypot(*np.meshgrid(np.fft.fftfreq(size), np.fft.fftfreq(size)))
    frequency[0, 0] = np.inf
    tile = np.fft.ifft2(np.fft.fft2(white) * frequency**-slope).real
    return (tile / tile.std()).astype(np.float32)


def noise(rng: np.random.Generator, slope: float, stretch: tuple[float, float] = (1, 1)) -> Float64:
    """(S, S) periodic noise of unit spread, drawn out up and along by ``stretch``."""
    white = rng.standard_normal((SIZE, SIZE))
    rows, columns = np.meshgrid(np.fft.fftfreq(SIZE), np.fft.fftfreq(SIZE), indexing="ij")
    frequency = np.hypot(stretch[0] * rows, stretch[1] * columns)
    frequency = np.maximum(frequency, 1 / SIZE) ** -slope
    frequency[0, 0] = 0
    tile = np.fft.ifft2(np.fft.fft2(white) * frequency).real
    return tile / tile.std()


def grid() -> tuple[Float64, Float64]:
    """Row and column of every texel as shares of the tile."""
    axis = (np.arange(SIZE) + 0.5) / SIZE
    rows, columns = np.meshgrid(axis, axis, indexing="ij")
    return rows, columns
