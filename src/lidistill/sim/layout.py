"""The records of a street: where it bends, what moves on it, its sun, its measures.

Streets are laid out straight, x along the street and y to the left with y = 0 on the centre line,
and bent at the end. "Street frame" below means the bent one; z is up, metres.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from lidistill.geometry import transform_points
from lidistill.sim.districts import District
from lidistill.sim.mesh import Mesh, merge

Float64: TypeAlias = NDArray[np.float64]

LANE_WIDTH, PARKING_WIDTH = 3.3, 2.4


@dataclass(frozen=True, slots=True, kw_only=True)
class Bend:
    """How a straight street is bent sideways and up."""

    sideways: tuple[float, float, float]
    """Amplitude in metres, wave number per metre, phase."""
    upward: tuple[float, float, float]

    def apply(self, points: Float64) -> Float64:
        """(N, 3) straight coordinates in the street frame."""
        offset, rise = self._offset(self.sideways, points[:, 0]), points[:, 0]
        return points + np.stack(
            [np.zeros_like(rise), offset, self._offset(self.upward, rise)], axis=1
        )

    def pose(self, x: float, y: float, z: float) -> Float64:
        """(4, 4) transform to the street frame of a body that follows the street at (x, y, z)."""
        return self.poses(np.array([[x, y, z]]))[0]

    def poses(self, places: Float64) -> Float64:
        """(M, 4, 4) transforms of bodies that follow the street at (M, 3) straight places."""
        here, ahead = self.apply(places), self.apply(places + np.array([0.5, 0, 0]))
        forward = (ahead - here) / np.linalg.norm(ahead - here, axis=1, keepdims=True)
        fx, fy, fz = forward.T
        level, nothing = np.hypot(fx, fy), np.zeros_like(fx)
        left = np.stack([-fy / level, fx / level, nothing])
        poses = np.tile(np.eye(4), (len(places), 1, 1))
        poses[:, :3, 0], poses[:, :3, 1], poses[:, :3, 3] = forward, left.T, here
        poses[:, :3, 2] = np.stack([-fz * left[1], fz * left[0], level], axis=1)  # forward x left
        return poses

    @staticmethod
    def _offset(wave: tuple[float, float, float], x: Float64) -> Float64:
        amplitude, number, phase = wave
        return amplitude * (np.sin(number * x + phase) - np.sin(phase))


@dataclass(frozen=True, slots=True, kw_only=True)
class Mover:
    """Something that moves along the street, or across it, at constant speed, or is parked."""

    mesh: Mesh
    """In its own frame, x forward."""
    start: tuple[float, float]
    """Straight x and y at time 0, metres."""
    velocity: tuple[float, float]
    """Metres per second."""
    z: float = 0.0

    @property
    def is_parked(self) -> bool:
        """Whether it never moves."""
        return self.velocity == (0.0, 0.0)

    @property
    def yaw(self) -> float:
        """Where it heads, radians from the straight street's x axis."""
        return float(np.arctan2(*self.velocity[::-1]))

    def place(self, time_s: float) -> tuple[float, float, float]:
        """Where its origin is, straight coordinates."""
        x, y = (s + v * time_s for s, v in zip(self.start, self.velocity, strict=True))
        return x, y, self.z

    def at(self, time_s: float) -> Mesh:
        """Its mesh in straight coordinates."""
        return self.mesh.moved(self.place(time_s), yaw=self.yaw)


def mover_poses(movers: Sequence[Mover], time_s: float, bend: Bend) -> Float64:
    """(M, 4, 4) movers' own frames to the street frame: bodies do not bend with the street."""
    poses = bend.poses(np.array([mover.place(time_s) for mover in movers]).reshape(-1, 3))
    yaw = np.array([mover.yaw for mover in movers])
    turns = np.tile(np.eye(4), (len(movers), 1, 1))
    turns[:, 0, 0], turns[:, 0, 1] = np.cos(yaw), -np.sin(yaw)
    turns[:, 1, 0], turns[:, 1, 1] = np.sin(yaw), np.cos(yaw)
    return poses @ turns


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Sky:
    """Light of a drive; compared by identity, since images of it are cached."""

    to_sun: Float64
    """(3,) unit vector, street frame."""
    clouds: float
    """Covered share."""
    warmth: float
    """0 neutral, 1 evening."""
    drift: tuple[float, float]
    """Where in the cloud pattern this drive lies."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """Straight measures of a street, metres."""

    district: District
    first: float
    last: float
    crossing: float
    """x of the cross street's centre line."""
    driven: float
    """How far the ego vehicle comes, from x = 0."""
    crossing_half: float = 6.5

    @property
    def curb(self) -> float:
        """Distance of the kerbs from the centre line."""
        return self.district.lanes * LANE_WIDTH + PARKING_WIDTH

    @property
    def plots(self) -> float:
        """Distance of the plots' front edges from the centre line."""
        return self.curb + self.district.sidewalk

    def blocks(self, margin: float = 0.0) -> list[tuple[float, float]]:
        """Stretches of x without a cross street, each shortened by ``margin`` at the crossing."""
        clear = self.crossing_half + margin
        return [(self.first, self.crossing - clear), (self.crossing + clear, self.last)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Street:
    """Everything a drive meets."""

    static: Mesh
    """All that never moves, parked vehicles too; street frame."""
    movers: tuple[Mover, ...]
    """What does move; every one has its own instance number in its mesh."""
    bend: Bend
    sky: Sky
    ego_start: tuple[float, float]
    """Straight x and y at time 0, metres."""
    ego_speed: float
    """Metres per second."""

    def moving(self, time_s: float) -> Mesh:
        """All that moves, in the street frame."""
        poses = mover_poses(self.movers, time_s, self.bend)
        return merge(
            mover.mesh.bent(transform_points(T_street_mover, mover.mesh.vertices))
            for mover, T_street_mover in zip(self.movers, poses, strict=True)
        )

    def T_street_ego(self, time_s: float) -> Float64:
        """(4, 4) ego pose: x forward, y left, z up, its origin on the road."""
        x, y = self.ego_start
        return self.bend.pose(x + self.ego_speed * time_s, y, 0.0)
