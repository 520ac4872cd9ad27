"""Writes a miniature PandaSet in its own format."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
from fakes.pickles import old_dataframe, write_pickle
from PIL import Image

CAMERAS = (
    "back_camera",
    "front_camera",
    "front_left_camera",
    "front_right_camera",
    "left_camera",
    "right_camera",
)
IDENTITY = {
    "position": {"x": 0.0, "y": 0.0, "z": 0.0},
    "heading": {"w": 1.0, "x": 0.0, "y": 0.0, "z": 0.0},
}
FORWARD = {  # a camera at the origin that looks along the world's x axis
    "position": {"x": 0.0, "y": 0.0, "z": 0.0},
    "heading": {"w": 0.5, "x": -0.5, "y": 0.5, "z": -0.5},
}
INTRINSICS = {"fx": 40.0, "fy": 40.0, "cx": 32.0, "cy": 16.0}
SAN_FRANCISCO, EL_CAMINO = 37.77, 37.5


@dataclass(kw_only=True)
class Camera:
    intrinsics: dict[str, float] = field(default_factory=lambda: dict(INTRINSICS))
    pose: dict[str, dict[str, float]] = field(default_factory=lambda: FORWARD)
    image: np.ndarray | None = None  # (H, W, 3); None: grey, 32 x 64


@dataclass(kw_only=True)
class Drive:
    """What to write; every frame has the same points and images."""

    frames: tuple[int, ...] = (0, 1, 2)
    num_poses: int = 80
    points: np.ndarray | None = None  # (N, 3) world, metres; None: 60 drawn ones
    intensity: np.ndarray | None = None
    device: np.ndarray | None = None  # None: Pandar64 and PandarGT in turn
    classes: np.ndarray | None = None  # raw ids; None: all of them in turn
    pose: dict[str, dict[str, float]] = field(default_factory=lambda: IDENTITY)
    cameras: dict[str, Camera] = field(default_factory=lambda: {n: Camera() for n in CAMERAS})
    latitude: float | None = SAN_FRANCISCO
    labelled: bool = True
    style: Literal["new", "old"] = "new"


def write_drive(root: Path, name: str = "001", drive: Drive | None = None) -> Path:
    drive = drive or Drive()
    folder = root / name
    points, columns, classes = _tables(drive)
    columns = dict(zip("xyz", points.T, strict=True)) | columns
    for frame in drive.frames:
        _write_table(folder / "lidar" / f"{frame:02d}.pkl.gz", columns, drive.style)
        if drive.labelled:
            path = folder / "annotations" / "semseg" / f"{frame:02d}.pkl.gz"
            _write_table(path, {"class": classes}, drive.style)
    _write_json(folder / "lidar" / "poses.json", [drive.pose] * drive.num_poses)
    for camera_name, camera in drive.cameras.items():
        _write_camera(folder / "camera" / camera_name, camera, drive)
    if drive.latitude is not None:
        entry = {"lat": drive.latitude, "long": -122.4, "height": 3.0}
        _write_json(folder / "meta" / "gps.json", [entry] * drive.num_poses)
    return folder


@dataclass(kw_only=True)
class Cuboid:
    """A box around an object, in the world."""

    label: str
    center: tuple[float, float, float]
    size: tuple[float, float, float]  # width, length, height
    yaw: float = 0.0
    sensor: int = -1


def write_cuboids(folder: Path, frame: int, cuboids: list[Cuboid]) -> Path:
    path = folder / "annotations" / "cuboids" / f"{frame:02d}.pkl.gz"
    columns = {
        "label": np.array([one.label for one in cuboids], dtype=object),
        "yaw": np.array([one.yaw for one in cuboids]),
        "cuboids.sensor_id": np.array([one.sensor for one in cuboids]),
    }
    for axis, letter in enumerate("xyz"):
        columns[f"position.{letter}"] = np.array([one.center[axis] for one in cuboids])
        columns[f"dimensions.{letter}"] = np.array([one.size[axis] for one in cuboids])
    _write_table(path, columns, "old")
    return path


def _tables(drive: Drive) -> tuple[np.ndarray, dict[str, np.ndarray], np.ndarray]:
    rng = np.random.default_rng(0)
    points = drive.points if drive.points is not None else rng.uniform(-20, 20, (60, 3))
    count = np.arange(len(points))
    intensity = drive.intensity if drive.intensity is not None else (count % 256).astype(float)
    device = drive.device if drive.device is not None else count % 2
    classes = drive.classes if drive.classes is not None else count % 43
    return points, {"i": intensity, "t": count * 1e-6, "d": device}, classes


def _write_table(path: Path, columns: dict[str, np.ndarray], style: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if style == "old":
        write_pickle(path, old_dataframe({name: np.array(v) for name, v in columns.items()}))
    else:
        frame = pd.DataFrame(columns)
        frame.columns = frame.columns.astype(object)  # plain strings, also where pyarrow is there
        frame.to_pickle(path)


def _write_camera(folder: Path, camera: Camera, drive: Drive) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    grey = np.full((32, 64, 3), 128, dtype=np.uint8)
    image = Image.fromarray(grey if camera.image is None else camera.image)
    for frame in drive.frames:
        image.save(folder / f"{frame:02d}.jpg", quality=95, subsampling=0)
    _write_json(folder / "intrinsics.json", camera.intrinsics)
    _write_json(folder / "poses.json", [camera.pose] * drive.num_poses)


def _write_json(path: Path, content: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))


def write_copy(folder: Path) -> dict[str, str]:
    """See ``contract/test_datasets.py``."""
    write_drive(folder)
    return {"split": "all"}
