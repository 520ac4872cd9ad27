"""The vehicles of nuScenes, KITTI and PandaSet, rounded from their published calibration.

Facts only: positions, angles and focal lengths are those of the data sets' own calibration files
(nuScenes ``calibrated_sensor``, KITTI odometry ``calib.txt`` of sequence 00, PandaSet
``poses.json`` and ``intrinsics.json``); exposure times are those of their time stamps; beam angles
are those of the lidars' manuals. Gains and contrasts are set so that simulated streets come near
the data sets' own intensity statistics (``data.sensors``).
"""

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from lidistill.geometry import invert_rigid, quaternion_to_matrix, rigid
from lidistill.sim.classes import Format
from lidistill.sim.rig import CameraModel, LidarModel, Response, Rig, Roof

Float64: TypeAlias = NDArray[np.float64]
Lens: TypeAlias = tuple[float, float, float]
"""Focal length and principal point, pixels."""
Vector: TypeAlias = tuple[float, float, float]


def _pinhole(lens: Lens) -> Float64:
    focal, cx, cy = lens
    return np.array([[focal, 0, cx], [0, focal, cy], [0, 0, 1.0]])


def _placed(
    name: str, lens: Lens, position: Vector, quaternion: tuple[float, ...], delay_ms: float
) -> CameraModel:
    """A camera of nuScenes, by its position and quaternion (w, x, y, z) on the vehicle."""
    return CameraModel(
        name=name,
        size_hw=(900, 1600),
        K=_pinhole(lens),
        T_body_camera=rigid(quaternion_to_matrix(quaternion), position),
        delay_s=delay_ms / 1000,
    )


# The HDL-32E turns clockwise from the left; each camera is triggered as the beams pass its middle.
NUSCENES = Rig(
    cameras=(
        _placed("CAM_FRONT", (1266.4, 816.3, 491.5), (1.701, 0.016, 1.511),
                (0.4998, -0.503, 0.4998, -0.4974), -35.5),
        _placed("CAM_FRONT_RIGHT", (1260.8, 808.0, 495.3), (1.551, -0.493, 1.496),
                (0.206, -0.2027, 0.6825, -0.6714), -27.6),
        _placed("CAM_BACK_RIGHT", (1259.5, 807.3, 501.2), (1.015, -0.481, 1.562),
                (0.1228, -0.1324, -0.7004, 0.6905), -20.1),
        _placed("CAM_BACK", (809.2, 829.2, 481.8), (0.028, 0.003, 1.579),
                (0.5038, -0.4974, -0.4942, 0.5045), -10.4),
        _placed("CAM_BACK_LEFT", (1256.7, 792.1, 492.8), (1.036, 0.485, 1.591),
                (0.6924, -0.7032, -0.1165, 0.112), -0.5),
        _placed("CAM_FRONT_LEFT", (1272.6, 826.6, 479.8), (1.524, 0.495, 1.509),
                (0.6757, -0.6736, 0.2121, -0.2112), -43.1),
    ),
    lidars=(
        LidarModel(
            name="LIDAR_TOP", elevations_deg=np.linspace(-30.67, 10.67, 32),
            azimuth_deg=(180.0, -180.0), num_columns=1084,
            T_body_lidar=rigid(
                quaternion_to_matrix((0.7078, -0.0065, 0.0106, -0.7063)), (0.944, 0.0, 1.84)
            ),
            sweep_s=0.05, stamp=1.0, max_range=105.0, range_noise=0.02,
            response=Response(gain=600.0, contrast=2.25, incidence_power=0.3, fade_range=180.0),
            lost="stored", roof=Roof(below=0.36, half_width=0.55, half_length=1.05),
        ),
    ),
    # Poses are those of the rear axle's middle, 1.4 m behind the middle of the vehicle.
    T_ego_body=rigid(np.eye(3), (-1.4, 0.0, 0.0)),
    image_hw=(450, 800),
)  # fmt: skip


# KITTI turns counter-clockwise from behind and takes its images when it looks ahead. The body is
# the lidar itself. Poses are those of the left grey camera; the colour camera is level with it.
T_GREY_LIDAR: Float64 = rigid(
    quaternion_to_matrix((0.5003, 0.4999, -0.5037, 0.4961)), (-0.012, -0.054, -0.2922)
)
"""(4, 4) KITTI's lidar to the left grey camera, which poses are given for."""
T_COLOR_GREY: Float64 = rigid(np.eye(3), (0.0599, -0.0011, 0.0038))
"""(4, 4) KITTI's left grey camera to the left colour camera; both are rectified."""

