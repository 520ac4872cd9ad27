"""What a sensor is: cameras, scanning lidars, and the vehicle that carries them.

Frames: the body of a rig is the frame in which its data set gives vehicle poses; the ego frame of
``sim.layout`` has x forward, y left and its origin on the road.
"""

import dataclasses
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from lidistill.geometry import invert_rigid, rigid

Float64: TypeAlias = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class CameraModel:
    """A pinhole camera on a rig."""

    name: str
    size_hw: tuple[int, int]
    K: Float64
    """(3, 3) pixels."""
    T_body_camera: Float64
    """(4, 4) camera (x right, y down, z forward) to body."""
    delay_s: float = 0.0
    """When its image is taken, seconds after the time stamp of the scan; mostly before it."""

    def resized(self, size_hw: tuple[int, int]) -> "CameraModel":
        """The same camera with another number of pixels."""
        scale = np.array([size_hw[1] / self.size_hw[1], size_hw[0] / self.size_hw[0], 1.0])
        return dataclasses.replace(self, size_hw=size_hw, K=scale[:, None] * self.K)


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    """How a lidar turns the light that comes back into the numbers it stores."""

    gain: float
    """Intensity of a white wall seen head-on."""
    contrast: float
    """Exponent over the returned light: under 1, dark and bright surfaces come closer."""
    incidence_power: float
    """How the light falls with the cosine of the incidence angle."""
    fade_range: float
    """Distance at which a surface has lost half of its intensity, metres."""
    top: float = 255.0
    """Largest intensity."""
    step: float = 1.0
    """Intensities are multiples of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Roof:
    """The part of the vehicle's own roof that a lidar sees: a level rectangle under it, metres."""

    below: float
    half_width: float
    half_length: float


@dataclass(frozen=True, slots=True, kw_only=True)
class LidarModel:
    """A scanning lidar on a rig."""

    name: str
    elevations_deg: Float64
    """(beams,) angles over the horizon, in the order in which the data set numbers its beams."""
    azimuth_deg: tuple[float, float]
    """Where a sweep begins and ends, counter-clockwise from the lidar's x axis."""
    num_columns: int
    """Firings of every beam in a sweep."""
    T_body_lidar: Float64
    """(4, 4) lidar to body."""
    sweep_s: float
    """Duration of a sweep, seconds."""
    stamp: float
    """Where in the sweep its time stamp lies: 0 at the first firing, 1 at the last."""
    max_range: float
    range_noise: float
    """Standard deviation, metres."""
    response: Response
    lost: Literal["dropped", "stored"] = "dropped"
    """Whether pulses that do not come back are stored, as points at the sensor itself."""
    roof: Roof | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Rig:
    """All sensors of a vehicle."""

    cameras: tuple[CameraModel, ...]
    lidars: tuple[LidarModel, ...]
    T_ego_body: Float64
    """(4, 4) body to the ego frame of ``sim.layout``."""
    image_hw: tuple[int, int]
    """Height and width of the images where the configuration names none."""

    def with_images(self, size_hw: tuple[int, int] | None) -> "Rig":
        """The same rig with cameras of ``size_hw`` pixels, or of ``image_hw`` where None."""
        size = size_hw or self.image_hw
        cameras = tuple(camera.resized(size) for camera in self.cameras)
        return dataclasses.replace(self, cameras=cameras)

    def with_lidars_moved(
        self, offset_m: tuple[float, float, float], turn_deg: tuple[float, float, float]
    ) -> "Rig":
        """The same rig with all lidars mounted elsewhere; its cameras stay.

        Args:
            offset_m: Forward, left and up.
            turn_deg: Roll, pitch and yaw of each lidar about its own place, counter-clockwise about
                the vehicle's forward, left and upward axes; yaw first.
        """
        if not any((*offset_m, *turn_deg)):
            return self
        turn = Rotation.from_euler("ZYX", turn_deg[::-1], degrees=True).as_matrix()
        return dataclasses.replace(
            self, lidars=tuple(self._moved(one, np.array(offset_m), turn) for one in self.lidars)
        )

    def _moved(self, lidar: LidarModel, offset_m: Float64, turn: Float64) -> LidarModel:
        T_ego_lidar = self.T_ego_body @ lidar.T_body_lidar
        T_ego_moved = rigid(turn @ T_ego_lidar[:3, :3], T_ego_lidar[:3, 3] + offset_m)
        roof = lidar.roof
        if roof is not None:
            roof = dataclasses.replace(roof, below=roof.below + float(offset_m[2]))
        T_body_lidar = invert_rigid(self.T_ego_body) @ T_ego_moved
        return dataclasses.replace(lidar, T_body_lidar=T_body_lidar, roof=roof)
