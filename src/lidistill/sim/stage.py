"""A street at any moment: what stands is prepared once, what moves is placed when rays are cast.

Shape letters: N rays, H hits, F faces, M moving things.
"""

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from lidistill.geometry import transform_points
from lidistill.sim.compiled import compiled
from lidistill.sim.mesh import merge
from lidistill.sim.raycast import Layer, RayScene, hits_of, overlay
from lidistill.sim.scene import Street

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
        self._bodies = [Layer(mover.mesh) for mover in street.movers]
        corners = [mover.mesh.vertices for mover in street.movers]
        self._radius = np.array([np.hypot(*corner[:, :2].T).max() for corner in corners])
        self._around = np.array([np.linalg.norm(corner, axis=1).max() for corner in corners])

    def seen(self, sector: Sector) -> RayScene:
        """All that stands, and what moves within the sector."""
        chosen = self._movers_in(sector)
        if not len(chosen):
            return self._standing
        meshes, parts = [], []
        for i in chosen:
            body = self._bodies[i]
            T_street_body = self.street.movers[i].pose(sector.time_s, self.street.bend)
            meshes.append(body.mesh.bent(transform_points(T_street_body, body.mesh.vertices)))
            parts.append((body, T_street_body[:3, :3]))
        return self._standing.under(Layer(merge(meshes), parts))

    def shoot(self, origin: Float32, direction: Float32, time_s: Float64, reach: float) -> Echoes:
        """What (N, 3) rays of unit direction meet first.

        Args:
            origin: (N, 3) metres, street frame.
            direction: (N, 3) unit.
            time_s: (N,) when each is sent, on the clock of the street, within a moment.
            reach: How far movers matter, metres.
        """
        nearest = self._standing.layers[0].meet(origin, direction)
        middle = float(time_s.mean())
        everywhere = Sector(
            time_s=middle, eye=origin.mean(axis=0), heading=0.0, half_angle=np.pi, reach=reach
        )
        for i in self._movers_in(everywhere):
            T_street_body, velocity = self._motion(i, middle)
            shift = (time_s - middle).astype(np.float32)
            place = T_street_body[:3, 3].astype(np.float32)
            ray = rays_near(origin, direction, shift, place, velocity, self._around[i])
            if len(ray):
                rotation = T_street_body[:3, :3].astype(np.float32)
                start = origin[ray] - place - shift[ray, None] * velocity
                found = self._bodies[i].meet(start @ rotation, direction[ray] @ rotation)
                found.normal[:] = found.normal @ rotation.T
                overlay(nearest, ray, found, int(self._starts[i + 1]))
        hits = hits_of(nearest, origin, direction)
        return Echoes(
            ray=hits.ray,
            distance=hits.distance,
            cosine=hits.cosine,
            level=hits.normal[:, 2] > np.float32(0.9),
            material=self._material[hits.face],
            brightness=self._brightness[hits.face],
            kind=self._kind[hits.face],
            instance=self._instance[hits.face],
            moving=hits.face >= self._starts[1],
        )

    def _motion(self, number: int, time_s: float) -> tuple[Float64, Float32]:
        """(4, 4) pose of a mover in the street frame, and its (3,) velocity there."""
        mover, bend = self.street.movers[number], self.street.bend
        half = 0.05  # seconds to both sides
        before, after = bend.apply(np.array([mover.place(time_s + s) for s in (-half, half)]))
        return mover.pose(time_s, bend), ((after - before) / (2 * half)).astype(np.float32)

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


@compiled
def rays_near(
    origin: Float32, direction: Float32, shift_s: Float32, place: Float32, velocity: Float32,
    radius: float,
) -> NDArray[np.int64]:  # fmt: skip
    """Indices of the (N, 3) rays that cross a ball on its way.

    Args:
        origin: (N, 3) metres.
        direction: (N, 3) unit.
        shift_s: (N,) when each ray is sent, seconds after the ball is at ``place``.
        place: (3,) metres.
        velocity: (3,) metres per second.
        radius: Metres.
    """
    x0, y0, z0, vx, vy, vz = place[0], place[1], place[2], velocity[0], velocity[1], velocity[2]
    square = np.float32(radius * radius)
    num, near = 0, np.empty(len(origin), dtype=np.int64)
    for i in range(len(origin)):
        x = x0 + shift_s[i] * vx - origin[i, 0]
        y = y0 + shift_s[i] * vy - origin[i, 1]
        z = z0 + shift_s[i] * vz - origin[i, 2]
        along = x * direction[i, 0] + y * direction[i, 1] + z * direction[i, 2]
        away = x * x + y * y + z * z
        near[num] = i
        num += (away - along * along <= square) & ((along > 0) | (away <= square))
    return near[:num].copy()
