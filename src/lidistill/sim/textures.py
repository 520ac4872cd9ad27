"""Painted patterns: small images that repeat over surfaces, made from noise.

A pattern multiplies a surface's own colour; its mean is 1, so that far surfaces keep theirs.
Shape letters: P patterns, S x S texels of a tile (row 0 at the bottom of a wall).
"""

from collections.abc import Callable
from functools import cache

import numpy as np
from numpy.typing import NDArray

from lidistill.sim.texture_noise import SIZE, Float64, grid, noise

_SEED = 2026


def _grey(tile: Float64) -> Float64:
    return np.repeat(tile[:, :, None], 3, axis=2)


def _plain(rng: np.random.Generator) -> Float64:
    return _grey(1 + 0.015 * noise(rng, 0.5))


def _asphalt(rng: np.random.Generator) -> Float64:
    stones = noise(rng, 0.25)
    tile = 1 + 0.13 * stones + 0.22 * (stones > 2.1) - 0.2 * (stones < -1.9)
    tile += 0.05 * noise(rng, 1.0)
    crack = np.abs(noise(rng, 1.6)) < 0.018
    tile -= 0.35 * crack * (noise(rng, 1.8) > 0.4)
    warm = 0.02 * noise(rng, 1.2)
    return tile[:, :, None] * (1 + warm[:, :, None] * np.array([1.0, 0.0, -1.0]))


def _marking(rng: np.random.Generator) -> Float64:
    worn = np.clip(1.5 + noise(rng, 0.8), 0, 1)
    return _grey(0.55 + 0.45 * worn + 0.04 * noise(rng, 0.3))


def _concrete(rng: np.random.Generator) -> Float64:
    rows, columns = grid()
    tile = 1 + 0.05 * noise(rng, 0.4) + 0.05 * noise(rng, 1.2) - 0.15 * (noise(rng, 0.2) > 2.7)
    slab = (rows > 0.5).astype(int) * 2 + (columns > 0.5)
    tile *= np.array([1.0, 0.93, 0.96, 1.05])[slab]
    joint = (np.abs((2 * rows) % 1 - 0.5) > 0.487) | (np.abs((2 * columns) % 1 - 0.5) > 0.487)
    return _grey(np.where(joint, 0.62, tile))


def _courses(
    rows: int, columns: int, stagger: float, rng: np.random.Generator
) -> tuple[Float64, Float64, Float64]:
    """Place within its stone (0 to 1, up and along), and a number of unit spread for each stone."""
    v, u = grid()
    row = np.floor(v * rows)
    along = u * columns + stagger * (row % 2)
    values = rng.standard_normal((rows, columns))
    each = values[row.astype(int), np.floor(along).astype(int) % columns]
    return (v * rows) % 1, along % 1, each


def _brick(rng: np.random.Generator) -> Float64:
    up, along, each = _courses(20, 8, 0.5, rng)
    mortar = (up < 0.13) | (along < 0.05)
    tone = 1 + 0.14 * each + 0.1 * noise(rng, 0.6) + 0.12 * (up - 0.5)
    hue = 0.07 * np.roll(each, 97, axis=1)
    brick = tone[:, :, None] * (1 + hue[:, :, None] * np.array([0.3, 1.0, 1.2]))
    grey = np.array([1.15, 1.75, 2.0]) * (0.8 + 0.05 * noise(rng, 0.5))[:, :, None]
    return np.where(mortar[:, :, None], grey, brick)


def _stucco(rng: np.random.Generator) -> Float64:
    bumps = noise(rng, 0.7)
    relief = bumps - np.roll(bumps, 1, axis=0)
    return _grey(1 + 0.07 * relief + 0.04 * noise(rng, 1.5, (7, 1)))


def _panel(rng: np.random.Generator) -> Float64:
    up, along, each = _courses(3, 2, 0.0, rng)
    joint = (up < 0.02) | (along < 0.014)
    tile = 1 + 0.05 * each + 0.03 * noise(rng, 1.3, (10, 1))
    return _grey(np.where(joint, 0.5, tile))


def _siding(rng: np.random.Generator) -> Float64:
    up, _, each = _courses(12, 1, 0.0, rng)
    board = 1 + 0.03 * each + 0.05 * noise(rng, 0.9, (1, 20)) + 0.06 * (up - 0.5)
    return _grey(np.where(up < 0.13, 0.55 + 2.0 * up, board))


