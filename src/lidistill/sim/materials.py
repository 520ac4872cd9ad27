"""What surfaces are made of: how they look to a camera and how they answer a laser.

Shape letters: N surface points.
"""

from dataclasses import dataclass, fields
from functools import cache
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Float32: TypeAlias = NDArray[np.float32]

_TILE = 512


@dataclass(frozen=True, slots=True, kw_only=True)
class Material:
    """Optical properties; patterns are painted by position in the street."""

    reflectance: float
    """Share of laser light sent back by a white surface of this kind."""
    tint: float = 0.5
    """How much the colour's brightness changes the reflectance, 0 to 1."""
    gloss: float = 0.0
    """Mirror reflection seen head-on; more at grazing angles."""
    clear: float = 0.0
    """Share of laser pulses that pass through or away and do not come back."""
    retro: float = 0.0
    """Share of light sent straight back, whatever the angle."""
    fine: float = 0.0
    """Contrast of the small grain, period 2 m."""
    coarse: float = 0.0
    """Contrast of stains and patches, period 23 m."""
    joint_u: float = 1e6
    """Distance of vertical joints on walls, of cross joints on floors, metres."""
    joint_v: float = 1e6
    """Distance of horizontal joints on walls, of long joints on floors, metres."""
    joint_width: float = 0.0
    """Width of the joints, metres."""
    joint_shade: float = 1.0
    """Brightness of a joint relative to the surface."""
    stagger: float = 0.0
    """Shift of every second row by this share of ``joint_u``."""
    through: float = 0.0
    """Light that shines through from behind (leaves)."""


MATERIALS: dict[str, Material] = {
    "paint": Material(reflectance=0.3, tint=0.9, gloss=0.05, coarse=0.02),
    "glass": Material(reflectance=0.1, gloss=0.09, clear=0.85),
    "rubber": Material(reflectance=0.06, tint=0.0, fine=0.05),
    "metal": Material(reflectance=0.35, gloss=0.06, fine=0.04),
    "plastic": Material(reflectance=0.3, gloss=0.01, fine=0.03),
    "dark": Material(reflectance=0.03, tint=0.0),
    "asphalt": Material(reflectance=0.17, tint=0.3, fine=0.13, coarse=0.12),
    "marking": Material(reflectance=0.42, retro=0.04, fine=0.12, coarse=0.12),
    "concrete": Material(
        reflectance=0.34, fine=0.07, coarse=0.09,
        joint_u=1.5, joint_v=1.5, joint_width=0.03, joint_shade=0.6,
    ),
    "curb": Material(reflectance=0.32, fine=0.08, coarse=0.05),
    "brick": Material(
        reflectance=0.38, fine=0.14, coarse=0.06,
        joint_u=0.28, joint_v=0.11, joint_width=0.022, joint_shade=1.35, stagger=0.5,
    ),
    "stucco": Material(reflectance=0.42, fine=0.04, coarse=0.07),
    "panel": Material(
        reflectance=0.36, gloss=0.01, coarse=0.05,
        joint_u=2.4, joint_v=1.6, joint_width=0.04, joint_shade=0.55,
    ),
    "siding": Material(
        reflectance=0.42, fine=0.03, coarse=0.04, joint_v=0.22, joint_width=0.04, joint_shade=0.7,
    ),
    "corrugated": Material(
        reflectance=0.34, gloss=0.01, coarse=0.06,
        joint_u=0.35, joint_width=0.14, joint_shade=0.8,
    ),
    "shingle": Material(
        reflectance=0.2, fine=0.12, coarse=0.05,
        joint_u=0.5, joint_v=0.3, joint_width=0.04, joint_shade=0.75, stagger=0.5,
    ),
    "leaf": Material(reflectance=0.5, tint=0.3, fine=0.15, through=0.55),
    "bark": Material(reflectance=0.28, fine=0.25),
    "grass": Material(reflectance=0.4, tint=0.3, fine=0.24, coarse=0.13),
    "soil": Material(reflectance=0.25, tint=0.3, fine=0.14, coarse=0.16),
    "cloth": Material(reflectance=0.3, fine=0.08),
    "skin": Material(reflectance=0.35),
    "sign": Material(reflectance=0.5, retro=0.8, gloss=0.01),
}  # fmt: skip


@cache
def material_table() -> dict[str, Float32]:
    """(number of materials,) values of every property, in the order of ``MATERIALS``."""
    return {
        field.name: np.array(
            [getattr(material, field.name) for material in MATERIALS.values()], dtype=np.float32
        )
        for field in fields(Material)
    }


@cache
def noise_tile(slope: float = 1.1) -> Float32:
    """(512, 512) periodic noise of zero mean and unit spread whose amplitude falls as f^-slope."""
    white = np.random.default_rng(512).standard_normal((_TILE, _TILE))
    frequency = np.hypot(*np.meshgrid(np.fft.fftfreq(_TILE), np.fft.fftfreq(_TILE)))
    frequency[0, 0] = np.inf
    tile = np.fft.ifft2(np.fft.fft2(white) * frequency**-slope).real
    return (tile / tile.std()).astype(np.float32)


def noise(u: Float32, v: Float32, period: float, *, slope: float = 1.1) -> Float32:
    """(N,) noise that repeats after ``period`` in both directions."""
    scale = np.float32(_TILE / period)
    columns = (u * scale).astype(np.int32) & (_TILE - 1)
    rows = (v * scale).astype(np.int32) & (_TILE - 1)
    return noise_tile(slope)[rows, columns]


def texture(
    position: Float32, normal: Float32, material: NDArray[np.uint8], footprint: Float32
) -> Float32:
    """(N,) brightness factor of the pattern at surface points.

    Args:
        position: (N, 3) metres in the street.
        normal: (N, 3) unit normals.
        material: (N,) positions in ``MATERIALS``.
        footprint: (N,) width of a pixel there, metres; finer detail fades out.
    """
    table = material_table()
    x, y, z = position.T
    floor = np.abs(normal[:, 2]) > 0.6
    along_x = np.abs(normal[:, 1]) >= np.abs(normal[:, 0])
    u = np.where(floor | along_x, x, y)
    v = np.where(floor, y, z)
    keep = np.float32(1) / (1 + np.square(8 * footprint))
    fine = table["fine"][material] * keep * noise(u, v, 2.0, slope=0.7)
    coarse = table["coarse"][material] * noise(u, v, 23.0)
    factor = np.clip(1 + fine + coarse, 0.3, 1.7)
    joints = np.flatnonzero(table["joint_width"][material] > 0)
    factor[joints] *= _joints(u[joints], v[joints], material[joints], footprint[joints])
    return factor


def _joints(u: Float32, v: Float32, material: NDArray[np.uint8], footprint: Float32) -> Float32:
    table = material_table()
    width, shade = table["joint_width"][material], table["joint_shade"][material]
    joint_u, joint_v = table["joint_u"][material], table["joint_v"][material]
    row = np.floor(v / joint_v)
    shifted = u / joint_u + table["stagger"][material] * (row % 2)
    in_joint = ((shifted % 1) * joint_u < width) | ((v / joint_v) % 1 * joint_v < width)
    period = np.minimum(joint_u, joint_v)
    visible = np.clip(1.4 - 2 * footprint / period, 0, 1)
    mean_shade = 1 + (shade - 1) * (width / period)
    per_brick = 1 + 0.08 * np.sin(37.7 * np.floor(shifted) + 91.3 * row) * (period < 0.4)
    sharp = np.where(in_joint, shade, per_brick)
    return (visible * sharp + (1 - visible) * mean_shade).astype(np.float32)
