"""Index of nuScenes' key frames, and how it is kept between runs.

Shape letters: S key frames (samples), C channels, Q calibrations.
"""

import hashlib
import json
import logging
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from lidistill.atomic_write import one_at_a_time, replacing
from lidistill.geometry import quaternion_to_matrix, rigid
from lidistill.reading.files import MAX_BYTES, open_file
from lidistill.user_cache import user_cache

logger = logging.getLogger(__name__)

_FORMAT: Final = 2  # of the stored index
_UNREADABLE: Final = (OSError, ValueError, KeyError, EOFError, TypeError, zipfile.BadZipFile)
_PATIENCE: Final = 600.0  # seconds that a process waits for another one to read the tables


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
    """(S, C, 2) height and width of the images."""
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


def kept_key_frames(
    tables: Sequence[Path], folder: Path | None, read: Callable[[], KeyFrames]
) -> KeyFrames:
    """The stored index of some tables as they are now, or a new one, which is then stored.

    Of several processes that want it at once, such as the ranks of a run, one reads the tables
    and the others wait for it. Where nothing can be stored, every one reads.

    Args:
        tables: Files of one version of the data set; a change of size or date makes a new index.
        folder: Where it is kept; None: the user's cache.
        read: Reads the tables.
    """
    stats = [table.stat() for table in tables]
    place = str(tables[0].parent.resolve())
    state = [_FORMAT, place, *((s.st_size, s.st_mtime_ns) for s in stats)]
    name = f"nuscenes-{tables[0].parent.name}-{_digest(place)}"
    try:
        folder = user_cache() if folder is None else folder
        folder.mkdir(parents=True, exist_ok=True)
        stored = folder / f"{name}-{_digest(state)}.npz"
        found = _stored(stored)
        if found is not None:
            return found
        with one_at_a_time(folder / f"{name}.lock", patience=_PATIENCE):
            found = _stored(stored)  # another process may have made it meanwhile
            return found if found is not None else _store(read(), stored, name)
    except OSError as error:
        logger.warning(
            "the index of %s cannot be kept (%s), so every start reads the tables; set "
            "index_cache to a folder that can be written, or to null.",
            tables[0].parent,
            error,
        )
        return read()


def _digest(value: object) -> str:
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()[:16]


def _stored(path: Path) -> KeyFrames | None:
    if not path.is_file():
        return None
    try:
        with (
            open_file(path, max_bytes=MAX_BYTES) as file,
            np.load(file, allow_pickle=False) as arrays,
        ):
            return KeyFrames(**dict(arrays))
    except _UNREADABLE as error:
        logger.warning("the stored index %s is damaged (%s); making a new one", path, error)
        return None


def _store(frames: KeyFrames, path: Path, name: str) -> KeyFrames:
    try:
        with replacing(path) as side, side.open("wb") as file:
            np.savez(file, **asdict(frames))
        for old in path.parent.glob(f"{name}-*.npz"):  # of the tables as they were before
            if old != path:
                old.unlink(missing_ok=True)
    except OSError as error:
        logger.warning("the index %s cannot be kept (%s)", path, error)
    return frames
