"""What the sensors of a vehicle record on a drive.

Shape letters: T frames of a drive.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from lidistill.geometry import rigid, transform_points
from lidistill.sim.camera import render
from lidistill.sim.lidar import Scan, sweep
from lidistill.sim.plan import Drive, SimulationConfig
from lidistill.sim.rig import CameraModel, Rig
from lidistill.sim.stage import Sector, Stage
from lidistill.sim.street import build_street

Float64: TypeAlias = NDArray[np.float64]

_EPOCH_S: Final = 1.5e9
_SIGHT_M: Final = 250.0
_SHADOW_M: Final = 10.0  # of a bus in the lowest sun


@dataclass(frozen=True, slots=True, kw_only=True)
class DriveLog:
    """What is known of a drive besides its scans and images."""

    drive: Drive
    rig: Rig
    start_s: float
    """Seconds since 1970."""
    time_s: Float64
    """(T,) time stamps of the scans, seconds after the start."""
    T_world_body: Float64
    """(T, 4, 4) poses of the vehicle at the time stamps of the scans."""
    T_world_body_of: Mapping[str, Float64]
    """(T, 4, 4) poses of the vehicle when each camera took its images."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameRecord:
    """The measurements of one frame."""

    index: int
    scans: tuple[Scan, ...]
    """One of each lidar of the rig; points in world coordinates."""
    images: Mapping[str, NDArray[np.uint8]]
    """(H, W, 3) sRGB of each camera."""


class Recorder:
    """A vehicle on one drive.

    Args:
        config: What to simulate.
        drive: Which drive of its plan.
    """

    def __init__(self, config: SimulationConfig, drive: Drive) -> None:
        self._config, self._drive, self._rig = config, drive, config.rig
        seconds = config.frames / config.frame_rate
        self.stage: Stage = _stage(drive.district, seconds, (config.seed, drive.index))
        self._T_world_street = _world(self.T_street_body(0.0), config.seed, drive.index)

    def T_street_body(self, time_s: float) -> Float64:
        """(4, 4) pose of the vehicle, time on the clock of the street."""
        return self.stage.street.T_street_ego(time_s) @ self._rig.T_ego_body

    @cached_property
    def log(self) -> DriveLog:
        """Calibration, time stamps and poses."""
        times = np.arange(self._config.frames) / self._config.frame_rate
        return DriveLog(
            drive=self._drive,
            rig=self._rig,
            start_s=_EPOCH_S + 1000 * self._drive.index,
            time_s=times,
            T_world_body=self._poses(times),
            T_world_body_of={c.name: self._poses(times + c.delay_s) for c in self._rig.cameras},
        )

    def _poses(self, times: Float64) -> Float64:
        return np.stack([self._T_world_street @ self.T_street_body(float(t)) for t in times])

    def frame(self, index: int) -> FrameRecord:
        """Record one frame; it does not depend on which were recorded before."""
        return FrameRecord(index=index, scans=self.scans(index), images=self.images(index))

    def scans(self, index: int) -> tuple[Scan, ...]:
        """What the lidars see in a frame."""
        return tuple(self._scan(number, index) for number in range(self._num_lidars))

    def images(self, index: int) -> dict[str, NDArray[np.uint8]]:
        """What the cameras see in a frame."""
        cameras = enumerate(self._rig.cameras)
        return {camera.name: self._image(number, index) for number, camera in cameras}

    @property
    def _num_lidars(self) -> int:
        return len(self._rig.lidars)

    def _rng(self, index: int, sensor: int) -> np.random.Generator:
        return np.random.default_rng((self._config.seed, self._drive.index, index, sensor))

    def _scan(self, number: int, index: int) -> Scan:
        scan = sweep(
            self.stage,
            self._rig.lidars[number],
            self.T_street_body,
            time_s=index / self._config.frame_rate,
            rng=self._rng(index, number),
            column_step=self._config.column_step,
            wetness=self._config.wetness,
        )
        return replace(scan, points=transform_points(self._T_world_street, scan.points))

    def _image(self, number: int, index: int) -> NDArray[np.uint8]:
        camera = self._rig.cameras[number]
        exposed_at = index / self._config.frame_rate + camera.delay_s
        T_street_camera = self.T_street_body(exposed_at) @ camera.T_body_camera
        return render(
            self.stage.seen(view_of(camera, T_street_camera, exposed_at)),
            camera,
            T_street_camera,
            sky=self.stage.street.sky,
            rng=self._rng(index, self._num_lidars + number),
        ).image


def view_of(camera: CameraModel, T_street_camera: Float64, time_s: float) -> Sector:
    """The wedge that a camera sees, and what may throw a shadow into it."""
    forward = T_street_camera[:3, 2]
    cx, width = camera.K[0, 2], camera.size_hw[1]
    return Sector(
        time_s=time_s,
        eye=T_street_camera[:3, 3],
        heading=math.atan2(forward[1], forward[0]),
        half_angle=1.05 * math.atan2(max(cx, width - cx), camera.K[0, 0]),
        reach=_SIGHT_M,
        margin=_SHADOW_M,
    )


@lru_cache(maxsize=2)
def recorder(config: SimulationConfig, drive: Drive) -> Recorder:
    """The vehicle of a drive; a process keeps the last two, since frames mostly follow."""
    return Recorder(config, drive)


@lru_cache(maxsize=2)
def _stage(district: str, seconds: float, seed: tuple[int, ...]) -> Stage:
    """A street, the same for all rigs."""
    return Stage(build_street(district, seconds=seconds, seed=seed))


def _world(T_street_first: Float64, seed: int, drive_index: int) -> Float64:
    """(4, 4) street to world: the first pose at the origin, north anywhere, as in PandaSet."""
    turn = np.random.default_rng((seed, drive_index, 1_000_003)).uniform(0, 2 * math.pi)
    c, s = math.cos(turn), math.sin(turn)
    about_z = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1.0]])
    return rigid(about_z, -about_z @ T_street_first[:3, 3])
