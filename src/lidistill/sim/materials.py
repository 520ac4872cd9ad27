"""What surfaces are made of: how they look to a camera and how they answer a laser.

Shape letters: M materials.
"""

from dataclasses import dataclass, fields
from functools import cache
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from lidistill.sim.textures import PATTERNS

Float32: TypeAlias = NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True)
class Material:
    """Optical properties."""

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
    pattern: str = "plain"
    """Key of ``textures.PATTERNS``."""
    span: float = 1.0
    """Width and height of the pattern, metres; it repeats beyond."""
    stain: float = 0.0
    """Contrast of large stains and patches."""
    through: float = 0.0
    """Light that shines through from behind (leaves)."""


MATERIALS: dict[str, Material] = {
    "paint": Material(reflectance=0.3, tint=0.9, gloss=0.05, stain=0.02),
    "glass": Material(reflectance=0.1, gloss=0.09, clear=0.85),
    "rubber": Material(reflectance=0.06, tint=0.0, pattern="grain"),
    "metal": Material(reflectance=0.35, gloss=0.06, pattern="grain", stain=0.04),
    "plastic": Material(reflectance=0.3, gloss=0.01),
    "dark": Material(reflectance=0.03, tint=0.0),
    "asphalt": Material(reflectance=0.17, tint=0.3, pattern="asphalt", span=2.7, stain=0.12),
    "marking": Material(reflectance=0.42, retro=0.04, pattern="marking", span=1.7, stain=0.08),
    "concrete": Material(reflectance=0.34, pattern="concrete", span=3.0, stain=0.09),
    "curb": Material(reflectance=0.32, pattern="grain", stain=0.07),
    "brick": Material(reflectance=0.38, pattern="brick", span=2.24, stain=0.07),
    "stucco": Material(reflectance=0.42, pattern="stucco", span=3.1, stain=0.07),
    "panel": Material(reflectance=0.36, gloss=0.01, pattern="panel", span=4.8, stain=0.05),
    "siding": Material(reflectance=0.42, pattern="siding", span=2.4, stain=0.04),
    "corrugated": Material(
        reflectance=0.34, gloss=0.01, pattern="corrugated", span=3.5, stain=0.06
    ),
    "shingle": Material(reflectance=0.2, pattern="shingle", span=3.0, stain=0.05),
    "leaf": Material(reflectance=0.5, tint=0.3, pattern="leaf", span=0.9, stain=0.06, through=0.55),
    "bark": Material(reflectance=0.28, pattern="bark", span=0.8),
    "wood": Material(reflectance=0.32, pattern="planks", span=1.2),
    "grass": Material(reflectance=0.4, tint=0.3, pattern="grass", span=1.6, stain=0.13),
    "soil": Material(reflectance=0.25, tint=0.3, pattern="soil", span=2.3, stain=0.16),
    "cloth": Material(reflectance=0.3, pattern="cloth", span=0.8),
    "skin": Material(reflectance=0.35),
    "sign": Material(reflectance=0.5, retro=0.8, gloss=0.01),
}


@cache
def material_table() -> dict[str, Float32]:
    """(M,) values of every number in ``Material``, in the order of ``MATERIALS``."""
    return {
        field.name: np.array(
            [getattr(material, field.name) for material in MATERIALS.values()], dtype=np.float32
        )
        for field in fields(Material)
        if field.type is float
    }


def pattern_numbers() -> NDArray[np.int32]:
    """(M,) position of each material's pattern in ``PATTERNS``."""
    names = list(PATTERNS)
    return np.array([names.index(m.pattern) for m in MATERIALS.values()], dtype=np.int32)
