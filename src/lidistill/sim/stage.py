"""A street at any moment: what stands is prepared once, what moves is placed when rays are cast.

Shape letters: N rays, H hits, F faces, M moving things.
"""

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from lidistill.sim.mesh import merge
from lidistill.sim.raycast import RayScene
from lidistill.sim.scene import Mover, Street

Float32: TypeAlias = NDArray[np.float32]
Float64: TypeAlias = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sector:
    """A wedge of the horizon that is looked at within a moment."""

    time_s: float
    """Of the middle of the wedge, on the clock of the street."""
    eye: Float64
    """(3,) where the rays start, street frame, metres."""
    heading: float
    """Middle of the wedge, radians counter-clockwise from the street's x axis."""
    half_angle: float
    """Radians; pi is all around."""
    reach: float
    """How far it is looked, metres."""
    margin: float = 0.0
    """How far beside the wedge things still matter, metres: their shadows may fall into it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Echoes:
    """What rays meet first."""

    ray: NDArray[np.int64]
    """(H,) index of each ray that meets something, increasing."""
    distance: Float32
    """(H,) metres."""
    cosine: Float32
    """(H,) cosine between the surface's normal and the way back."""
    level: NDArray[np.bool_]
    """(H,) whether the surface lies flat, like a road."""
    material: NDArray[np.uint8]
    """(H,) position in ``MATERIALS``."""
    brightness: Float32
    """(H,) mean of the sRGB channels."""
    kind: NDArray[np.uint8]
    """(H,) values of ``Kind``."""
    instance: NDArray[np.uint16]
    """(H,) number of the countable thing, 0 where there is none."""
    moving: NDArray[np.bool_]
    """(H,) whether it lies on something that moves."""


class Stage:
    """A street, prepared for rays at any moment.

    Args:
        street: What to prepare.
    """

    def __init__(self, street: Street) -> None:
        self.street = street
        self._standing = RayScene(street.static)
        meshes = [street.static, *(mover.mesh for mover in street.movers)]
        self._starts = np.cumsum([0, *map(len, meshes)])  # first face of each mesh
        self._material = np.concatenate([mesh.material for mesh in meshes])
        self._brightness: Float32 = np.concatenate([mesh.color.mean(axis=1) for mesh in meshes])
        self._kind = np.concatenate([mesh.label for mesh in meshes])
        self._instance = np.concatenate([mesh.instance for mesh in meshes])
        self._radius = np.array(
            [np.hypot(*mover.mesh.vertices[:, :2].T).max() for mover in street.movers]
        )

    def seen(self, sector: Sector) -> RayScene:
        """All that stands, and what moves within the sector."""
        return self._with(self._movers_in(sector), sector.time_s)

    def shoot(self, origin: Float32, direction: Float32, sector: Sector) -> Echoes:
        """What (N, 3) rays of unit direction meet first; they must lie within the sector."""
        near = self._movers_in(sector)
        hits = self._with(near, sector.time_s).cast(origin, direction)
        face, num_standing = hits.face, int(self._starts[1])
        moving = face >= num_standing
        spans = [np.arange(*self._starts[i + 1 : i + 3]) for i in near]
        if spans:
            face[moving] = np.concatenate(spans)[face[moving] - num_standing]
        return Echoes(
            ray=hits.ray,
            distance=hits.distance,
            cosine=hits.cosine,
            level=hits.normal[:, 2] > np.float32(0.9),
            material=self._material[face],
            brightness=self._brightness[face],
            kind=self._kind[face],
            instance=self._instance[face],
            moving=moving,
        )

    def _movers_in(self, sector: Sector) -> NDArray[np.int64]:
        """Indices of the movers that may touch the sector, by a circle around each."""
        if not self.street.movers:
            return np.empty(0, dtype=np.int64)
        start = np.array([mover.start for mover in self.street.movers])
        velocity = np.array([mover.velocity for mover in self.street.movers])
        straight = start + sector.time_s * velocity
        middle = self.street.bend.apply(np.pad(straight, ((0, 0), (0, 1))))
        offset = middle[:, :2] - sector.eye[:2]
        distance = np.hypot(*offset.T)
        turn = np.arctan2(offset[:, 1], offset[:, 0]) - sector.heading
        aside = np.abs((turn + np.pi) % (2 * np.pi) - np.pi)
        radius = self._radius + sector.margin
        width = np.arcsin(np.clip(radius / np.maximum(distance, 1e-6), 0, 1))
        touches = (aside <= sector.half_angle + width) | (distance <= radius)
        return np.flatnonzero(touches & (distance <= sector.reach + radius))

    def _with(self, chosen: NDArray[np.int64], time_s: float) -> RayScene:
        if not len(chosen):
            return self._standing
        movers: list[Mover] = [self.street.movers[i] for i in chosen]
        mesh = merge(mover.at(time_s) for mover in movers)
        return RayScene(mesh.bent(self.street.bend.apply(mesh.vertices)), base=self._standing)
