"""What the pixels of an image show: surfaces, their normals, and their painted colours.

Shape letters: V vertices, F triangles, M materials, T texels, S x S noise.
"""

from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from lidistill.compiled import compiled_exactly
from lidistill.sim.pixels import Pixels, Triple
from lidistill.sim.raster import Vector, cross

Float32: TypeAlias = NDArray[np.float32]
Int32: TypeAlias = NDArray[np.int32]
Int64: TypeAlias = NDArray[np.int64]

_ONE, _NOTHING = np.float32(1), np.float32(0)
_STAIN_M = 23.0  # after which the noise of the stains repeats
_STAIN_LEAST, _WHITE = np.float32(0.3), np.float32(0.85 / 128)
_SLANT_LEAST = np.float32(0.1)
_SHARP = 1.42  # most texels that a pixel may span


class Surfaces(NamedTuple):
    """The triangles of a layer."""

    vertices: Float32
    """(V, 3) metres, street frame."""
    faces: Int32
    """(F, 3)"""
    normals: Float32
    """(F, 3, 3) unit normal at every corner."""
    color: Float32
    """(F, 3) linear."""
    material: NDArray[np.uint8]
    """(F,)"""


class Paints(NamedTuple):
    """What materials do to light; see ``materials.Material``."""

    gloss: Float32
    through: Float32
    stain: Float32
    span: Float32
    pattern: Int32
    """All (M,)."""
    texels: NDArray[np.uint8]
    """(T, 3) see ``textures.texels``."""
    start: Int64
    """(levels,) first texel of the patterns at every size; each halves the one before."""
    size: int
    """Of the patterns at full size, texels; a power of two."""
    noise: Float32
    """(S, S) periodic; S is a power of two."""


@compiled_exactly
def orient(surfaces: Surfaces, pixels: Pixels, num: int) -> None:
    """Unit normals on the eye's side, smooth over the triangles of round bodies."""
    normals, face, way, axis = surfaces.normals, pixels.face, pixels.way, pixels.axis
    normal, point = pixels.normal, pixels.point
    last, is_flat, facing = -1, True, np.uint32(0)
    origin = along = across = flat = (_NOTHING, _NOTHING, _NOTHING)
    a = ab = ac = flat
    for p in range(num):
        i = face[p]
        if i != last:  # it shows another triangle than its neighbour
            last, is_flat = i, _is_flat(normals, i)
            a = (normals[i, 0, 0], normals[i, 0, 1], normals[i, 0, 2])
            flat = a
            if not is_flat:
                origin, along, across, flat = _shares(surfaces, i)
            if flat[0] * way[0, p] + flat[1] * way[1, p] + flat[2] * way[2, p] > _NOTHING:
                a = (-a[0], -a[1], -a[2])
                ab, ac = _change(normals, i, 1, -_ONE), _change(normals, i, 2, -_ONE)
            else:
                ab, ac = _change(normals, i, 1, _ONE), _change(normals, i, 2, _ONE)
            facing = _facing(flat)
        axis[p] = facing
        if is_flat:
            normal[0, p], normal[1, p], normal[2, p] = a
        else:
            x, y, z = point[0, p] - origin[0], point[1, p] - origin[1], point[2, p] - origin[2]
            s = x * along[0] + y * along[1] + z * along[2]
            t = x * across[0] + y * across[1] + z * across[2]
            x, y, z = a[0] + s * ab[0], a[1] + s * ab[1], a[2] + s * ab[2]
            x, y, z = x + t * ac[0], y + t * ac[1], z + t * ac[2]
            shorter = _ONE / np.sqrt(x * x + y * y + z * z + np.float32(1e-30))
            normal[0, p], normal[1, p], normal[2, p] = x * shorter, y * shorter, z * shorter


@compiled_exactly
def _is_flat(normals: Float32, i: int) -> bool:
    for k in range(3):
        if normals[i, 0, k] != normals[i, 1, k] or normals[i, 0, k] != normals[i, 2, k]:
            return False
    return True


@compiled_exactly
def _change(normals: Float32, i: int, corner: int, sign: np.float32) -> Triple:
    """From the normal at a triangle's first corner to that at another one."""
    return (
        sign * (normals[i, corner, 0] - normals[i, 0, 0]),
        sign * (normals[i, corner, 1] - normals[i, 0, 1]),
        sign * (normals[i, corner, 2] - normals[i, 0, 2]),
    )


