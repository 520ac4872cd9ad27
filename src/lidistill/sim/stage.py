"""A street at any moment: what stands is prepared once, what moves is placed when rays are cast.

Shape letters: N rays, H hits, F faces, M moving things.
"""

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from lidistill.compiled import compiled_exactly
from lidistill.geometry import transform_points
from lidistill.sim.layout import Street, mover_poses
from lidistill.sim.mesh import merge
from lidistill.sim.raycast import Layer, RayWorld, hits_of, overlay

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
        self._standing = RayWorld(street.static)
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

    def seen(self, sector: Sector) -> RayWorld:
        """All that stands, and what moves within the sector."""
        chosen = self._movers_in(sector)
        if not len(chosen):
            return self._standing
        bodies = [self._bodies[i] for i in chosen]
        poses = self._poses(chosen, sector.time_s)
        mesh = merge(
            body.mesh.bent(transform_points(T_street_body, body.mesh.vertices))
            for body, T_street_body in zip(bodies, poses, strict=True)
        )
        return self._standing.under(Layer(mesh, list(zip(bodies, poses[:, :3, :3], strict=True))))

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
        near = self._movers_in(everywhere)
        half = 0.05  # seconds
        before, after = (self._poses(near, middle + s)[:, :3, 3] for s in (-half, half))
        velocities = ((after - before) / (2 * half)).astype(np.float32)
        shift = (time_s - middle).astype(np.float32)
        rays = np.ascontiguousarray(np.concatenate([origin, direction], axis=1).T)
        poses = self._poses(near, middle).astype(np.float32)
        for i, T_street_body, velocity in zip(near, poses, velocities, strict=True):
            place, rotation = T_street_body[:3, 3].copy(), T_street_body[:3, :3]
            touched = np.empty(len(shift), dtype=np.bool_)
            _touch(rays, shift, place, velocity, self._around[i], touched)
            ray = np.flatnonzero(touched)
            if len(ray):
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

    def _poses(self, chosen: NDArray[np.int64], time_s: float) -> Float64:
        """(M, 4, 4) poses of chosen movers in the street frame."""
        return mover_poses([self.street.movers[i] for i in chosen], time_s, self.street.bend)

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


@compiled_exactly
def _touch(
    rays: Float32, shift_s: Float32, place: Float32, velocity: Float32, radius: float,
    touched: NDArray[np.bool_],
) -> None:  # fmt: skip
    """Find the rays that cross a ball on its way.

    Args:
        rays: (6, N) origins in metres and unit directions.
        shift_s: (N,) when each ray is sent, seconds after the ball is at ``place``.
        place: (3,) metres.
        velocity: (3,) metres per second.
        radius: Metres.
        touched: (N,) whether each ray does. Changed.
    """
    x0, y0, z0, vx, vy, vz = place[0], place[1], place[2], velocity[0], velocity[1], velocity[2]
    square = np.float32(radius * radius)
    for i in range(len(shift_s)):
        x = x0 + shift_s[i] * vx - rays[0, i]
        y = y0 + shift_s[i] * vy - rays[1, i]
        z = z0 + shift_s[i] * vz - rays[2, i]
        along = x * rays[3, i] + y * rays[4, i] + z * rays[5, i]
        away = x * x + y * y + z * z
        ahead = (along > 0) | (away <= square)
        touched[i] = (away - along * along <= square) & ahead
