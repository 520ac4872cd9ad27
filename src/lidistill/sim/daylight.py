"""The light over a street: sun, sky, what throws shadows, and what hides the sky.

Shape letters: N directions, S x S sky table, H x W map, L blur levels.
"""

from functools import lru_cache
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from lidistill.compiled import compiled_exactly
from lidistill.sim.layout import Sky
from lidistill.sim.raster import draw_from_above
from lidistill.sim.raycast import Layer
from lidistill.sim.texture_noise import noise_tile

Float32: TypeAlias = NDArray[np.float32]
Float64: TypeAlias = NDArray[np.float64]

_SHADOW_TEXEL, _HEIGHT_TEXEL = 0.07, 0.25
_BLURS = (2, 8, 24)
"""Radii of the blurred height maps, texels."""
_EMPTY = -1e6
_ONE_TEXEL = np.array([[0.0, 0, 0, 1], [0, 0, 0, 1], [0, 0, 0, 0]])
"""Moves the first texel of a map by one row and one column."""
_SKY_SIZE = 768
_MAX_TEXELS = 2.5e7


class HeightMap(NamedTuple):
    """The highest surfaces seen along parallel rays."""

    height: Float32
    """(H, W) metres along the rays; very low where nothing is."""
    frame: Float64
    """(3, 4) street to column, row and height."""


class Shade(NamedTuple):
    """What one layer of a world keeps away from surfaces."""

    sun: HeightMap
    """Seen from the sun."""
    cover: Float32
    """(H, W, L) heights over the ground plane, seen from above and averaged over ``_BLURS``.

    Its outermost rows and columns are empty: they stand for all that lies beyond."""
    cover_frame: Float64
    """(3, 4) street to column, row and height of ``cover``."""


@lru_cache(maxsize=3)
def shade_of(layer: Layer, sky: Sky) -> Shade:
    """Shadow and cover of a layer, kept for the next image of the same moment."""
    sun = _map(layer, _axes(sky.to_sun), _SHADOW_TEXEL)
    top = _map(layer, np.eye(3), _HEIGHT_TEXEL)
    ground = np.maximum(top.height, np.float32(layer.vertices[:, 2].min()))
    cover = np.stack([_box_blur(ground, radius) for radius in _BLURS], axis=2)
    cover = np.pad(cover, ((1, 1), (1, 1), (0, 0)), constant_values=_EMPTY)
    return Shade(sun=sun, cover=cover, cover_frame=top.frame + _ONE_TEXEL)


def no_shade() -> Shade:
    """The shade of nothing."""
    empty = HeightMap(height=np.empty((0, 0), dtype=np.float32), frame=np.zeros((3, 4)))
    cover = np.full((1, 1, len(_BLURS)), _EMPTY, dtype=np.float32)
    return Shade(sun=empty, cover=cover, cover_frame=np.zeros((3, 4)))


def _axes(up: Float64) -> Float64:
    """(3, 3) orthonormal rows, the last one along ``up``."""
    side = np.cross([0.0, 1.0, 0.0] if abs(up[1]) < 0.9 else [1.0, 0.0, 0.0], up)
    side /= np.linalg.norm(side)
    return np.stack([side, np.cross(up, side), up])


def _map(layer: Layer, axes: Float64, texel: float) -> HeightMap:
    turned = layer.vertices @ axes.T.astype(np.float32)
    low, high = turned[:, :2].min(axis=0), turned[:, :2].max(axis=0)
    area = float(np.prod(high - low))
    texel = max(texel, float(np.sqrt(area / _MAX_TEXELS)))
    width, rows = (int(n) + 3 for n in (high - low) / texel)
    scale = np.array([1 / texel, 1 / texel, 1.0])
    shift = np.array([1 - low[0] / texel, 1 - low[1] / texel, 0.0])
    frame = np.concatenate([scale[:, None] * axes, shift[:, None]], axis=1)
    height = np.full((rows, width), _EMPTY, dtype=np.float32)
    draw_from_above(layer.vertices, layer.mesh.faces, frame, height)
    return HeightMap(height=height, frame=frame)


