"""Triangle meshes with a colour, a material and a label per face, and the solids made of them.

Shape letters: V vertices, F triangles, S cross-sections of a loft, P corners of a cross-section.
Solids stand in their own frame: x forward, y left, z up, metres.
"""

import dataclasses
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lidistill.sim.classes import Kind
from lidistill.sim.materials import MATERIALS

Float64: TypeAlias = NDArray[np.float64]
Color: TypeAlias = tuple[float, float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What a surface is: its colour, its material, and the label its points get."""

    color: Color
    """sRGB, 0 to 1."""
    material: str = "plastic"
    """Key of ``MATERIALS``."""
    label: int = Kind.OTHER_OBJECT
    """A value of ``Kind``."""

    def tinted(self, factor: float) -> "Look":
        """The same surface, brighter or darker."""
        r, g, b = (min(1.0, channel * factor) for channel in self.color)
        return dataclasses.replace(self, color=(r, g, b))


@dataclass(frozen=True, slots=True, kw_only=True)
class Mesh:
    """Triangles and what they are made of."""

    vertices: Float64
    """(V, 3) metres."""
    faces: NDArray[np.int32]
    """(F, 3) vertex indices."""
    color: NDArray[np.float32]
    """(F, 3) sRGB, 0 to 1."""
    material: NDArray[np.uint8]
    """(F,) position in ``MATERIALS``."""
    label: NDArray[np.uint8]
    """(F,) values of ``Kind``."""
    instance: NDArray[np.uint16]
    """(F,) which countable thing a face belongs to; 0 where it is part of none."""

    def __len__(self) -> int:
        return len(self.faces)

    def moved(self, xyz: Sequence[float] = (0, 0, 0), *, yaw: float = 0.0) -> "Mesh":
        """Copy turned about z by yaw (radians), then shifted (metres)."""
        c, s = np.cos(yaw), np.sin(yaw)
        rotation = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1.0]])
        return self.bent(self.vertices @ rotation.T + np.asarray(xyz, dtype=np.float64))

    def bent(self, vertices: Float64) -> "Mesh":
        """Copy with other vertex positions."""
        return dataclasses.replace(self, vertices=vertices)

    def numbered(self, instance: int) -> "Mesh":
        """The same mesh as one countable thing."""
        return dataclasses.replace(self, instance=np.full(len(self), instance, dtype=np.uint16))


_INDEX = {name: i for i, name in enumerate(MATERIALS)}


def surface(vertices: ArrayLike, faces: ArrayLike, look: Look) -> Mesh:
    """Mesh of one look."""
    corners = np.asarray(faces, dtype=np.int32).reshape(-1, 3)
    num = len(corners)
    return Mesh(
        vertices=np.asarray(vertices, dtype=np.float64).reshape(-1, 3),
        faces=corners,
        color=np.tile(np.asarray(look.color, dtype=np.float32), (num, 1)),
        material=np.full(num, _INDEX[look.material], dtype=np.uint8),
        label=np.full(num, look.label, dtype=np.uint8),
        instance=np.zeros(num, dtype=np.uint16),
    )


def merge(meshes: Iterable[Mesh]) -> Mesh:
    """All meshes as one, faces in the order given."""
    parts = list(meshes)
    shifts = np.cumsum([0] + [len(part.vertices) for part in parts[:-1]])
    return Mesh(
        vertices=np.concatenate([part.vertices for part in parts]),
        faces=np.concatenate([p.faces + s for p, s in zip(parts, shifts, strict=True)]).astype(
            np.int32
        ),
        color=np.concatenate([part.color for part in parts]),
        material=np.concatenate([part.material for part in parts]),
        label=np.concatenate([part.label for part in parts]),
        instance=np.concatenate([part.instance for part in parts]),
    )


def quads(center: ArrayLike, half_u: ArrayLike, half_v: ArrayLike, look: Look) -> Mesh:
    """Flat rectangles; the normal is u x v.

    Args:
        center: (Q, 3) or (3,) middle of each.
        half_u: Half of one edge, broadcast against the centres.
        half_v: Half of the other edge.
        look: Their surface.
    """
    c = np.atleast_2d(np.asarray(center, dtype=np.float64))
    u = np.broadcast_to(np.asarray(half_u, dtype=np.float64), c.shape)
    v = np.broadcast_to(np.asarray(half_v, dtype=np.float64), c.shape)
    corners = np.stack([c - u - v, c + u - v, c + u + v, c - u + v], axis=1)
    start = 4 * np.arange(len(c))[:, None, None]
    return surface(corners, start + np.array([[0, 1, 2], [0, 2, 3]]), look)


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
