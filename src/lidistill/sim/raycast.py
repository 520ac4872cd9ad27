"""Ray casting on the CPU through Embree.

Shape letters: N rays, H hits, F triangles.
"""

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


class Layer:
    """Triangles with what rays and pictures need, made from a mesh once; compared by identity."""

    def __init__(self, mesh: Mesh) -> None:
        self.mesh = mesh
        self.vertices: Float32 = mesh.vertices.astype(np.float32)
        self.color: Float32 = np.power(mesh.color, np.float32(2.2))
        """(F, 3) linear light."""

    def __len__(self) -> int:
        return len(self.mesh)

    @cached_property
    def boxes(self) -> Float32:
        """See ``raster.block_boxes``."""
        return block_boxes(self.vertices, self.mesh.faces)

    @cached_property
    def normals(self) -> Float32:
        """(F, 3, 3) unit normals at the corners, smooth over edges flatter than 45 degrees."""
        return corner_normals(self.vertices, self.mesh.faces, 0.7)

    @cached_property
    def embree(self) -> Any:
        """Embree's acceleration structure, built when the first ray is cast."""
        scene = require("embreex.rtcore_scene", extra="sim").EmbreeScene()
        construction = require("embreex.mesh_construction", extra="sim")
        construction.TriangleMesh(scene, self.vertices, self.mesh.faces)
        return scene


class RayScene:
    """Meshes that rays can be cast at.

    Args:
        meshes: Street frame; faces are numbered through in this order.
        base: What does not change from moment to moment, prepared already; its faces come first.
    """

    def __init__(self, *meshes: Mesh, base: "RayScene | None" = None) -> None:
        above = (Layer(merge(meshes)),) if meshes else ()
        self.layers: tuple[Layer, ...] = (base.layers if base else ()) + above

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
        start, way = _contiguous(origin), _contiguous(direction)
        first, *others = self.layers
        nearest = first.embree.run(start, way, output=1)
        face, distance, normal = (nearest[key] for key in ("primID", "tfar", "Ng"))
        num_below = len(first)
        for layer in others:
            result = layer.embree.run(start, way, output=1)
            won = (result["primID"] >= 0) & ((face < 0) | (result["tfar"] < distance))
            face[won] = result["primID"][won] + num_below
            distance[won], normal[won] = result["tfar"][won], result["Ng"][won]
            num_below += len(layer)
        ray = np.flatnonzero(face >= 0)
        return _hits(ray, face[ray], distance[ray], normal[ray], start, way)


def _hits(
    ray: NDArray[np.int64], face: NDArray[np.int32], distance: Float32, normal: Float32,
    origin: Float32, direction: Float32,
) -> Hits:  # fmt: skip
    way = direction[ray]
    normal /= np.linalg.norm(normal, axis=1, keepdims=True)
    cosine = -np.einsum("ij,ij->i", normal, way)
    normal *= np.sign(cosine)[:, None]
    return Hits(
        ray=ray,
        face=face.astype(np.int64),
        distance=distance,
        position=origin[ray] + distance[:, None] * way,
        normal=normal,
        cosine=np.abs(cosine),
    )


def _contiguous(rays: Float32) -> Float32:
    return np.ascontiguousarray(rays, dtype=np.float32)
