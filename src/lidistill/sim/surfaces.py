"""What the pixels of a picture show: surfaces, their normals, and their painted colours.

Shape letters: V vertices, F triangles, M materials, T texels, S x S noise, W pixels of a row,
H x W picture.
"""

from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from lidistill.sim.compiled import compiled
from lidistill.sim.raster import Vector, cross

Float32: TypeAlias = NDArray[np.float32]
Float64: TypeAlias = NDArray[np.float64]
Int32: TypeAlias = NDArray[np.int32]


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
    num_patterns: int
    size: int
    """Of the patterns at full size, texels; a power of two."""
    noise: Float32
    """(S, S) periodic; S is a power of two."""


class Pixels(NamedTuple):
    """The pixels of one row that show a layer, W of them at most."""

    column: Int32
    face: Int32
    way: Float32
    """(W, 3) unit directions, street frame."""
    distance: Float32
    """Along ``way``, metres."""
    point: Float32
    """(W, 3) metres, street frame."""
    normal: Float32
    """(W, 3) unit, on the eye's side."""
    axis: Int32
    """Which axis the flat triangle faces most; 2 is up or down."""
    color: Float32
    """(W, 3) own colour of the surface, with its pattern."""
    lit: Float32
    """Share of the sun."""
    free: Float32
    """Share of the sky."""


class Seen(NamedTuple):
    """What a camera sees where."""

    pose: Float64
    """(3, 4) camera to street."""
    lens: Float64
    """(4,) fx, fy, cx, cy."""
    closeness: Float32
    """(H, W) inverse depth."""
    face: Int32
    """(H, W) triangle, -1 in the sky."""


@compiled
def no_pixels(width: int) -> Pixels:
    """Room for the pixels of one row, to be filled by ``find``."""
    return Pixels(
        column=np.empty(width, dtype=np.int32),
        face=np.empty(width, dtype=np.int32),
        way=np.empty((width, 3), dtype=np.float32),
        distance=np.empty(width, dtype=np.float32),
        point=np.empty((width, 3), dtype=np.float32),
        normal=np.empty((width, 3), dtype=np.float32),
        axis=np.empty(width, dtype=np.int32),
        color=np.empty((width, 3), dtype=np.float32),
        lit=np.empty(width, dtype=np.float32),
        free=np.empty(width, dtype=np.float32),
    )


@compiled
def direction(seen: Seen, row: int, column: int) -> tuple[Vector, float]:
    """Ray through the middle of a pixel, one metre deep, street frame, and its length."""
    lens, p = seen.lens, seen.pose
    x = (column + 0.5 - lens[2]) / lens[0]
    y = (row + 0.5 - lens[3]) / lens[1]
    way = (
        p[0, 0] * x + p[0, 1] * y + p[0, 2],
        p[1, 0] * x + p[1, 1] * y + p[1, 2],
        p[2, 0] * x + p[2, 1] * y + p[2, 2],
    )
    return way, np.sqrt(1 + x * x + y * y)


@compiled
def find(surfaces: Surfaces, first: int, seen: Seen, row: int, pixels: Pixels) -> int:
    """Collect the pixels of a row that show the layer, and say how many."""
    face, closeness, pose, end = seen.face, seen.closeness, seen.pose, first + len(surfaces.faces)
    column_of, face_of, way_of, point = pixels.column, pixels.face, pixels.way, pixels.point
    distance = pixels.distance
    num = 0
    for column in range(face.shape[1]):
        if first <= face[row, column] < end:
            way, length = direction(seen, row, column)
            depth = 1.0 / closeness[row, column]
            column_of[num], face_of[num] = column, face[row, column] - first
            distance[num] = depth * length
            for k in range(3):
                way_of[num, k] = way[k] / length
                point[num, k] = pose[k, 3] + depth * way[k]
            num += 1
    return num


