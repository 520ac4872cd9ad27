"""The records of a street: where it bends, what moves on it, its sun, its measures.

Streets are laid out straight, x along the street and y to the left with y = 0 on the centre line,
and bent at the end. "Street frame" below means the bent one; z is up, metres.
"""

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from lidistill.geometry import rigid, transform_points
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
        here, ahead = self.apply(np.array([[x, y, z], [x + 0.5, y, z]]))
        fx, fy, fz = (ahead - here) / np.linalg.norm(ahead - here)
        level = np.hypot(fx, fy)
        left = (-fy / level, fx / level, 0.0)
        up = (-fz * left[1], fz * left[0], level)  # forward x left
        return rigid(np.array([(fx, fy, fz), left, up]).T, here)

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

    def pose(self, time_s: float, bend: Bend) -> Float64:
        """(4, 4) its own frame to the street frame: bodies do not bend with the street."""
        c, s = np.cos(self.yaw), np.sin(self.yaw)
        turn = np.array([[c, -s, 0, 0], [s, c, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1.0]])
        return bend.pose(*self.place(time_s)) @ turn


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Sky:
    """Light of a drive; compared by identity, since pictures of it are cached."""

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
        poses = [mover.pose(time_s, self.bend) for mover in self.movers]
        return merge(
            mover.mesh.bent(transform_points(T_street_mover, mover.mesh.vertices))
            for mover, T_street_mover in zip(self.movers, poses, strict=True)
        )

    def T_street_ego(self, time_s: float) -> Float64:
        """(4, 4) ego pose: x forward, y left, z up, its origin on the road."""
        x, y = self.ego_start
        return self.bend.pose(x + self.ego_speed * time_s, y, 0.0)
