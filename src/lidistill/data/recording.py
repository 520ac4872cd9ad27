"""The files of one drive of a user's own recordings, and which pictures belong to which scan."""

import csv
import logging
import os
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from lidistill.data.folder_files import Calibration, linked
from lidistill.data.scanfile import SCAN_SUFFIXES, scan_suffix
from lidistill.data.trajectory import SECOND, Trajectory, nanoseconds, read_poses
from lidistill.errors import DatasetNotFoundError, FileFormatError
from lidistill.geometry import invert_rigid
from lidistill.reading.files import blamed_on, read_file

logger = logging.getLogger(__name__)

PICTURE_SUFFIXES: Final = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".ppm")
LABEL_SUFFIXES: Final = (".label", ".npy")
_TIMES: Final = "times.csv"
_DECIMAL: Final = re.compile(r"[0-9]{1,10}\.[0-9]{1,9}")  # seconds
_UNITS: Final = {19: 1, 16: 1000}  # digits of a time since 1970: nanoseconds, microseconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """A picture of a scan."""

    path: Path
    time_ns: int | None
    """Exposure, on the lidar's clock; None if nobody knows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    """One drive."""

    name: str
    """Its folder below the root; empty if it is the root."""
    calibration: Calibration
    scans: Mapping[str, Path]
    """By the name that a scan's frame has, in reading order."""
    times_ns: Mapping[str, int]
    """Of every scan, or of none."""
    labels: Mapping[str, Path]
    """By the name of the scan."""
    pictures: Mapping[str, Mapping[str, Picture]]
    """By camera and by the name of the scan."""
    poses: Mapping[str, NDArray[np.float64]]
    """(4, 4) ``T_world_lidar`` by the name of the scan; empty without poses."""
    trajectory: Trajectory | None
    """Of the lidar, where poses have times."""

    def frames(self, *, labelled: bool) -> list[str]:
        """Names of all scans and, if labels count, of labels whose scan is absent."""
        return sorted({*self.scans, *self.labels} if labelled else self.scans)

    def frame_id(self, scan: str) -> str:
        """``"<drive>/<scan>"``, or the scan's name alone in a root that is a drive itself."""
        return f"{self.name}/{scan}" if self.name else scan

    def T_cam_lidar(self, scan: str, camera: str) -> NDArray[np.float64]:
        """(4, 4) lidar at scan time to camera at exposure.

        Where times and poses are known, what the vehicle has moved in between is part of it.
        """
        standing = self.calibration.cameras[camera].transform
        exposure = self.pictures[camera][scan].time_ns
        if self.trajectory is None or exposure is None:
            return standing
        T_world_later = self.trajectory.at(exposure)
        T_world_lidar = self.trajectory.at(self.times_ns[scan])
        return standing @ invert_rigid(T_world_later) @ T_world_lidar


def read_recording(folder: Path, name: str, calibration: Calibration) -> Recording:
    """List the files of a drive, and find the pictures of every scan.

    Args:
        folder: The drive.
        name: What it is called; empty if it is the root.
        calibration: Its cameras, and how pictures find their scan.

    Raises:
        DatasetNotFoundError: If there is no scan.
        FileFormatError: If a name, a time or a pose makes no sense, or something is a link.
    """
    scans = _files(folder / "scans", SCAN_SUFFIXES, scan_suffix)
    if not scans:
        msg = f"{folder / 'scans'} holds no scan, expected files in {', '.join(SCAN_SUFFIXES)}."
        raise DatasetNotFoundError(msg)
    times = _times(folder / "scans", scans, by_name=calibration.match == "name")
    poses, trajectory = _poses(folder, tuple(scans), times, calibration)
    return Recording(
        name=name,
        calibration=calibration,
        scans=scans,
        times_ns=times,
        labels=_files(folder / "labels", LABEL_SUFFIXES, _suffix_of(LABEL_SUFFIXES)),
        pictures={
            camera: _pictures(folder / "cameras" / camera, camera, scans, times, calibration)
            for camera in calibration.cameras
        },
        poses=poses,
        trajectory=trajectory,
    )


def subfolders(folder: Path) -> list[Path]:
    """Folders in a folder, in the order of their names; hidden ones left out.

    Raises:
        FileFormatError: If one is a link.
    """
    return sorted(Path(entry) for entry in _entries(folder) if entry.is_dir())


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    if folder.is_symlink():
        raise linked(folder)
    if not folder.is_dir():
        return []
    with os.scandir(folder) as entries:
        shown = [entry for entry in entries if not entry.name.startswith(".")]
    for entry in shown:
        if entry.is_symlink():
            raise linked(Path(entry))
    return shown


def _suffix_of(suffixes: Iterable[str]) -> Callable[[Path], str | None]:
    known = frozenset(suffixes)
    return lambda path: path.suffix.lower() if path.suffix.lower() in known else None


