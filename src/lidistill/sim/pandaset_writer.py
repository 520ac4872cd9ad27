"""PandaSet's files as PandaSet has them; every file is written beside its place and renamed.

Shape letters: T frames of a drive, N points of a frame.
"""

import gzip
import io
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
import simplejpeg
from numpy.typing import NDArray

from lidistill.errors import require
from lidistill.labels import load_label_map
from lidistill.sim.rig import CameraModel

Float64: TypeAlias = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class DriveTables:
    """What is known of a drive besides its scans and pictures."""

    T_world_ego: Float64
    """(T, 4, 4) ego poses; x right, y forward, z up."""
    timestamps: Float64
    """(T,) seconds."""
    cameras: tuple[CameraModel, ...]
    latitude: float
    """Degrees; over 37.6 the drive belongs to the training split."""
    longitude: float = -122.4


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameRecord:
    """The measurements of one moment."""

    points: Float64
    """(N, 3) metres, world."""
    intensity: NDArray[np.float32]
    """(N,) 0 to 255."""
    time: Float64
    """(N,) seconds."""
    sensor: NDArray[np.int64]
    """(N,) 0 for Pandar64, 1 for PandarGT."""
    label: NDArray[np.uint8]
    """(N,) raw class ids."""
    images: Mapping[str, NDArray[np.uint8]]
    """(H, W, 3) sRGB of each camera."""


def write_tables(folder: Path, tables: DriveTables) -> None:
    """Write calibration, poses, timestamps, positions and class names of a drive."""
    times = tables.timestamps.tolist()
    for part in ("lidar", "meta"):
        _write_json(folder / part / "timestamps.json", times)
    _write_json(folder / "lidar" / "poses.json", [_pose(T) for T in tables.T_world_ego])
    for camera in tables.cameras:
        place = folder / "camera" / camera.name
        poses = [_pose(T @ camera.T_body_camera) for T in tables.T_world_ego]
        intrinsics = dict(zip(("fx", "fy"), np.diag(camera.K)[:2].tolist(), strict=True))
        intrinsics |= {"cx": float(camera.K[0, 2]), "cy": float(camera.K[1, 2])}
        _write_json(place / "poses.json", poses)
        _write_json(place / "intrinsics.json", intrinsics)
        _write_json(place / "timestamps.json", times)
    names = {str(i): name for i, name in load_label_map("pandaset").raw_names.items() if i > 0}
    _write_json(folder / "annotations" / "semseg" / "classes.json", names)
    _write_json(folder / "meta" / "gps.json", _positions(tables))


def write_frame(folder: Path, index: int, record: FrameRecord) -> None:
    """Write one frame; its labels come last, so that they tell whether it is complete."""
    pandas = require("pandas", extra="sim")
    for name, image in record.images.items():
        jpeg = simplejpeg.encode_jpeg(np.ascontiguousarray(image), quality=92)
        _write(folder / "camera" / name / f"{index:02d}.jpg", jpeg)
    columns: dict[str, NDArray[np.generic]] = {
        axis: record.points[:, i].astype(np.float32) for i, axis in enumerate("xyz")
    }
    columns |= {"i": record.intensity, "t": record.time, "d": record.sensor}
    for parent, table in (
        (folder / "lidar", columns),
        (folder / "annotations" / "semseg", {"class": record.label.astype(np.int64)}),
    ):
        frame = pandas.DataFrame(table)
        frame.columns = frame.columns.astype(object)  # plain strings, also where pyarrow is there
        pickled = io.BytesIO()
        frame.to_pickle(pickled, compression=None, protocol=4)
        packed = gzip.compress(pickled.getvalue(), compresslevel=1, mtime=0)
        _write(parent / f"{index:02d}.pkl.gz", packed)


def is_complete(folder: Path, index: int) -> bool:
    """Whether that frame has been written to its end."""
    return (folder / "annotations" / "semseg" / f"{index:02d}.pkl.gz").is_file()


def quaternion(rotation: Float64) -> Float64:
    """(4,) quaternion (w, x, y, z), w >= 0, of a (3, 3) rotation.

    References:
        I. Y. Bar-Itzhack, "New method for extracting the quaternion from a rotation matrix", 2000.
    """
    r = rotation
    symmetric = np.array(
        [
            [r[0, 0] - r[1, 1] - r[2, 2], r[1, 0] + r[0, 1], r[2, 0] + r[0, 2], r[2, 1] - r[1, 2]],
            [r[1, 0] + r[0, 1], r[1, 1] - r[0, 0] - r[2, 2], r[2, 1] + r[1, 2], r[0, 2] - r[2, 0]],
            [r[2, 0] + r[0, 2], r[2, 1] + r[1, 2], r[2, 2] - r[0, 0] - r[1, 1], r[1, 0] - r[0, 1]],
            [r[2, 1] - r[1, 2], r[0, 2] - r[2, 0], r[1, 0] - r[0, 1], np.trace(r)],
        ]
    )
    x, y, z, w = np.linalg.eigh(symmetric)[1][:, -1]
    return np.array([w, x, y, z]) * (1.0 if w >= 0 else -1.0)


def _pose(T: Float64) -> dict[str, dict[str, float]]:
    return {
        "position": dict(zip("xyz", T[:3, 3].tolist(), strict=True)),
        "heading": dict(zip("wxyz", quaternion(T[:3, :3]).tolist(), strict=True)),
    }


def _positions(tables: DriveTables) -> list[dict[str, float]]:
    metres_per_degree = 111_320.0
    position = tables.T_world_ego[:, :3, 3]
    velocity = np.zeros_like(position)
    if len(position) > 1:
        velocity = np.gradient(position, tables.timestamps, axis=0)
    shrink = np.cos(np.radians(tables.latitude))
    return [
        {
            "lat": float(tables.latitude + p[1] / metres_per_degree),
            "long": float(tables.longitude + p[0] / metres_per_degree / shrink),
            "height": float(p[2]),
            "xvel": float(v[0]),
            "yvel": float(v[1]),
        }
        for p, v in zip(position, velocity, strict=True)
    ]


def _write_json(path: Path, content: object) -> None:
    _write(path, json.dumps(content).encode())


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    side = path.with_name(f".{path.name}.{os.getpid()}")
    side.write_bytes(content)
    side.replace(path)