KITTI = Rig(
    cameras=(
        CameraModel(
            name="image_2", size_hw=(376, 1241), K=_pinhole((718.9, 607.2, 185.2)),
            T_body_camera=invert_rigid(T_COLOR_GREY @ T_GREY_LIDAR),
        ),
    ),
    lidars=(
        LidarModel(
            name="velodyne",
            elevations_deg=np.concatenate(
                [np.linspace(2.0, -8.33, 32), np.linspace(-8.83, -24.33, 32)]
            ),
            azimuth_deg=(-180.0, 180.0), num_columns=2083, T_body_lidar=np.eye(4),
            sweep_s=0.1, stamp=0.5, max_range=80.0, range_noise=0.02,
            response=Response(gain=1.24, contrast=0.81, incidence_power=0.15, fade_range=150.0,
                              top=0.99, step=0.01),
        ),
    ),
    T_ego_body=rigid(np.eye(3), (0.0, 0.0, 1.73)),
    image_hw=(376, 1241),
)  # fmt: skip


def _facing(
    name: str, lens: Lens, position: Vector, direction_deg: tuple[float, float], delay_ms: float
) -> CameraModel:
    """A camera of PandaSet, which looks ``direction_deg``: heading from the body's x, and pitch."""
    heading, pitch = np.radians(direction_deg)
    forward = np.array(
        [np.cos(heading) * np.cos(pitch), np.sin(heading) * np.cos(pitch), np.sin(pitch)]
    )
    right = np.array([np.sin(heading), -np.cos(heading), 0.0])
    return CameraModel(
        name=name,
        size_hw=(540, 960),
        K=_pinhole(lens),
        T_body_camera=rigid(np.stack([right, np.cross(forward, right), forward], 1), position),
        delay_s=delay_ms / 1000,
    )


_PANDAR64_DEG = np.array(
    [15, 11, 8, 5, 3, *np.linspace(2, -6, 49), *range(-7, -15, -1), -19, -25], dtype=np.float64
)

# PandaSet's ego frame has x right and y forward; its Pandar64 turns clockwise from behind.
PANDASET = Rig(
    cameras=(
        _facing("front_camera", (985, 485, 242), (0, 0.7, 1.81), (90, 0.2), -49.8),
        _facing("front_left_camera", (465, 486, 254), (-0.64, 1.4, 1.53), (147.7, 0.3), -60.6),
        _facing("front_right_camera", (465, 482, 232), (0.6, 1.4, 1.6), (32.2, 0.8), -39.1),
        _facing("left_camera", (465, 496, 271), (-0.53, 0.5, 1.58), (-178.4, 1.0), -81.2),
        _facing("right_camera", (461, 472, 259), (0.7, 0.55, 1.55), (1.4, 0.9), -18.6),
        _facing("back_camera", (467, 448, 254), (0.03, -0.4, 1.65), (-88.3, 0.2), -99.9),
    ),
    lidars=(
        LidarModel(
            name="pandar64", elevations_deg=_PANDAR64_DEG, azimuth_deg=(270.0, -90.0),
            num_columns=1800, T_body_lidar=rigid(np.eye(3), (0.0, 0.55, 2.0)),
            sweep_s=0.1, stamp=1.0, max_range=200.0, range_noise=0.02,
            response=Response(gain=590.0, contrast=2.43, incidence_power=0.4, fade_range=180.0),
        ),
        LidarModel(
            name="pandargt", elevations_deg=np.linspace(8.0, -12.0, 150),
            azimuth_deg=(120.0, 60.0), num_columns=400,
            T_body_lidar=rigid(np.eye(3), (0.0, 1.1, 1.9)),
            sweep_s=0.1, stamp=1.0, max_range=300.0, range_noise=0.03,
            response=Response(gain=77.5, contrast=0.8, incidence_power=0.05, fade_range=180.0),
        ),
    ),
    T_ego_body=rigid(np.array([[0.0, 1, 0], [-1, 0, 0], [0, 0, 1]]), (0.0, 0.0, 0.15)),
    image_hw=(270, 480),
)  # fmt: skip

RIGS: dict[Format, Rig] = {"pandaset": PANDASET, "nuscenes": NUSCENES, "semantic_kitti": KITTI}
"""The vehicle that records each data set."""