@compiled_exactly
def _box_blur(values: Float32, radius: int) -> Float32:
    """(H, W) mean over squares of 2 radius + 1 texels, taken twice; edges are repeated."""
    for _ in range(4):
        rows, columns = values.shape
        turned = np.empty((columns, rows), dtype=np.float32)
        for column in range(columns):
            total = 0.0
            for row in range(-radius - 1, radius):
                total += values[min(max(row, 0), rows - 1), column]
            for row in range(rows):
                total += values[min(row + radius, rows - 1), column]
                total -= values[max(row - radius - 1, 0), column]
                turned[column, row] = total / (2 * radius + 1)
        values = turned
    return values


def sun_color(sky: Sky) -> Float32:
    """(3,) light of the sun."""
    neutral, evening = np.array([1.0, 0.96, 0.88]), np.array([1.0, 0.8, 0.58])
    strength = 3.4 - 1.6 * sky.clouds
    return (strength * (neutral + sky.warmth * (evening - neutral))).astype(np.float32)


def horizon_color(sky: Sky) -> Float32:
    """(3,) light from the horizon, which also dims what is far."""
    clear, evening = np.array([0.66, 0.76, 0.88]), np.array([0.85, 0.72, 0.6])
    return (clear + 0.5 * sky.warmth * (evening - clear)).astype(np.float32)


@lru_cache(maxsize=2)
def sky_table(sky: Sky) -> Float32:
    """(S, S, 3) light of the upper half of the sky.

    A direction (x, y, z) is found at x / (1 + z) and y / (1 + z), which run from -1 to 1.
    """
    axis = (np.arange(_SKY_SIZE, dtype=np.float32) + 0.5) * np.float32(2 / _SKY_SIZE) - 1
    x, y = np.meshgrid(axis, axis)
    square = np.minimum(x * x + y * y, 1)
    share = 2 / (1 + square)
    directions = np.stack([share * x, share * y, share - 1], axis=-1).reshape(-1, 3)
    return sky_light(directions, sky).reshape(_SKY_SIZE, _SKY_SIZE, 3)


def sky_light(direction: Float32, sky: Sky) -> Float32:
    """(N, 3) light from (N, 3) directions above the horizon: gradient, clouds, glow of the sun."""
    up = np.clip(direction[:, 2], 0, 1)
    zenith = np.array([0.2, 0.4, 0.85], dtype=np.float32)
    horizon = horizon_color(sky)
    light = horizon + np.sqrt(up)[:, None] * (zenith - horizon)
    reach = np.float32(12) / (up + np.float32(0.12))
    u = direction[:, 0] * reach + np.float32(sky.drift[0])
    v = direction[:, 1] * reach + np.float32(sky.drift[1])
    cover = _clouds(u, v, 260.0) + np.float32(2.6 * sky.clouds - 1.3)
    cover = np.clip(0.5 + 1.1 * cover, 0, 1)[:, None] * np.clip(up * 9, 0, 1)[:, None]
    toward = np.clip(direction @ sky.to_sun.astype(np.float32), 0, 1)[:, None]
    depth = np.float32(0.16) * _clouds(u + 7, v + 3, 120.0)[:, None]
    white = np.array([0.95, 0.95, 0.97], dtype=np.float32) * (0.82 + depth + 0.5 * toward**4)
    light += np.float32(0.85) * cover * (white - light)
    glow = np.float32(0.5) * toward**24 + np.float32(2.5) * toward**600
    return (light + glow * sun_color(sky) * np.float32(0.5)).astype(np.float32)


def _clouds(u: Float32, v: Float32, period: float) -> Float32:
    """(N,) cloud noise that repeats after ``period`` in both directions."""
    tile = noise_tile(1.5)
    scale = np.float32(len(tile) / period)
    columns = (u * scale).astype(np.int32) % len(tile)
    rows = (v * scale).astype(np.int32) % len(tile)
    return tile[rows, columns]