def _corrugated(rng: np.random.Generator) -> Float64:
    _, columns = grid()
    wave = np.sin(2 * np.pi * 10 * columns)
    rust = np.clip(noise(rng, 1.3, (8, 1)) - 1.3, 0, 1)[:, :, None]
    return _grey(1 + 0.2 * wave) * (1 - rust * np.array([0.1, 0.3, 0.45]))


def _shingle(rng: np.random.Generator) -> Float64:
    up, along, each = _courses(10, 8, 0.5, rng)
    edge = (up < 0.12) | (along < 0.05)
    tile = 1 + 0.16 * each + 0.1 * noise(rng, 0.5) + 0.2 * (up - 0.5)
    return _grey(np.where(edge, 0.55, tile))


def _leaf(rng: np.random.Generator) -> Float64:
    """Overlapping small leaves: light ones on top, dark gaps between, some of them yellowish."""
    v, u = grid()
    tile = np.full((SIZE, SIZE, 3), 0.35)
    for light in np.linspace(0.45, 1.5, 280):
        middle, turn = rng.uniform(0, 1, 2), rng.uniform(0, np.pi)
        dv, du = (v - middle[0] + 0.5) % 1 - 0.5, (u - middle[1] + 0.5) % 1 - 0.5
        along = du * np.cos(turn) + dv * np.sin(turn)
        across = dv * np.cos(turn) - du * np.sin(turn)
        inside = (along / 0.075) ** 2 + (across / 0.034) ** 2 < 1
        hue = 1 + 0.09 * rng.standard_normal() * np.array([1.0, 0.3, -0.6])
        vein = 1 - 0.2 * (np.abs(across[inside]) < 0.004)
        tile[inside] = light * hue * vein[:, None]
    return tile


def _bark(rng: np.random.Generator) -> Float64:
    ridges = noise(rng, 0.9, (5, 1))
    return _grey(1 + 0.2 * ridges - 0.25 * (ridges < -1.2))


def _grass(rng: np.random.Generator) -> Float64:
    blades = sum(noise(rng, 0.8, stretch) for stretch in ((4, 1), (1, 4), (1.5, 1.5)))
    tile = 1 + 0.12 * blades + 0.12 * noise(rng, 1.2)
    dry = 0.1 * noise(rng, 1.0)[:, :, None] * np.array([1.0, 0.35, 0.2])
    return np.clip(tile, 0.25, 2)[:, :, None] * (1 + dry)


def _soil(rng: np.random.Generator) -> Float64:
    stones = noise(rng, 0.5)
    return _grey(1 + 0.16 * stones + 0.1 * noise(rng, 1.2) + 0.3 * (stones > 2))


def _cloth(rng: np.random.Generator) -> Float64:
    folds = noise(rng, 1.5, (2.5, 1))
    return _grey(1 + 0.16 * folds + 0.05 * noise(rng, 0.2))


def _grain(rng: np.random.Generator) -> Float64:
    return _grey(1 + 0.06 * noise(rng, 0.6) + 0.04 * noise(rng, 1.2))


def _planks(rng: np.random.Generator) -> Float64:
    _, along, each = _courses(1, 8, 0.0, rng)
    wood = 1 + 0.1 * each + 0.12 * noise(rng, 0.9, (16, 1))
    return _grey(np.where(along < 0.06, 0.45, wood))


PATTERNS: dict[str, Callable[[np.random.Generator], Float64]] = {
    "plain": _plain,
    "asphalt": _asphalt,
    "marking": _marking,
    "concrete": _concrete,
    "brick": _brick,
    "stucco": _stucco,
    "panel": _panel,
    "siding": _siding,
    "corrugated": _corrugated,
    "shingle": _shingle,
    "leaf": _leaf,
    "bark": _bark,
    "grass": _grass,
    "soil": _soil,
    "cloth": _cloth,
    "grain": _grain,
    "planks": _planks,
}


@cache
def texels() -> NDArray[np.uint8]:
    """(T, 3) brightness factors times 128.

    First all patterns at full size, (P, S, S, 3) row by row, then at half of it, down to 1 x 1.
    """
    painted = []
    for number, paint in enumerate(PATTERNS.values()):
        tile = paint(np.random.default_rng((_SEED, number)))
        painted.append(np.clip(tile / tile.mean(axis=(0, 1)), 0, 255 / 128))
    levels = [np.stack(painted)]
    while levels[-1].shape[1] > 1:
        rows = levels[-1][:, 0::2] + levels[-1][:, 1::2]
        levels.append((rows[:, :, 0::2] + rows[:, :, 1::2]) / 4)
    return np.concatenate([np.round(128 * x).astype(np.uint8).reshape(-1, 3) for x in levels])
