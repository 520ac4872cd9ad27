"""Ray casting on the CPU through Embree.

Shape letters: N rays.
"""

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from lidistill.errors import require
from lidistill.sim.mesh import Mesh, merge

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


class RayScene:
    """Meshes that rays can be cast at.

    Args:
        meshes: Street frame; faces are numbered through in this order.
    """

    def __init__(self, *meshes: Mesh) -> None:
        scene = require("embreex.rtcore_scene", extra="sim")
        construction = require("embreex.mesh_construction", extra="sim")
        whole = merge(meshes)
        self.color: Float32 = np.power(whole.color, np.float32(2.2))  # linear light
        self.brightness: Float32 = whole.color.mean(axis=1)
        self.material = whole.material
        self.label = whole.label
        self._scene = scene.EmbreeScene()
        construction.TriangleMesh(self._scene, whole.vertices.astype(np.float32), whole.faces)

    def cast(self, origin: Float32, direction: Float32) -> Hits:
        """First surfaces on (N, 3) rays of unit direction."""
        result = self._scene.run(_contiguous(origin), _contiguous(direction), output=1)
        ray = np.flatnonzero(result["primID"] >= 0)
        distance = result["tfar"][ray]
        normal = result["Ng"][ray]
        normal /= np.linalg.norm(normal, axis=1, keepdims=True)
        way = direction[ray]
        cosine = -np.einsum("ij,ij->i", normal, way)
        normal *= np.sign(cosine)[:, None]
        return Hits(
            ray=ray,
            face=result["primID"][ray].astype(np.int64),
            distance=distance,
            position=origin[ray] + distance[:, None] * way,
            normal=normal,
            cosine=np.abs(cosine),
        )

    def blocked(self, origin: Float32, direction: Float32) -> NDArray[np.bool_]:
        """(N,) whether anything lies on each ray."""
        hit = self._scene.run(_contiguous(origin), _contiguous(direction), query="OCCLUDED")
        return np.asarray(hit) >= 0


def _contiguous(rays: Float32) -> Float32:
    return np.ascontiguousarray(rays, dtype=np.float32)
