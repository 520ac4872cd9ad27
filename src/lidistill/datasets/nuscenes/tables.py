"""nuScenes' relational tables, read once and reduced to an index of key frames.

Shape letters: S key frames (samples), C channels, Q calibrations.
"""

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from lidistill.datasets.nuscenes.index import KeyFrames, kept_key_frames
from lidistill.datasets.nuscenes.rows import intrinsics_of, pose_of, read_rows, size_of, time_of
from lidistill.errors import DatasetNotFoundError, FileFormatError, first_line
from lidistill.reading.names import path_part, relative_path, shown

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
IndexCache: TypeAlias = Path | Literal["user"] | None


def read_key_frames(folder: Path, cache: IndexCache = "user") -> KeyFrames:
    """Index of the key frames of one version of the data set.

    Args:
        folder: The tables, for example ``<root>/v1.0-trainval``.
        cache: Folder in which the index is kept between runs; ``"user"``: the user's cache; None
            reads the tables every time.

    Raises:
        DatasetNotFoundError: If a table is missing.
        FileFormatError: If a table is damaged, or speaks of rows that another one lacks.
    """
    tables = [folder / f"{table}.json" for table in _TABLES]
    for table in tables:
        if not table.exists():
            msg = f"{folder} has no table {table.name}; unpack the archive of its metadata again."
            raise DatasetNotFoundError(msg)
    if cache is None:
        logger.info("reading the tables in %s; index_cache keeps the result", folder)
        return _index(folder)
    place = None if cache == "user" else Path(cache)
    return kept_key_frames(tables, place, lambda: _index(folder))


def _index(folder: Path) -> KeyFrames:
    builder = _Builder(folder)
    try:
        return builder.build()
    except KeyError as error:
        msg = (
            f"{builder.reading}: it or a table it refers to lacks the row or the column "
            f"{shown(error.args[0])}; unpack its archive again."
        )
        raise FileFormatError(msg) from error
    except (TypeError, ValueError, ArithmeticError) as error:
        msg = (
            f"{builder.reading}: the table cannot be used ({first_line(error)[:300]}); mend "
            "it, or unpack its archive again."
        )
        raise FileFormatError(msg) from error


class _Builder:
    """Joins the tables; every dictionary is keyed by tokens."""

    def __init__(self, folder: Path) -> None:
        self.reading = folder
        self._folder = folder

    def _join(self) -> None:
        """Everything but the key frames themselves."""
        scenes = {
            row["token"]: path_part(row["name"], "name of a scene") for row in self._rows("scene")
        }
        samples = [
            (scenes[row["scene_token"]], time_of(row), path_part(row["token"], "sample token"))
            for row in self._rows("sample")
        ]
        samples.sort(key=lambda sample: sample[:2])  # of one time: as they follow in the table
        repeated = len(samples) - len({sample[:2] for sample in samples})
        if repeated:
            logger.warning(
                "%s: %d of %d samples have the timestamp of another one of their scene (whole "
                "microseconds are wanted); they are taken in the order of the table.",
                self.reading, repeated, len(samples),
            )  # fmt: skip
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
                sample = shown(row["sample_token"])
                msg = f"sample {sample} has two key frames of {CHANNELS[channel]}"
                raise ValueError(msg)
            calibration[frame, channel] = number
            files[frame][channel] = relative_path(row["filename"], "file name")
            taken_at.setdefault(row["ego_pose_token"], []).append((frame, channel))
            if channel:
                size_hw[frame, channel] = size_of(row)
            else:
                lidar_tokens[frame] = path_part(row["token"], "token of a scan")
        return KeyFrames(
            scene=self._scene,
            token=_encoded(list(self._row)),
            lidar_token=_encoded(lidar_tokens),
            filename=_encoded([name for names in files for name in names]).reshape(shape),
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
            msg = f"ego_pose.json lacks {len(taken_at)} rows, first {shown(next(iter(taken_at)))}"
            raise ValueError(msg)
        return poses


def _encoded(texts: list[str]) -> NDArray[np.bytes_]:
    return np.array([text.encode() for text in texts], dtype=np.bytes_)
