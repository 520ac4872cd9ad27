"""Solids made of triangles: boxes, lofts, tubes, rounded bodies, leaves.

Shape letters: S cross-sections of a loft, P corners of a cross-section, B boxes, L leaves. Solids
stand in their own frame: x forward, y left, z up, metres.
"""

import dataclasses
from collections.abc import Sequence
from functools import cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lidistill.sim.mesh import Float64, Look, Mesh, surface

_BOX_FACES = [
    *([0, 2, 1], [1, 2, 3], [4, 5, 6], [5, 7, 6], [0, 1, 4], [1, 5, 4]),
    *([2, 6, 3], [3, 6, 7], [0, 4, 2], [2, 4, 6], [1, 3, 5], [3, 7, 5]),
]


def boxes(center: ArrayLike, size: ArrayLike, look: Look) -> Mesh:
    """Upright boxes of (B, 3) or (3,) centres and sizes."""
    c = np.atleast_2d(np.asarray(center, dtype=np.float64))
    half = np.broadcast_to(np.asarray(size, dtype=np.float64), c.shape) / 2
    signs = np.array([[x, y, z] for z in (-1, 1) for y in (-1, 1) for x in (-1, 1)])
    corners = c[:, None] + half[:, None] * signs
    return surface(corners, 8 * np.arange(len(c))[:, None, None] + np.array(_BOX_FACES), look)


def loft(sections: ArrayLike, look: Look, *, closed: bool = True) -> Mesh:
    """Skin over (S, P, 3) cross-sections, each a closed ring of P corners.

    Args:
        sections: Rings, one after the other.
        look: Surface.
        closed: Whether the first and the last ring are covered.
    """
    rings = np.asarray(sections, dtype=np.float64)
    return surface(rings, _skin(*rings.shape[:2], closed=closed), look)


@cache
def _skin(num_rings: int, num_corners: int, *, closed: bool) -> NDArray[np.int32]:
    """(F, 3) faces of a loft; the same few shapes return again and again."""
    s, p = np.meshgrid(np.arange(num_rings - 1), np.arange(num_corners), indexing="ij")
    a, b = s * num_corners + p, s * num_corners + (p + 1) % num_corners
    c, d = a + num_corners, b + num_corners
    faces = np.stack([a, b, d, a, d, c], axis=-1).reshape(-1, 3)
    if closed:
        corner = np.arange(1, num_corners - 1)
        fan = np.stack([0 * corner, corner, corner + 1], axis=1)
        faces = np.concatenate([faces, fan[:, ::-1], fan + (num_rings - 1) * num_corners])
    return faces.astype(np.int32)


def _cross(a: Float64, b: Float64) -> Float64:
    """(S, 3) cross products; numpy's own spends its time on checks for such short arrays."""
    (ax, ay, az), (bx, by, bz) = a.T, b.T
    return np.stack([ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx], axis=1)


def tube(path: ArrayLike, radius: ArrayLike, look: Look, *, sides: int = 8) -> Mesh:
    """Round tube along (S, 3) points, with one radius or one per point."""
    points = np.asarray(path, dtype=np.float64)
    tangent = np.gradient(points, axis=0)
    tangent /= np.linalg.norm(tangent, axis=1, keepdims=True)
    up = np.where(np.abs(tangent[:, 2:]) < 0.9, [[0.0, 0.0, 1.0]], [[1.0, 0.0, 0.0]])
    u = _cross(up, tangent)
    u /= np.linalg.norm(u, axis=1, keepdims=True)
    v = _cross(tangent, u)
    angle = np.linspace(0, 2 * np.pi, sides, endpoint=False)[None, :, None]
    r = np.broadcast_to(np.asarray(radius, dtype=np.float64), len(points))[:, None, None]
    rings = points[:, None] + r * (np.cos(angle) * u[:, None] + np.sin(angle) * v[:, None])
    return loft(rings, look)


def post(xy: Sequence[float], height: tuple[float, float], radius: float, look: Look) -> Mesh:
    """Upright cylinder between two heights."""
    x, y = xy
    return tube([[x, y, height[0]], [x, y, height[1]]], radius, look)


def ellipsoid(center: Sequence[float], radii: Sequence[float], look: Look) -> Mesh:
    """Rounded body with half-axes ``radii``."""
    angle = np.linspace(-np.pi / 2, np.pi / 2, 7)
    turn = np.linspace(0, 2 * np.pi, 10, endpoint=False)
    ring = np.stack([np.cos(turn), np.sin(turn), np.zeros_like(turn)], axis=1)
    flat = np.maximum(np.cos(angle), 1e-3)[:, None, None] * ring
    flat[..., 2] = np.sin(angle)[:, None]
    return loft(flat * np.asarray(radii) + np.asarray(center), look)


def leaves(center: Float64, normal: Float64, size: Float64, look: Look) -> Mesh:
    """Loose triangles about (L, 3) centres, facing (L, 3) normals, of (L,) sizes in metres."""
    n = normal / np.linalg.norm(normal, axis=1, keepdims=True)
    helper = np.where(np.abs(n[:, 2:]) < 0.8, [[0.0, 0.0, 1.0]], [[1.0, 0.0, 0.0]])
    u = _cross(helper, n)
    u /= np.linalg.norm(u, axis=1, keepdims=True)
    v = _cross(n, u)
    turn = (2.4 * np.arange(len(n)))[:, None, None] + np.array([0, 2.1, 4.2])[None, :, None]
    corners = center[:, None] + size[:, None, None] * (
        np.cos(turn) * u[:, None] + np.sin(turn) * v[:, None]
    )
    mesh = surface(corners, np.arange(3 * len(n)).reshape(-1, 3), look)
    shade = 0.75 + 0.5 * ((0.618034 * np.arange(len(n))) % 1.0)
    color = np.clip(mesh.color * shade[:, None], 0, 1).astype(np.float32)
    return dataclasses.replace(mesh, color=color)
