"""Sensors on a car: what PandaSet's vehicle carries, rounded from its published calibration.

The body frame of a rig is the ego frame of its data set. PandaSet's points x right, y forward,
z up and lies 0.15 m over the road.
"""

import dataclasses
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from lidistill.geometry import rigid

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

    def resized(self, size_hw: tuple[int, int]) -> "CameraModel":
        """The same camera with another number of pixels."""
        scale = np.array([size_hw[1] / self.size_hw[1], size_hw[0] / self.size_hw[0], 1.0])
        return dataclasses.replace(self, size_hw=size_hw, K=scale[:, None] * self.K)

    def pixel_rays(self) -> Float64:
        """(H * W, 3) unit directions through the pixels' middles, camera frame, row by row."""
        height, width = self.size_hw
        u, v = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
        x = (u - self.K[0, 2]) / self.K[0, 0]
        y = (v - self.K[1, 2]) / self.K[1, 1]
        rays = np.stack([x, y, np.ones_like(x)], axis=-1).reshape(-1, 3)
        return rays / np.linalg.norm(rays, axis=1, keepdims=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class LidarModel:
    """A scanning lidar on a rig; the body's axes are its own."""

    name: str
    elevations_deg: Float64
    """(beams,) angles over the horizon."""
    azimuth_deg: tuple[float, float]
    """Where a sweep begins and ends, counter-clockwise from the body's x axis."""
    azimuth_share: float
    """Azimuth step relative to the configured one."""
    position: tuple[float, float, float]
    """Body frame, metres."""
    max_range: float
    range_noise: float
    """Standard deviation, metres."""
    gain: float
    """Intensity of a white wall seen head-on."""
    incidence_power: float
    """How the intensity falls with the cosine of the incidence angle."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rig:
    """All sensors of a vehicle."""

    cameras: tuple[CameraModel, ...]
    lidars: tuple[LidarModel, ...]
    T_ego_body: Float64
    """(4, 4) body to the ego frame of ``sim.scene``: x forward, y left, on the road."""


def _camera(
    name: str, K: tuple[float, float, float], position: tuple[float, float, float],
    *, heading_deg: float, pitch_deg: float,
) -> CameraModel:  # fmt: skip
    """Camera that looks ``heading_deg`` counter-clockwise from the body's x axis."""
    heading, pitch = np.radians([heading_deg, pitch_deg])
    forward = np.array(
        [np.cos(heading) * np.cos(pitch), np.sin(heading) * np.cos(pitch), np.sin(pitch)]
    )
    right = np.array([np.sin(heading), -np.cos(heading), 0.0])
    focal, cx, cy = K
    return CameraModel(
        name=name,
        size_hw=(540, 960),
        K=np.array([[focal, 0, cx], [0, focal, cy], [0, 0, 1.0]]),
        T_body_camera=rigid(np.stack([right, np.cross(forward, right), forward], 1), position),
    )


_PANDAR64_DEG = np.array(
    [15, 11, 8, 5, 3, *np.linspace(2, -6, 49), *range(-7, -15, -1), -19, -25], dtype=np.float64
)

PANDASET = Rig(
    cameras=(
        _camera("front_camera", (985, 485, 242), (0, 0.7, 1.81), heading_deg=90, pitch_deg=0.2),
        _camera("front_left_camera", (465, 486, 254), (-0.64, 1.4, 1.53),
                heading_deg=147.7, pitch_deg=0.3),
        _camera("front_right_camera", (465, 482, 232), (0.6, 1.4, 1.6),
                heading_deg=32.2, pitch_deg=0.8),
        _camera("left_camera", (465, 496, 271), (-0.53, 0.5, 1.58),
                heading_deg=-178.4, pitch_deg=1.0),
        _camera("right_camera", (461, 472, 259), (0.7, 0.55, 1.55),
                heading_deg=1.4, pitch_deg=0.9),
        _camera("back_camera", (467, 448, 254), (0.03, -0.4, 1.65),
                heading_deg=-88.3, pitch_deg=0.2),
    ),
    lidars=(
        LidarModel(
            name="pandar64", elevations_deg=_PANDAR64_DEG, azimuth_deg=(-90.0, 270.0),
            azimuth_share=1.0, position=(0.0, 0.55, 2.0), max_range=200.0, range_noise=0.02,
            gain=90.0, incidence_power=0.4,
        ),
        LidarModel(
            name="pandargt", elevations_deg=np.linspace(8.0, -12.0, 150), azimuth_deg=(60.0, 120.0),
            azimuth_share=0.75, position=(0.0, 1.1, 1.9), max_range=300.0, range_noise=0.03,
            gain=110.0, incidence_power=0.05,
        ),
    ),
    T_ego_body=rigid(np.array([[0.0, 1, 0], [-1, 0, 0], [0, 0, 1]]), (0.0, 0.0, 0.15)),
)  # fmt: skip
