"""Triangle meshes with a colour, a material and a label per face.

Shape letters: V vertices, F triangles.
"""

import dataclasses
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
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
