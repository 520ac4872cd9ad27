"""Ray casting on the CPU through Embree.

Shape letters: N rays, H hits, F triangles.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from lidistill.errors import require
from lidistill.sim.mesh import Mesh, merge
from lidistill.sim.normals import corner_normals
from lidistill.sim.raster import block_boxes

Float32: TypeAlias = NDArray[np.float32]
Float64: TypeAlias = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Hits:
    """Where rays end."""

    ray: NDArray[np.int64]
    """(H,) index of each ray that hits something, increasing."""
    face: NDArray[np.int64]
    """(H,) triangle."""
    distance: Float32
    """(H,) metres."""
    position: Float32
    """(H, 3) metres, street frame."""
    normal: Float32
    """(H, 3) unit normal on the side the ray comes from."""
    cosine: Float32
    """(H,) cosine between the normal and the way back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Nearest:
    """What each of N rays has met first so far; changed in place by further layers."""

    face: NDArray[np.int32]
    """(N,) triangle, negative where there is none."""
    distance: Float32
    """(N,) metres."""
    normal: Float32
    """(N, 3) of the triangle's plane, of any length and on either side."""


class Layer:
    """Triangles with what rays and images need, made from a mesh once; compared by identity.

    Args:
        mesh: The triangles.
        parts: Meshes that ``mesh`` was put together from, in its order, with the (3, 3) rotation
            that brought each there: their colours and normals are taken over.
    """

    def __init__(self, mesh: Mesh, parts: "Sequence[tuple[Layer, Float64]]" = ()) -> None:
        self.mesh = mesh
        self.vertices: Float32 = mesh.vertices.astype(np.float32)
        self._parts = parts

    @cached_property
    def color(self) -> Float32:
        """(F, 3) linear light."""
        if self._parts:
            return np.concatenate([part.color for part, _ in self._parts])
        return np.power(self.mesh.color, np.float32(2.2))

    def __len__(self) -> int:
        return len(self.mesh)

    @cached_property
    def boxes(self) -> Float32:
        """See ``raster.block_boxes``."""
        return block_boxes(self.vertices, self.mesh.faces)

    @cached_property
    def normals(self) -> Float32:
        """(F, 3, 3) unit normals at the corners, smooth over edges flatter than 45 degrees."""
        if self._parts:
            turned = [p.normals.reshape(-1, 3) @ R.T.astype(np.float32) for p, R in self._parts]
            return np.concatenate(turned).reshape(-1, 3, 3)
        return corner_normals(self.vertices, self.mesh.faces, 0.7)

    @cached_property
    def embree(self) -> Any:
        """Embree's acceleration structure, built when the first ray is cast."""
        scene = require("embreex.rtcore_scene", extra="sim").EmbreeScene()
        construction = require("embreex.mesh_construction", extra="sim")
        construction.TriangleMesh(scene, self.vertices, self.mesh.faces)
        return scene

    def meet(self, origin: Float32, direction: Float32) -> Nearest:
        """First triangles on (N, 3) rays of unit direction, in the frame of the vertices."""
        start, way = (np.ascontiguousarray(rays, dtype=np.float32) for rays in (origin, direction))
        found = self.embree.run(start, way, output=1)
        return Nearest(face=found["primID"], distance=found["tfar"], normal=found["Ng"])


class RayWorld:
    """Meshes that rays can be cast at.

    Args:
        meshes: Street frame; faces are numbered through in this order.
        base: What does not change from moment to moment, prepared already; its faces come first.
    """

    def __init__(self, *meshes: Mesh, base: "RayWorld | None" = None) -> None:
        above = (Layer(merge(meshes)),) if meshes else ()
        self.layers: tuple[Layer, ...] = (base.layers if base else ()) + above

    def under(self, layer: Layer) -> "RayWorld":
        """The same world with another layer on top."""
        world = RayWorld(base=self)
        world.layers += (layer,)
        return world

    @cached_property
    def brightness(self) -> Float32:
        """(F,) mean of the sRGB channels."""
        return np.concatenate([layer.mesh.color.mean(axis=1) for layer in self.layers])

    @cached_property
    def material(self) -> NDArray[np.uint8]:
        """(F,) position in ``MATERIALS``."""
        return np.concatenate([layer.mesh.material for layer in self.layers])

    @cached_property
    def label(self) -> NDArray[np.uint8]:
        """(F,) class id."""
        return np.concatenate([layer.mesh.label for layer in self.layers])

    @cached_property
    def instance(self) -> NDArray[np.uint16]:
        """(F,) number of the countable thing, 0 where there is none."""
        return np.concatenate([layer.mesh.instance for layer in self.layers])

    def cast(self, origin: Float32, direction: Float32) -> Hits:
        """First surfaces on (N, 3) rays of unit direction."""
        first, *others = self.layers
        nearest, num_below = first.meet(origin, direction), len(first)
        every = np.arange(len(origin))
        for layer in others:
            overlay(nearest, every, layer.meet(origin, direction), num_below)
            num_below += len(layer)
        return hits_of(nearest, origin, direction)


def overlay(nearest: Nearest, ray: NDArray[np.int64], found: Nearest, first: int) -> None:
    """Take over what lies before all that was met so far.

    Args:
        nearest: Of all rays. Changed.
        ray: (N,) which of them were cast again.
        found: What those met.
        first: Number of the first triangle of ``found``'s layer.
    """
    met = np.flatnonzero(found.face >= 0)
    before = (nearest.face[ray[met]] < 0) | (found.distance[met] < nearest.distance[ray[met]])
    met = met[before]
    nearest.face[ray[met]] = found.face[met] + first
    nearest.distance[ray[met]] = found.distance[met]
    nearest.normal[ray[met]] = found.normal[met]


def hits_of(nearest: Nearest, origin: Float32, direction: Float32) -> Hits:
    """Where the rays that meet something end."""
    ray = np.flatnonzero(nearest.face >= 0)
    way, distance, normal = direction[ray], nearest.distance[ray], nearest.normal[ray]
    normal /= np.linalg.norm(normal, axis=1, keepdims=True)
    cosine = -np.einsum("ij,ij->i", normal, way)
    normal *= np.sign(cosine)[:, None]
    return Hits(
        ray=ray,
        face=nearest.face[ray].astype(np.int64),
        distance=distance,
        position=origin[ray] + distance[:, None] * way,
        normal=normal,
        cosine=np.abs(cosine),
    )