def _files(
    folder: Path, suffixes: tuple[str, ...], suffix_of: Callable[[Path], str | None]
) -> dict[str, Path]:
    """Files of the wanted kinds by their names without ending, in the order of the names."""
    files: dict[str, Path] = {}
    strange = []
    for path in sorted(Path(entry) for entry in _entries(folder)):
        suffix = suffix_of(path)
        if suffix is None:
            strange.append(path.name)
            continue
        stem = path.name[: -len(suffix)]
        if stem in files:
            msg = f"{path} and {files[stem].name} have one name; keep one of the two."
            raise FileFormatError(msg)
        files[stem] = path
    strange = [name for name in strange if name != _TIMES]
    if strange:
        logger.warning(
            "%s: left out %d entries that end in none of %s, first %s.",
            folder, len(strange), " ".join(suffixes), strange[0],
        )  # fmt: skip
    return files


def _times(folder: Path, names: Mapping[str, Path], *, by_name: bool) -> dict[str, int]:
    """Nanoseconds of every file, from ``times.csv`` or from names that are times."""
    table = folder / _TIMES
    if not table.exists():
        return {} if by_name else {name: _time_of(name, folder) for name in names}
    with blamed_on(table):
        rows = list(csv.reader(read_file(table).decode("utf-8").splitlines()))
        if not rows or [cell.strip() for cell in rows[0]] != ["name", "seconds"]:
            msg = "its first line is not 'name,seconds'"
            raise ValueError(msg)
        if any(len(row) != 2 for row in rows):
            msg = "a line has not two values"
            raise ValueError(msg)
        times = {name.strip(): nanoseconds(seconds) for name, seconds in rows[1:]}
        absent = [name for name in names if name not in times]
        if absent:
            msg = f"it has no time of {len(absent)} files, first {absent[0]}"
            raise ValueError(msg)
    return {name: times[name] for name in names}


def _time_of(name: str, folder: Path) -> int:
    if _DECIMAL.fullmatch(name):
        return nanoseconds(name)
    if name.isascii() and name.isdecimal() and len(name) in _UNITS:
        return int(name) * _UNITS[len(name)]
    msg = (
        f"{folder}: the name {name!r} is no time, which 'match: time' needs; expected seconds with "
        f"a dot, 19 digits of nanoseconds or 16 of microseconds, or a file {_TIMES}."
    )
    raise FileFormatError(msg)


def _pictures(
    folder: Path,
    camera: str,
    scans: Mapping[str, Path],
    scan_times: Mapping[str, int],
    calibration: Calibration,
) -> dict[str, Picture]:
    if folder.parent.is_symlink():
        raise linked(folder.parent)
    files = _files(folder, PICTURE_SUFFIXES, _suffix_of(PICTURE_SUFFIXES))
    offset = round(calibration.cameras[camera].time_offset * SECOND)
    by_name = calibration.match == "name"
    times = {n: t + offset for n, t in _times(folder, files, by_name=by_name).items()}
    if by_name:
        known = times if scan_times else {}
        return {n: Picture(path=files[n], time_ns=known.get(n)) for n in scans if n in files}
    if not files:
        return {}
    names = sorted(times, key=lambda name: times[name])
    order = np.array([times[name] for name in names])
    paired = {}
    for scan, time in scan_times.items():
        after = int(np.searchsorted(order, time))
        near = min(range(max(0, after - 1), min(after + 1, len(order))), key=_distance(order, time))
        if abs(int(order[near]) - time) <= calibration.tolerance * SECOND:
            paired[scan] = Picture(path=files[names[near]], time_ns=int(order[near]))
    return paired


def _distance(order: NDArray[np.int64], time: int) -> Callable[[int], int]:
    return lambda index: abs(int(order[index]) - time)


def _poses(
    folder: Path, scans: tuple[str, ...], times: Mapping[str, int], calibration: Calibration
) -> tuple[dict[str, NDArray[np.float64]], Trajectory | None]:
    path = folder / "poses.txt"
    if path.is_symlink():
        raise linked(path)
    if not path.exists():
        return {}, None
    poses, pose_times = read_poses(path)
    if pose_times is None:
        if len(poses) != len(scans):
            msg = f"{path} has {len(poses)} poses, expected one for each of {len(scans)} scans."
            raise FileFormatError(msg)
        by_scan = dict(zip(scans, poses, strict=True))
        if not times or len(scans) < 2:
            return by_scan, None
        scan_times = np.array([times[scan] for scan in scans])
        with blamed_on(folder / "scans"):
            return by_scan, Trajectory(time_ns=scan_times, T_world_lidar=poses)
    if not times:
        msg = f"{path} has times and the scans have none; add scans/{_TIMES}, or set match: time."
        raise FileFormatError(msg)
    with blamed_on(path):
        trajectory = Trajectory(time_ns=pose_times, T_world_lidar=poses)
    margin = round(calibration.tolerance * SECOND)
    outside = [scan for scan in scans if not trajectory.covers(times[scan], margin_ns=margin)]
    if outside:
        msg = (
            f"{path}: {len(outside)} scans lie outside of its times, first {outside[0]}; are both "
            "on one clock? Leave those scans out, or add their poses."
        )
        raise FileFormatError(msg)
    return {scan: trajectory.at(times[scan]) for scan in scans}, trajectory
