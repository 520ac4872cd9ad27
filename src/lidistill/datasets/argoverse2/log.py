"""What lies on disk of one Argoverse 2 log: sweeps, images of each, calibration and poses.

Shape letters: F poses.
"""

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from lidistill.datasets.argoverse2.feather import read_feather
from lidistill.datasets.own.nearest import nearest_images
from lidistill.datasets.own.trajectory import LATEST, Trajectory
from lidistill.geometry import (
    MAX_WORLD,
    check_pinhole,
    check_rigid,
    invert_rigid,
)
from lidistill.reading.files import blamed_on
from lidistill.reading.names import listed
from lidistill.records import Array

TOLERANCE: Final = 0.05  # seconds between a sweep and its image; cameras take one every 0.05
UP: Final = "up_lidar"
POSES: Final = "city_SE3_egovehicle.feather"
"""Table of a log: where the vehicle was."""
_MAX_TIME: Final = 19  # digits of nanoseconds
_MAX_POSES: Final = 100_000
_MAX_SENSORS: Final = 1000
_MAX_BASELINE: Final = 100.0  # metres
_TURN: Final = dict.fromkeys(("qw", "qx", "qy", "qz"), "number")
_POSE: Final = _TURN | dict.fromkeys(("tx_m", "ty_m", "tz_m"), "number")
_LENS: Final = dict.fromkeys(("fx_px", "fy_px", "cx_px", "cy_px"), "number")


@dataclass(frozen=True, slots=True, kw_only=True)
class Log:
    """One log."""

    folder: Path
    sweeps: tuple[str, ...]
    """Nanoseconds, as the files are named, in order."""
    images: Mapping[str, Mapping[str, str]]
    """By camera and sweep: nanoseconds of the image taken nearest to it."""

    @property
    def name(self) -> str:
        """Its id."""
        return self.folder.name

    def scan_path(self, sweep: str) -> Path:
        """File of a sweep."""
        return self.folder / "sensors" / "lidar" / f"{sweep}.feather"

    def image_path(self, camera: str, sweep: str) -> Path:
        """File of the image nearest to a sweep."""
        return self.folder / "sensors" / "cameras" / camera / f"{self.images[camera][sweep]}.jpg"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pinhole:
    """How a camera draws; the images are distributed without distortion."""

    K: NDArray[np.float64]
    """(3, 3) pixels."""
    size_hw: tuple[int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """Where the sensors of a log sit, how its cameras draw, and where it drove."""

    T_ego_sensor: Mapping[str, NDArray[np.float64]]
    """(4, 4) by sensor, metres."""
    pinholes: Mapping[str, Pinhole]
    """By camera."""
    up_lidar: Trajectory
    """Of the upper lidar, in the city."""

    def T_cam_lidar(self, camera: str, *, scan_ns: int, image_ns: int) -> NDArray[np.float64]:
        """(4, 4) upper lidar at the sweep's time to the camera at the exposure."""
        T_cam_ego = invert_rigid(self.T_ego_sensor[camera])
        T_later_lidar = invert_rigid(self.up_lidar.at(image_ns)) @ self.up_lidar.at(scan_ns)
        return T_cam_ego @ self.T_ego_sensor[UP] @ T_later_lidar


def read_log(folder: Path, cameras: tuple[str, ...]) -> Log:
    """List the files of a log, and find the image of each camera that is nearest to each sweep."""
    sweeps = _times(folder / "sensors" / "lidar", ".feather")
    images = {name: _times(folder / "sensors" / "cameras" / name, ".jpg") for name in cameras}
    nearest = {
        name: nearest_images(sweeps, times, tolerance=TOLERANCE).image
        for name, times in images.items()
    }
    return Log(folder=folder, sweeps=tuple(sweeps), images=nearest)


@functools.lru_cache(maxsize=64)
def read_calibration(folder: Path) -> Calibration:
    """Read the calibration and the poses of a log.

    Args:
        folder: The log.

    Raises:
        DatasetNotFoundError: If a table is missing.
        FileFormatError: If one is damaged.
    """
    T_ego_sensor = _sensors(folder / "calibration" / "egovehicle_SE3_sensor.feather")
    return Calibration(
        T_ego_sensor=T_ego_sensor,
        pinholes=_pinholes(folder / "calibration" / "intrinsics.feather"),
        up_lidar=_trajectory(folder / POSES, T_ego_sensor[UP]),
    )


def _times(folder: Path, suffix: str) -> dict[str, int]:
    """Nanoseconds by the names that say them, in order."""
    names = [path.stem for path in folder.glob(f"*{suffix}")]
    times = {n: int(n) for n in names if n.isascii() and n.isdecimal() and len(n) <= _MAX_TIME}
    sound = {name: time for name, time in times.items() if time < LATEST}
    return dict(sorted(sound.items(), key=lambda item: (item[1], item[0])))


def _sensors(path: Path) -> dict[str, NDArray[np.float64]]:
    table = read_feather(path, {"sensor_name": "text"} | _POSE, max_rows=_MAX_SENSORS)
    names = [str(name) for name in table["sensor_name"]]
    with blamed_on(path):
        if UP not in names:
            msg = f"it has no {UP} among {listed(names)}"
            raise ValueError(msg)
        poses = dict(zip(names, _poses(table), strict=True))
        for T_ego_sensor in poses.values():
            check_rigid(T_ego_sensor, reach=_MAX_BASELINE)
    return poses


def _pinholes(path: Path) -> dict[str, Pinhole]:
    sizes = dict.fromkeys(("height_px", "width_px"), "whole")
    table = read_feather(path, {"sensor_name": "text"} | _LENS | sizes, max_rows=_MAX_SENSORS)
    fx, fy, cx, cy = (table[name].astype(np.float64).tolist() for name in _LENS)
    found = {}
    for row, name in enumerate(table["sensor_name"]):
        K = np.array([[fx[row], 0.0, cx[row]], [0.0, fy[row], cy[row]], [0.0, 0.0, 1.0]])
        size_hw = int(table["height_px"][row]), int(table["width_px"][row])
        with blamed_on(path):
            check_pinhole(K, size_hw)
        found[str(name)] = Pinhole(K=K, size_hw=size_hw)
    return found


def _trajectory(path: Path, T_ego_up: NDArray[np.float64]) -> Trajectory:
    table = read_feather(path, {"timestamp_ns": "whole"} | _POSE, max_rows=_MAX_POSES)
    times, first = np.unique(table["timestamp_ns"].astype(np.int64), return_index=True)
    with blamed_on(path):
        return Trajectory(time_ns=times, T_world_lidar=_poses(table)[first] @ T_ego_up)


def _poses(table: Mapping[str, Array]) -> NDArray[np.float64]:
    """(F, 4, 4) transforms of rows of unit quaternions and shifts.

    Raises:
        ValueError: If one is none, or a shift is on no map.
    """
    wxyz = np.stack([table[name].astype(np.float64) for name in _TURN], axis=1)
    shift = np.stack([table[name].astype(np.float64) for name in ("tx_m", "ty_m", "tz_m")], axis=1)
    norm = np.linalg.norm(wxyz, axis=1)
    if not (np.abs(norm - 1) <= 1e-2).all() or not (np.abs(shift) <= MAX_WORLD).all():
        msg = "a row holds no unit quaternion, or a shift that is not finite or on no map"
        raise ValueError(msg)
    poses = np.tile(np.eye(4), (len(wxyz), 1, 1))
    if len(wxyz):
        poses[:, :3, :3] = Rotation.from_quat(wxyz[:, [1, 2, 3, 0]]).as_matrix()
    poses[:, :3, 3] = shift
    return poses
