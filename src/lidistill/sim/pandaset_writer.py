"""PandaSet's files as PandaSet has them.

Shape letters: T frames of a drive.
"""

import gzip
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from lidistill.errors import require
from lidistill.labels import load_label_map
from lidistill.sim.classes import raw_ids
from lidistill.sim.files import quaternion, write, write_jpeg, write_json
from lidistill.sim.plan import Drive
from lidistill.sim.recording import DriveLog, FrameRecord

Float64: TypeAlias = NDArray[np.float64]
Array: TypeAlias = NDArray[np.generic]

_LATITUDE: Final = {"train": 37.77, "val": 37.45}  # degrees; the splits are told apart by it
_LONGITUDE: Final = -122.4
_METRES_PER_DEGREE: Final = 111_320.0


class PandaSetWriter:
    """One folder per drive; points of both lidars together, in world coordinates."""

    def is_complete(self, root: Path, drive: Drive, index: int) -> bool:
        """Whether that frame has been written to its end."""
        return _labels(root, drive, index).is_file()

    def write_frame(self, root: Path, log: DriveLog, record: FrameRecord) -> None:
        """Write one frame; its labels come last, so that they tell whether it is complete."""
        folder, scans = root / log.drive.name, record.scans
        for name, image in record.images.items():
            write_jpeg(folder / "camera" / name / f"{record.index:02d}.jpg", image)
        points = np.concatenate([scan.points for scan in scans]).astype(np.float32)
        stamp = log.start_s + log.time_s[record.index]
        columns: dict[str, Array] = {axis: points[:, i] for i, axis in enumerate("xyz")}
        columns |= {
            "i": np.concatenate([scan.intensity for scan in scans]),
            "t": stamp + np.concatenate([scan.delay_s for scan in scans]),
            "d": np.repeat(np.arange(len(scans)), [len(scan.points) for scan in scans]),
        }
        _write_table(folder / "lidar" / f"{record.index:02d}.pkl.gz", columns)
        kind = np.concatenate([scan.kind for scan in scans])
        labels = {"class": raw_ids("pandaset", kind).astype(np.int64)}
        _write_table(_labels(root, log.drive, record.index), labels)

    def write_tables(self, root: Path, logs: list[DriveLog]) -> None:
        """Write calibration, poses, time stamps, positions and class names of every drive."""
        names = {str(i): name for i, name in load_label_map("pandaset").raw_names.items() if i > 0}
        for log in logs:
            folder = root / log.drive.name
            times = log.start_s + log.time_s
            write_json(folder / "lidar" / "timestamps.json", times.tolist())
            write_json(folder / "lidar" / "poses.json", [_pose(T) for T in log.T_world_body])
            for camera in log.rig.cameras:
                place = folder / "camera" / camera.name
                poses = [_pose(T @ camera.T_body_camera) for T in log.T_world_body_of[camera.name]]
                fx, fy, cx, cy = (float(camera.K[k]) for k in ((0, 0), (1, 1), (0, 2), (1, 2)))
                write_json(place / "poses.json", poses)
                write_json(place / "intrinsics.json", {"fx": fx, "fy": fy, "cx": cx, "cy": cy})
                write_json(place / "timestamps.json", (times + camera.delay_s).tolist())
            write_json(folder / "annotations" / "semseg" / "classes.json", names)
            write_json(folder / "meta" / "timestamps.json", times.tolist())
            write_json(folder / "meta" / "gps.json", _positions(log))


def _labels(root: Path, drive: Drive, index: int) -> Path:
    return root / drive.name / "annotations" / "semseg" / f"{index:02d}.pkl.gz"


def _write_table(path: Path, columns: Mapping[str, Array]) -> None:
    frame = require("pandas", extra="sim").DataFrame(columns)
    frame.columns = frame.columns.astype(object)  # plain strings, also where pyarrow is there
    pickled = io.BytesIO()
    frame.to_pickle(pickled, compression=None, protocol=4)
    write(path, gzip.compress(pickled.getvalue(), compresslevel=1, mtime=0))


def _pose(T: Float64) -> dict[str, dict[str, float]]:
    return {
        "position": dict(zip("xyz", T[:3, 3].tolist(), strict=True)),
        "heading": dict(zip("wxyz", quaternion(T[:3, :3]).tolist(), strict=True)),
    }


def _positions(log: DriveLog) -> list[dict[str, float]]:
    latitude = _LATITUDE[log.drive.split]
    position = log.T_world_body[:, :3, 3]
    velocity = np.zeros_like(position)
    if len(position) > 1:
        velocity = np.gradient(position, log.time_s, axis=0)
    shrink = np.cos(np.radians(latitude))
    return [
        {
            "lat": float(latitude + p[1] / _METRES_PER_DEGREE),
            "long": float(_LONGITUDE + p[0] / _METRES_PER_DEGREE / shrink),
            "height": float(p[2]),
            "xvel": float(v[0]),
            "yvel": float(v[1]),
        }
        for p, v in zip(position, velocity, strict=True)
    ]
