"""nuScenes' relational tables, read once and reduced to an index of key frames.

Shape letters: S key frames (samples), C channels, Q calibrations.
"""

import hashlib
import json
import logging
import zipfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from lidistill.data.nuscenes_rows import (
    intrinsics_of,
    name_below_root,
    pose_of,
    read_rows,
    size_of,
    time_of,
)
from lidistill.errors import DatasetNotFoundError, FileFormatError, first_line
from lidistill.geometry import quaternion_to_matrix, rigid

logger = logging.getLogger(__name__)

LIDAR: Final = "LIDAR_TOP"
CAMERAS: Final = (
    "CAM_FRONT",
    "CAM_FRONT_RIGHT",
    "CAM_BACK_RIGHT",
    "CAM_BACK",
    "CAM_BACK_LEFT",
    "CAM_FRONT_LEFT",
)
CHANNELS: Final = (LIDAR, *CAMERAS)
_TABLES: Final = ("scene", "sample", "sensor", "calibrated_sensor", "sample_data", "ego_pose")
_FORMAT: Final = 1  # of the stored index
_UNREADABLE: Final = (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile)


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyFrames:
    """All key frames of some tables, sorted by scene and time."""

    scene: NDArray[np.str_]
    """(S,) name, for example ``"scene-0061"``."""
    token: NDArray[np.bytes_]
    """(S,) of the sample."""
    lidar_token: NDArray[np.bytes_]
    """(S,) of the scan in ``sample_data``; label files are named after it."""
    filename: NDArray[np.bytes_]
    """(S, C) name below the root; empty where the tables have none."""
    size_hw: NDArray[np.int32]
    """(S, C, 2) height and width of the pictures."""
    ego_pose: NDArray[np.float64]
    """(S, C, 7) vehicle in the world at capture: translation in metres, quaternion w x y z."""
    calibration: NDArray[np.int32]
    """(S, C) index of the sensor's calibration."""
    mounting: NDArray[np.float64]
    """(Q, 7) sensor on the vehicle: translation in metres, quaternion w x y z."""
    K: NDArray[np.float64]
    """(Q, 3, 3) pixels; zero for lidars."""

    def __len__(self) -> int:
        return len(self.token)

    def T_world_ego(self, frame: int, channel: int) -> NDArray[np.float64]:
        """(4, 4) pose of the vehicle when a channel of a frame was captured."""
        return _matrix(self.ego_pose[frame, channel])

    def T_ego_sensor(self, frame: int, channel: int) -> NDArray[np.float64]:
        """(4, 4) pose of a sensor on the vehicle."""
        return _matrix(self.mounting[self.calibration[frame, channel]])


def _matrix(pose: NDArray[np.float64]) -> NDArray[np.float64]:
    return rigid(quaternion_to_matrix(pose[3:]), pose[:3])


def read_key_frames(folder: Path, cache: Path | None = None) -> KeyFrames:
    """Index of the key frames of one version of the data set.

    Args:
        folder: The tables, for example ``<root>/v1.0-trainval``.
        cache: Folder in which the index is kept between runs; None reads the tables every time.

    Raises:
        DatasetNotFoundError: If a table is missing.
        FileFormatError: If a table is damaged, or speaks of rows that another one lacks.
    """
    for table in _TABLES:
        if not (folder / f"{table}.json").exists():
            msg = f"{folder} has no table {table}.json; unpack the archive of its metadata again."
            raise DatasetNotFoundError(msg)
    if cache is None:
        logger.info("reading the tables in %s; index_cache keeps the result", folder)
        return _index(folder)
    stats = [(folder / f"{table}.json").stat() for table in _TABLES]
    state = [_FORMAT, str(folder.resolve()), *((s.st_size, s.st_mtime_ns) for s in stats)]
    key = hashlib.sha256(json.dumps(state).encode()).hexdigest()[:16]
    stored = cache / f"nuscenes-{folder.name}-{key}.npz"
    if stored.is_file():
        try:
            return _stored(stored)
        except (*_UNREADABLE, TypeError) as error:
            logger.warning("the stored index %s is damaged (%s); making a new one", stored, error)
    frames = _index(folder)
    cache.mkdir(parents=True, exist_ok=True)
    side = stored.with_suffix(".tmp")
    with side.open("wb") as file:
        np.savez(file, **asdict(frames))
    side.replace(stored)
    return frames