@compiled
def orient(surfaces: Surfaces, pixels: Pixels, num: int) -> None:
    """Unit normals on the eye's side, smooth over the triangles of round bodies."""
    normals, face, way, axis = surfaces.normals, pixels.face, pixels.way, pixels.axis
    normal_of, point_of = pixels.normal, pixels.point
    for p in range(num):
        i = face[p]
        smooth = (float(normals[i, 0, 0]), float(normals[i, 0, 1]), float(normals[i, 0, 2]))
        flat, scale = smooth, 1.0
        if not _is_flat(normals, i):
            smooth, flat = _smooth(surfaces, i, point_of[p])
            scale = 1 / (np.sqrt(_dot(smooth, smooth)) + 1e-30)
        toward = flat[0] * way[p, 0] + flat[1] * way[p, 1] + flat[2] * way[p, 2]
        if (toward < 0) != (_dot(smooth, flat) > 0):
            scale = -scale
        for k in range(3):
            normal_of[p, k] = scale * smooth[k]
        steep = flat[2] ** 2 < 1.8 * (flat[0] ** 2 + flat[1] ** 2)
        axis[p] = (1 if abs(flat[1]) >= abs(flat[0]) else 0) if steep else 2


@compiled
def _is_flat(normals: Float32, i: int) -> bool:
    for k in range(3):
        if normals[i, 0, k] != normals[i, 1, k] or normals[i, 0, k] != normals[i, 2, k]:
            return False
    return True


@compiled
def _smooth(surfaces: Surfaces, i: int, point: Float32) -> tuple[Vector, Vector]:
    """A normal between those of the corners, by the areas that a point cuts its triangle into.

    The second is that of the flat triangle; neither has unit length.
    """
    vertices, faces, normals = surfaces.vertices, surfaces.faces, surfaces.normals
    a, b, c = faces[i, 0], faces[i, 1], faces[i, 2]
    x, y, z = float(point[0]), float(point[1]), float(point[2])
    pa = (vertices[a, 0] - x, vertices[a, 1] - y, vertices[a, 2] - z)
    pb = (vertices[b, 0] - x, vertices[b, 1] - y, vertices[b, 2] - z)
    pc = (vertices[c, 0] - x, vertices[c, 1] - y, vertices[c, 2] - z)
    na, nb, nc = cross(pb, pc), cross(pc, pa), cross(pa, pb)
    flat = (na[0] + nb[0] + nc[0], na[1] + nb[1] + nc[1], na[2] + nb[2] + nc[2])
    shares = (_dot(na, flat), _dot(nb, flat), _dot(nc, flat))
    n0 = _between(shares, normals[i, 0, 0], normals[i, 1, 0], normals[i, 2, 0])
    n1 = _between(shares, normals[i, 0, 1], normals[i, 1, 1], normals[i, 2, 1])
    n2 = _between(shares, normals[i, 0, 2], normals[i, 1, 2], normals[i, 2, 2])
    return (n0, n1, n2), flat


@compiled
def _dot(a: Vector, b: Vector) -> float:
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]


@compiled
def _between(shares: Vector, a: float, b: float, c: float) -> float:
    return shares[0] * a + shares[1] * b + shares[2] * c


@compiled
def paint(
    surfaces: Surfaces, paints: Paints, pixels: Pixels, num: int, pixel_angle: float
) -> None:  # fmt: skip
    """Own colour with its pattern, from the level whose texels are as large as a pixel there."""
    texels, noise, color, point = paints.texels, paints.noise, pixels.color, pixels.point
    way, normal, distance, face = pixels.way, pixels.normal, pixels.distance, pixels.face
    own, material_of, axis_of = surfaces.color, surfaces.material, pixels.axis
    spans, patterns, stains = paints.span, paints.pattern, paints.stain
    mask = len(noise) - 1
    scale = (mask + 1) / 23.0
    for p in range(num):
        i = face[p]
        material, axis = material_of[i], axis_of[p]
        per_metre = 1 / spans[material]
        u = point[p, 1] if axis == 0 else point[p, 0]
        v = point[p, 1] if axis == 2 else point[p, 2]
        slant = 0.0
        for k in range(3):
            slant -= normal[p, k] * way[p, k]
        size, start = paints.size, 0
        detail = distance[p] * pixel_angle / np.sqrt(max(slant, 0.1)) * size * per_metre
        while detail > 1.42 and size > 1:
            start += paints.num_patterns * size * size
            detail *= 0.5
            size >>= 1
        row = int(np.floor(v * per_metre * size)) & (size - 1)
        column = int(np.floor(u * per_metre * size)) & (size - 1)
        texel = start + (patterns[material] * size + row) * size + column
        patch = noise[int(np.floor(v * scale)) & mask, int(np.floor(u * scale)) & mask]
        stain = 0.85 / 128 * max(0.3, 1 + stains[material] * patch)
        for k in range(3):
            color[p, k] = stain * texels[texel, k] * own[i, k]
