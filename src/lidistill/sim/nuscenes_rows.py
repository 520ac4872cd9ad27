"""Rows of nuScenes' tables for simulated drives.

Shape letters: T frames of a drive.
"""

from typing import Any, Final, TypeAlias

from lidistill.labels import load_label_map
from lidistill.sim.files import quaternion
from lidistill.sim.nuscenes_channels import (
    LIDAR,
    Channel,
    Float64,
    channels,
    label_file,
    logfile,
    token_of,
)
from lidistill.sim.plan import Drive
from lidistill.sim.recording import DriveLog

Row: TypeAlias = dict[str, Any]
Tables: TypeAlias = dict[str, list[Row]]

MAP: Final = "maps/street.png"
_NUM_CATEGORIES: Final = 32


def all_tables(logs: list[DriveLog]) -> Tables:
    """Every table of a version; those of boxes are empty."""
    drives = [_drive_tables(log) for log in logs]
    tables = {name: [row for part in drives for row in part[name]] for name in drives[0]}
    tables |= _vocabulary() | _vehicle(channels(logs[0]))
    tables["map"] = [
        {
            "token": token_of("map"),
            "category": "semantic_prior",
            "filename": MAP,
            "log_tokens": [row["token"] for row in tables["log"]],
        }
    ]
    return tables


def _pose(T: Float64) -> Row:
    return {"rotation": quaternion(T[:3, :3]).tolist(), "translation": T[:3, 3].tolist()}


def _vocabulary() -> Tables:
    """Tables that do not depend on what was driven."""
    names = load_label_map("nuscenes").raw_names
    levels = enumerate(("0-40", "40-60", "60-80", "80-100"), start=1)
    return {
        "category": [
            {"token": token_of("category", i), "name": names[i], "description": "", "index": i}
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
            {"token": token_of("sensor", name), "channel": name, "modality": sensor.modality}
            for name, sensor in sensors.items()
        ],
        "calibrated_sensor": [
            {
                "token": token_of("calibrated_sensor", name),
                "sensor_token": token_of("sensor", name),
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
        "token": token_of("log", drive.name),
        "logfile": logfile(drive),
        "vehicle": "sim",
        "date_captured": "2017-07-14",
        "location": drive.district,
    }


def _scene(log: DriveLog) -> Row:
    name, num = log.drive.name, len(log.time_s)
    return {
        "token": token_of("scene", name),
        "log_token": token_of("log", name),
        "nbr_samples": num,
        "first_sample_token": token_of("sample", name, 0),
        "last_sample_token": token_of("sample", name, num - 1),
        "name": name,
        "description": f"simulated street, district {log.drive.district}",
    }


def _sample(lidar: Channel, index: int) -> Row:
    name = lidar.drive.name
    return {
        "token": token_of("sample", name, index),
        "timestamp": int(lidar.time_us[index]),
        "scene_token": token_of("scene", name),
        **{
            way: "" if other is None else token_of("sample", name, other)
            for way, other in _neighbors(lidar, index).items()
        },
    }


def _sample_data(sensor: Channel, index: int) -> Row:
    return {
        "token": sensor.token(index),
        "sample_token": token_of("sample", sensor.drive.name, index),
        "ego_pose_token": sensor.token(index),
        "calibrated_sensor_token": token_of("calibrated_sensor", sensor.name),
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