def _stored(path: Path) -> KeyFrames:
    with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
        return KeyFrames(**dict(arrays))


def _index(folder: Path) -> KeyFrames:
    builder = _Builder(folder)
    try:
        return builder.build()
    except KeyError as error:
        msg = (
            f"{builder.reading}: it or a table it refers to lacks the row or the column "
            f"{str(error)[:80]}; unpack its archive again."
        )
        raise FileFormatError(msg) from error
    except (TypeError, ValueError, ArithmeticError) as error:
        msg = (
            f"{builder.reading}: the table cannot be used ({first_line(error)[:200]}); unpack its "
            "archive again."
        )
        raise FileFormatError(msg) from error


class _Builder:
    """Joins the tables; every dictionary is keyed by tokens."""

    def __init__(self, folder: Path) -> None:
        self.reading = folder
        self._folder = folder

    def _join(self) -> None:
        """Everything but the key frames themselves."""
        scenes = {row["token"]: str(row["name"]) for row in self._rows("scene")}
        samples = sorted(
            (scenes[row["scene_token"]], time_of(row), str(row["token"]))
            for row in self._rows("sample")
        )
        self._scene = np.array([scene for scene, _, _ in samples], dtype=np.str_)
        self._row = {token: row for row, (_, _, token) in enumerate(samples)}
        channels = {row["token"]: row["channel"] for row in self._rows("sensor")}
        self._mounting: list[NDArray[np.float64]] = []
        self._K: list[NDArray[np.float64]] = []
        self._sensor: dict[str, tuple[int, int]] = {}  # channel, calibration
        for row in self._rows("calibrated_sensor"):
            channel = channels[row["sensor_token"]]
            if channel in CHANNELS:
                self._sensor[row["token"]] = (CHANNELS.index(channel), len(self._mounting))
                self._mounting.append(pose_of(row))
                self._K.append(intrinsics_of(row) if channel != LIDAR else np.zeros((3, 3)))

    def _rows(self, table: str) -> Iterator[dict[str, Any]]:
        self.reading = self._folder / f"{table}.json"
        return read_rows(self.reading)

    def build(self) -> KeyFrames:
        """Read all tables."""
        self._join()
        shape = (len(self._row), len(CHANNELS))
        files = [[""] * shape[1] for _ in range(shape[0])]
        lidar_tokens = [""] * shape[0]
        size_hw = np.zeros((*shape, 2), dtype=np.int32)
        calibration = np.full(shape, -1, dtype=np.int32)
        taken_at: dict[str, list[tuple[int, int]]] = {}
        for row in self._rows("sample_data"):
            if not row["is_key_frame"] or row["calibrated_sensor_token"] not in self._sensor:
                continue
            channel, number = self._sensor[row["calibrated_sensor_token"]]
            frame = self._row[row["sample_token"]]
            if calibration[frame, channel] >= 0:
                msg = f"sample {row['sample_token']} has two key frames of {CHANNELS[channel]}"
                raise ValueError(msg)
            calibration[frame, channel] = number
            files[frame][channel] = name_below_root(row["filename"])
            taken_at.setdefault(row["ego_pose_token"], []).append((frame, channel))
            if channel:
                size_hw[frame, channel] = size_of(row)
            else:
                lidar_tokens[frame] = row["token"]
        return KeyFrames(
            scene=self._scene,
            token=_ascii(list(self._row)),
            lidar_token=_ascii(lidar_tokens),
            filename=_ascii(files).reshape(shape),
            size_hw=size_hw,
            ego_pose=self._ego_poses(taken_at, shape),
            calibration=calibration,
            mounting=np.array(self._mounting).reshape(-1, 7),
            K=np.array(self._K).reshape(-1, 3, 3),
        )

    def _ego_poses(
        self, taken_at: dict[str, list[tuple[int, int]]], shape: tuple[int, int]
    ) -> NDArray[np.float64]:
        poses = np.zeros((*shape, 7))
        for row in self._rows("ego_pose"):
            places = taken_at.pop(row["token"], None)
            if places is not None:
                pose = pose_of(row)
                for place in places:
                    poses[place] = pose
        if taken_at:
            msg = f"ego_pose.json lacks {len(taken_at)} rows, first {next(iter(taken_at))}"
            raise ValueError(msg)
        return poses


def _ascii(texts: list[Any]) -> NDArray[np.bytes_]:
    return np.char.encode(np.array(texts, dtype=np.str_), "utf-8")