@compiled_exactly
def _facing(flat: Triple) -> np.uint32:
    """Axis that a normal of any length belongs to; roofs that are not steep count as level."""
    square = flat[0] * flat[0] + flat[1] * flat[1]
    if flat[2] * flat[2] >= np.float32(1.8) * square:
        return np.uint32(2)
    return np.uint32(1) if abs(flat[1]) >= abs(flat[0]) else np.uint32(0)


@compiled_exactly
def _shares(surfaces: Surfaces, i: int) -> tuple[Triple, Triple, Triple, Triple]:
    """How to find where in a triangle a point lies.

    A point's dot products with ``along`` and ``across`` are its shares of the second and the third
    corner.

    Returns:
        First corner, ``along`` and ``across``, and the flat triangle's normal, of any length.
    """
    vertices, faces = surfaces.vertices, surfaces.faces
    a, b, c = vertices[faces[i, 0]], vertices[faces[i, 1]], vertices[faces[i, 2]]
    ab = (float(b[0] - a[0]), float(b[1] - a[1]), float(b[2] - a[2]))
    ac = (float(c[0] - a[0]), float(c[1] - a[1]), float(c[2] - a[2]))
    normal = cross(ab, ac)
    square = normal[0] ** 2 + normal[1] ** 2 + normal[2] ** 2
    scale = 1 / square if square > 0 else 0.0
    origin = (a[0], a[1], a[2])
    along, across = _scaled(cross(ac, normal), scale), _scaled(cross(normal, ab), scale)
    return origin, along, across, _scaled(normal, np.sqrt(scale))


@compiled_exactly
def _scaled(vector: Vector, scale: float) -> Triple:
    return (
        np.float32(scale * vector[0]),
        np.float32(scale * vector[1]),
        np.float32(scale * vector[2]),
    )


@compiled_exactly
def paint(
    surfaces: Surfaces, paints: Paints, pixels: Pixels, num: int, pixel_angle: float
) -> None:  # fmt: skip
    """Own colour with its pattern, from the level whose texels are as large as a pixel there."""
    texels, noise, color, point = paints.texels, paints.noise, pixels.color, pixels.point
    way, normal, distance, face = pixels.way, pixels.normal, pixels.distance, pixels.face
    own, material_of, axis_of = surfaces.color, surfaces.material, pixels.axis
    spread = pixels.lit  # square of a pixel's width on the surface, for now
    for p in range(num):
        slant = normal[0, p] * way[0, p] + normal[1, p] * way[1, p] + normal[2, p] * way[2, p]
        spread[p] = distance[p] * distance[p] / max(-slant, _SLANT_LEAST)
    mask = len(noise) - 1
    per_stain = np.float32((mask + 1) / _STAIN_M)
    per_size = _ONE / np.float32(paints.size)
    coarsest = len(paints.start) - 1
    last, pattern, white = -1, 0, (_NOTHING, _NOTHING, _NOTHING)
    across = up = np.uint64(0)
    stained = per_metre = wide = _NOTHING
    for p in range(num):
        i = face[p]
        if i != last:  # it shows another triangle than its neighbour
            last, material = i, material_of[i]
            pattern, stained = paints.pattern[material], paints.stain[material]
            per_metre = np.float32(paints.size / paints.span[material])
            wide = np.float32(pixel_angle / _SHARP) * per_metre
            wide *= wide
            across = np.uint64(1 if axis_of[p] == 0 else 0)
            up = np.uint64(1 if axis_of[p] == 2 else 2)
            white = (_WHITE * own[i, 0], _WHITE * own[i, 1], _WHITE * own[i, 2])
        u, v = point[across, p], point[up, p]
        # The exponent of a float says how often the square halves: no loop over levels to predict.
        halvings = int(np.float32(wide * spread[p]).view(np.int32) >> 23) - 127
        level = min(max((halvings + 2) >> 1, 0), coarsest)
        size = paints.size >> level
        start = paints.start[level]
        finer = per_metre * np.float32(size) * per_size
        row = int(np.floor(v * finer)) & (size - 1)
        column = int(np.floor(u * finer)) & (size - 1)
        texel = np.uint64(start + (pattern * size + row) * size + column)
        patch = noise[int(np.floor(v * per_stain)) & mask, int(np.floor(u * per_stain)) & mask]
        stain = max(_STAIN_LEAST, _ONE + stained * patch)
        color[0, p] = stain * np.float32(texels[texel, 0]) * white[0]
        color[1, p] = stain * np.float32(texels[texel, 1]) * white[1]
        color[2, p] = stain * np.float32(texels[texel, 2]) * white[2]
