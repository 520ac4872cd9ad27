"""What lies on disk of one PandaSet drive: frames, images, labels and the calibration."""

from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lidistill.errors import FileFormatError, first_line
from lidistill.geometry import MAX_WORLD, check_unit, quaternion_to_matrix, rigid
from lidistill.reading.files import MAX_JSON_BYTES, may_look_into, parse_json, read_file
from lidistill.reading.text import decode_text

_TABLES = (".pkl", ".pkl.gz")  # the published one last: it is taken where both are there
_IMAGES = (".jpg", ".jpeg", ".png")
_UNUSABLE = (LookupError, TypeError, ValueError, ArithmeticError)


@dataclass(frozen=True, slots=True, kw_only=True)
class CameraFiles:
    """One camera of a drive."""

    name: str
    folder: Path
    images: dict[str, Path]
    """Image of every frame (``"00"``, ``"01"``, …) that has one."""
    K: NDArray[np.float64]
    """(3, 3) pixels."""
    T_world_cam: dict[str, NDArray[np.float64]] = field(repr=False)
    """(4, 4) at the exposure of each image, metres."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DriveFiles:
    """One drive: what there is of it."""

    name: str
    scans: dict[str, Path]
    """Table of points of every frame that has one, in order."""
    labels: dict[str, Path]
    """Table of classes of every frame that has one."""
    cuboids: dict[str, Path]
    """Table of boxes around objects of every frame that has one."""
    cameras: dict[str, CameraFiles]
    T_world_ego: dict[str, NDArray[np.float64]] = field(repr=False)
    """(4, 4) pose of the vehicle at each scan, metres."""
    num_poses: int
    """Frames that the drive's pose file speaks of, on disk or not."""
    latitude: float | None
    """Degrees, of the first entry of ``meta/gps.json``; None without that file."""


def is_drive(folder: Path) -> bool:
    """Whether a folder looks like a PandaSet drive."""
    return may_look_into(folder) and bool(_numbered(folder / "lidar", _TABLES))


def read_drive(folder: Path, cameras: Collection[str]) -> DriveFiles:
    """List the files of a drive and read its small JSON tables.

    Args:
        folder: The drive, for example ``<root>/002``.
        cameras: Names of the cameras to look for; those without a folder are left out.

    Raises:
        DatasetNotFoundError: If a pose or intrinsics file is missing.
        FileFormatError: If one is damaged or does not fit the frames on disk.
    """
    scans = _numbered(folder / "lidar", _TABLES)
    lidar_poses = read_json(folder / "lidar" / "poses.json", list)
    return DriveFiles(
        name=folder.name,
        scans=scans,
        labels=_numbered(folder / "annotations" / "semseg", _TABLES),
        cuboids=_numbered(folder / "annotations" / "cuboids", _TABLES),
        cameras={
            name: _read_camera(folder / "camera" / name)
            for name in cameras
            if (folder / "camera" / name).is_dir()
        },
        T_world_ego=_poses(folder / "lidar" / "poses.json", lidar_poses, list(scans)),
        num_poses=len(lidar_poses),
        latitude=_latitude(folder / "meta" / "gps.json"),
    )


def read_json(path: Path, kind: type) -> Any:
    """Content of a JSON file whose outermost value is a list or a dict.

    Raises:
        DatasetNotFoundError: If there is no such file.
        FileFormatError: If it is no JSON, or holds something else.
    """
    try:
        content = parse_json(decode_text(read_file(path, max_bytes=MAX_JSON_BYTES)))
    except ValueError as error:
        msg = f"{path} is not readable as JSON ({first_line(error)[:200]}); unpack it again."
        raise FileFormatError(msg) from error
    if not isinstance(content, kind):
        found = type(content).__name__
        msg = f"{path} holds a {found}, expected a {kind.__name__}; is it another data set's file?"
        raise FileFormatError(msg)
    return content


def _numbered(folder: Path, suffixes: tuple[str, ...]) -> dict[str, Path]:
    """Files whose name is a frame number, in the order of the numbers, one for every number."""
    files: dict[str, Path] = {}
    for path in folder.iterdir() if folder.is_dir() else ():
        frame, dot, suffix = path.name.partition(".")
        if not (frame.isdecimal() and frame.isascii() and dot + suffix.lower() in suffixes):
            continue
        if frame not in files or _rank(path, suffixes) > _rank(files[frame], suffixes):
            files[frame] = path
    return dict(sorted(files.items(), key=lambda item: int(item[0])))


def _rank(path: Path, suffixes: tuple[str, ...]) -> int:
    """Which of several files of a frame is taken: the one whose suffix is named last."""
    return suffixes.index(f".{path.name.lower().partition('.')[2]}")


def _read_camera(folder: Path) -> CameraFiles:
    images = _numbered(folder, _IMAGES)
    path = folder / "poses.json"
    source = folder / "intrinsics.json"
    intrinsics = read_json(source, dict)
    try:
        fx, fy, cx, cy = (float(intrinsics[key]) for key in ("fx", "fy", "cx", "cy"))
    except _UNUSABLE as error:
        reason = first_line(error)[:200]
        msg = f"{source}: no usable entry {reason}; expected the numbers fx, fy, cx and cy."
        raise FileFormatError(msg) from error
    return CameraFiles(
        name=folder.name,
        folder=folder,
        images=images,
        K=np.array([[fx, 0.0, cx], [0.0, fy, cy], [0.0, 0.0, 1.0]]),
        T_world_cam=_poses(path, read_json(path, list), list(images)),
    )


def _poses(path: Path, entries: list[Any], frames: list[str]) -> dict[str, NDArray[np.float64]]:
    """Pose of every frame on disk.

    The entries are counted by frame number; a file that was cut down to the frames on disk has as
    many entries as there are frames, fewer than the last number.
    """
    if not frames:
        return {}
    if int(frames[-1]) < len(entries):
        rows = [int(frame) for frame in frames]
    elif len(entries) == len(frames):
        rows = list(range(len(frames)))
    else:
        msg = (
            f"{path} has {len(entries)} poses for {len(frames)} files numbered {frames[0]} to "
            f"{frames[-1]}; expected one per number, or one per file. Unpack it again."
        )
        raise FileFormatError(msg)
    return {
        frame: _pose(entries[row], f"{path}, entry {row}")
        for frame, row in zip(frames, rows, strict=True)
    }


def _pose(entry: Any, source: str) -> NDArray[np.float64]:
    try:
        position, heading = entry["position"], entry["heading"]
        translation = [float(position[axis]) for axis in "xyz"]
        quaternion = [float(heading[axis]) for axis in "wxyz"]
        rotation = quaternion_to_matrix(quaternion)
        check_unit(quaternion)
    except _UNUSABLE as error:
        msg = (
            f"{source}: no usable pose ({first_line(error)[:200]}); expected position x y z and "
            "heading w x y z."
        )
        raise FileFormatError(msg) from error
    if not np.abs(translation).max() <= MAX_WORLD:
        msg = f"{source}: the position {translation} is not finite or on no map; unpack it again."
        raise FileFormatError(msg)
    return rigid(rotation, translation)


def _latitude(path: Path) -> float | None:
    if not path.exists():
        return None
    entries = read_json(path, list)
    try:
        latitude = float(entries[0]["lat"])
    except _UNUSABLE as error:
        reason = first_line(error)[:200]
        msg = f"{path}: its first entry has no usable 'lat' ({reason}); unpack it again."
        raise FileFormatError(msg) from error
    if not abs(latitude) <= 90:
        msg = f"{path}: its first latitude is {latitude}; unpack it again."
        raise FileFormatError(msg)
    return latitude
