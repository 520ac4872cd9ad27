"""Rows of nuScenes' tables for simulated drives.

Shape letters: T frames of a drive.
"""

import hashlib
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from lidistill.labels import load_label_map
from lidistill.sim.files import quaternion
from lidistill.sim.plan import Drive
from lidistill.sim.recording import DriveLog

Float64: TypeAlias = NDArray[np.float64]
Row: TypeAlias = dict[str, Any]
Tables: TypeAlias = dict[str, list[Row]]

VERSION: Final = "v1.0-trainval"
MAP: Final = "maps/street.png"
LIDAR: Final = "LIDAR_TOP"
_NUM_CATEGORIES: Final = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Channel:
    """A sensor of a drive, as the tables see it."""

    drive: Drive
    name: str
    modality: str
    T_body_sensor: Float64
    T_world_body: Float64
    """(T, 4, 4) poses of the vehicle when it measured."""
    time_us: NDArray[np.int64]
    """(T,) microseconds since 1970."""
    K: Float64 | None = None
    size_hw: tuple[int, int] = (0, 0)

    def token(self, index: int) -> str:
        """Of the measurement of one frame, and of the pose at its time."""
        return _token(self.drive.name, index, self.name)

    def file(self, index: int) -> str:
        """Where the measurement lies, below the root."""
        stem = f"{_logfile(self.drive)}__{self.name}__{self.time_us[index]}"
        return f"samples/{self.name}/{stem}.{'pcd.bin' if self.K is None else 'jpg'}"


def channels(log: DriveLog) -> dict[str, Channel]:
    """The lidar and the cameras of a drive, by name."""
    lidar = log.rig.lidars[0]
    found = [
        Channel(
            drive=log.drive,
            name=lidar.name,
            modality="lidar",
            T_body_sensor=lidar.T_body_lidar,
            T_world_body=log.T_world_body,
            time_us=_microseconds(log, 0.0),
        )
    ]
    found += [
        Channel(
            drive=log.drive,
            name=camera.name,
            modality="camera",
            T_body_sensor=camera.T_body_camera,
            T_world_body=log.T_world_body_of[camera.name],
            time_us=_microseconds(log, camera.delay_s),
            K=camera.K,
            size_hw=camera.size_hw,
        )
        for camera in log.rig.cameras
    ]
    return {channel.name: channel for channel in found}


def label_file(drive: Drive, index: int) -> str:
    """Where the labels of a frame lie, below the root."""
    return f"lidarseg/{VERSION}/{_token(drive.name, index, LIDAR)}_lidarseg.bin"


def all_tables(logs: list[DriveLog]) -> Tables:
    """Every table of a version; those of boxes are empty."""
    drives = [_drive_tables(log) for log in logs]
    tables = {name: [row for part in drives for row in part[name]] for name in drives[0]}
    tables |= _vocabulary() | _vehicle(channels(logs[0]))
    tables["map"] = [
        {
            "token": _token("map"),
            "category": "semantic_prior",
            "filename": MAP,
            "log_tokens": [row["token"] for row in tables["log"]],
        }
    ]
    return tables


def _token(*names: object) -> str:
    """32 hexadecimal digits that stand for these names."""
    return hashlib.sha256("/".join(map(str, names)).encode()).hexdigest()[:32]


def _logfile(drive: Drive) -> str:
    return f"sim-{drive.district}-{drive.index:03d}"


def _microseconds(log: DriveLog, delay_s: float) -> NDArray[np.int64]:
    return np.round((log.start_s + log.time_s + delay_s) * 1e6).astype(np.int64)


def _pose(T: Float64) -> Row:
    return {"rotation": quaternion(T[:3, :3]).tolist(), "translation": T[:3, 3].tolist()}


def _vocabulary() -> Tables:
    """Tables that do not depend on what was driven."""
    names = load_label_map("nuscenes").raw_names
    levels = enumerate(("0-40", "40-60", "60-80", "80-100"), start=1)
    return {
        "category": [
            {"token": _token("category", i), "name": names[i], "description": "", "index": i}
            for i in range(_NUM_CATEGORIES)
        ],
        "visibility": [
            {"token": str(i), "level": f"v{share}", "description": f"{share} % is visible"}
            for i, share in levels
        ],
        "attribute": [],
        "instance": [],
        "sample_annotation": [],
    }


def _vehicle(sensors: dict[str, Channel]) -> Tables:
    return {
        "sensor": [
            {"token": _token("sensor", name), "channel": name, "modality": sensor.modality}
            for name, sensor in sensors.items()
        ],
        "calibrated_sensor": [
            {
                "token": _token("calibrated_sensor", name),
                "sensor_token": _token("sensor", name),
                **_pose(sensor.T_body_sensor),
                "camera_intrinsic": [] if sensor.K is None else sensor.K.tolist(),
            }
            for name, sensor in sensors.items()
        ],
    }


def _drive_tables(log: DriveLog) -> Tables:
    sensors = channels(log)
    frames = range(len(log.time_s))
    return {
        "log": [_log(log.drive)],
        "scene": [_scene(log)],
        "sample": [_sample(sensors[LIDAR], index) for index in frames],
        "sample_data": [_sample_data(s, index) for index in frames for s in sensors.values()],
        "ego_pose": [
            {
                "token": sensor.token(index),
                "timestamp": int(sensor.time_us[index]),
                **_pose(sensor.T_world_body[index]),
            }
            for index in frames
            for sensor in sensors.values()
        ],
        "lidarseg": [
            {
                "token": sensors[LIDAR].token(index),
                "sample_data_token": sensors[LIDAR].token(index),
                "filename": label_file(log.drive, index),
            }
            for index in frames
        ],
    }


def _log(drive: Drive) -> Row:
    return {
        "token": _token("log", drive.name),
        "logfile": _logfile(drive),
        "vehicle": "sim",
        "date_captured": "2017-07-14",
        "location": drive.district,
    }


def _scene(log: DriveLog) -> Row:
    name, num = log.drive.name, len(log.time_s)
    return {
        "token": _token("scene", name),
        "log_token": _token("log", name),
        "nbr_samples": num,
        "first_sample_token": _token("sample", name, 0),
        "last_sample_token": _token("sample", name, num - 1),
        "name": name,
        "description": f"simulated street, district {log.drive.district}",
    }


def _sample(lidar: Channel, index: int) -> Row:
    name = lidar.drive.name
    return {
        "token": _token("sample", name, index),
        "timestamp": int(lidar.time_us[index]),
        "scene_token": _token("scene", name),
        **{
            way: "" if other is None else _token("sample", name, other)
            for way, other in _neighbors(lidar, index).items()
        },
    }


def _sample_data(sensor: Channel, index: int) -> Row:
    return {
        "token": sensor.token(index),
        "sample_token": _token("sample", sensor.drive.name, index),
        "ego_pose_token": sensor.token(index),
        "calibrated_sensor_token": _token("calibrated_sensor", sensor.name),
        "timestamp": int(sensor.time_us[index]),
        "fileformat": "pcd" if sensor.K is None else "jpg",
        "is_key_frame": True,
        "height": sensor.size_hw[0],
        "width": sensor.size_hw[1],
        "filename": sensor.file(index),
        **{
            way: "" if other is None else sensor.token(other)
            for way, other in _neighbors(sensor, index).items()
        },
    }


def _neighbors(sensor: Channel, index: int) -> dict[str, int | None]:
    """Frames before and after; None at the ends of a scene."""
    return {
        "prev": index - 1 if index > 0 else None,
        "next": index + 1 if index + 1 < len(sensor.time_us) else None,
    }
