"""The files of one drive of a user's own recordings, and which images belong to which scan."""

import logging
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from lidistill.datasets.own.file_times import TIMES, file_times
from lidistill.datasets.own.files import Calibration, linked
from lidistill.datasets.own.nearest import describe_gaps, describe_names, nearest_images
from lidistill.datasets.own.scan_poses import scan_poses
from lidistill.datasets.own.trajectory import SECOND, Trajectory
from lidistill.errors import DatasetNotFoundError, FileFormatError
from lidistill.geometry import invert_rigid
from lidistill.reading.names import in_order, listed, shown
from lidistill.scan_formats.scan_file import SCAN_SUFFIXES, scan_suffix

logger = logging.getLogger(__name__)

IMAGE_SUFFIXES: Final = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".ppm")
LABEL_SUFFIXES: Final = (".label", ".npy")


@dataclass(frozen=True, slots=True, kw_only=True)
class ScanImage:
    """An image of a scan."""

    path: Path
    time_ns: int | None
    """Exposure, on the lidar's clock; None if nobody knows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Drive:
    """The scans, images, labels and poses of one drive."""

    name: str
    """Its folder below the root; empty if it is the root."""
    calibration: Calibration
    scans: Mapping[str, Path]
    """By the name that a scan's frame has, in reading order."""
    times_ns: Mapping[str, int]
    """Of every scan, or of none."""
    labels: Mapping[str, Path]
    """By the name of the scan."""
    images: Mapping[str, Mapping[str, ScanImage]]
    """By camera and by the name of the scan."""
    unpaired: Mapping[str, str]
    """By camera: why scans have no image of it although there are some."""
    poses: Mapping[str, NDArray[np.float64]]
    """(4, 4) ``T_world_lidar`` by the name of the scan; empty without poses."""
    trajectory: Trajectory | None
    """Of the lidar, where poses have times."""

    def frames(self, *, labelled: bool) -> list[str]:
        """Names of all scans and, if labels count, of labels whose scan is absent."""
        return in_order({*self.scans, *self.labels} if labelled else self.scans)

    def frame_id(self, scan: str) -> str:
        """``"<drive>/<scan>"``, or the scan's name alone in a root that is a drive itself."""
        return f"{self.name}/{scan}" if self.name else scan

    def why_unpaired(self, camera: str) -> str | None:
        """Why scans have no image of a camera although there are some; None if all have one."""
        if not (text := self.unpaired.get(camera)):
            return None
        where = f"{self.name}/{camera}" if self.name else camera
        return f"{where}: {text}"

    def T_cam_lidar(self, scan: str, camera: str) -> NDArray[np.float64]:
        """(4, 4) lidar at scan time to camera at exposure.

        Where times and poses are known, what the vehicle has moved in between is part of it.
        """
        standing = self.calibration.cameras[camera].transform
        exposure = self.images[camera][scan].time_ns
        if self.trajectory is None or exposure is None:
            return standing
        T_world_later = self.trajectory.at(exposure)
        T_world_lidar = self.trajectory.at(self.times_ns[scan])
        return standing @ invert_rigid(T_world_later) @ T_world_lidar


def read_drive(folder: Path, name: str, calibration: Calibration) -> Drive:
    """List the files of a drive, and find the images of every scan.

    Args:
        folder: The drive.
        name: What it is called; empty if it is the root.
        calibration: Its cameras, and how images find their scan.

    Raises:
        DatasetNotFoundError: If there is no scan.
        FileFormatError: If a name, a time or a pose makes no sense, or something is a link.
    """
    scans = _files(folder / "scans", SCAN_SUFFIXES, scan_suffix)
    if not scans:
        msg = f"{folder / 'scans'} holds no scan, expected files in {', '.join(SCAN_SUFFIXES)}."
        raise DatasetNotFoundError(msg)
    times = file_times(folder / "scans", scans, by_name=calibration.match == "name")
    poses, trajectory = scan_poses(
        folder,
        tuple(scans),
        times,
        tolerance=calibration.tolerance,
        quaternions=calibration.pose_quaternions,
    )
    found = {
        camera: _images(folder / "cameras" / camera, camera, scans, times, calibration)
        for camera in calibration.cameras
    }
    _say_left_out(folder / "cameras", calibration)
    return Drive(
        name=name,
        calibration=calibration,
        scans=scans,
        times_ns=times,
        labels=_files(folder / "labels", LABEL_SUFFIXES, _suffix_of(LABEL_SUFFIXES)),
        images={camera: images for camera, (images, _) in found.items()},
        unpaired={camera: why for camera, (_, why) in found.items() if why},
        poses=poses,
        trajectory=trajectory,
    )


def subfolders(root: Path) -> list[Path]:
    """Folders in the root, which may itself be a link, see ``in_order``; hidden ones left out.

    Raises:
        FileFormatError: If one is a link.
    """
    return [root / n for n in in_order(e.name for e in _listed(root) if e.is_dir())]


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    if folder.is_symlink():
        raise linked(folder)
    return _listed(folder)


def _listed(folder: Path) -> list[os.DirEntry[str]]:
    if not folder.is_dir():
        return []
    with os.scandir(folder) as entries:
        visible = [entry for entry in entries if not entry.name.startswith(".")]
    for entry in visible:
        if entry.is_symlink():
            raise linked(Path(entry))
    return visible


def _suffix_of(suffixes: Iterable[str]) -> Callable[[Path], str | None]:
    known = frozenset(suffixes)
    return lambda path: path.suffix.lower() if path.suffix.lower() in known else None


def _files(
    folder: Path, suffixes: tuple[str, ...], suffix_of: Callable[[Path], str | None]
) -> dict[str, Path]:
    """Files of the wanted kinds by their names without ending; see ``in_order``."""
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
    strange = [name for name in strange if name != TIMES]
    if strange:
        logger.warning(
            "%s: left out %d entries that end in none of %s, first %s.",
            folder, len(strange), " ".join(suffixes), shown(strange[0]),
        )  # fmt: skip
    return {stem: files[stem] for stem in in_order(files)}


def _images(
    folder: Path,
    camera: str,
    scans: Mapping[str, Path],
    scan_times: Mapping[str, int],
    calibration: Calibration,
) -> tuple[dict[str, ScanImage], str]:
    """Images by the name of their scan, and why scans have none; empty if all have one."""
    if folder.parent.is_symlink():
        raise linked(folder.parent)
    files = _files(folder, IMAGE_SUFFIXES, _suffix_of(IMAGE_SUFFIXES))
    offset = round(calibration.cameras[camera].time_offset * SECOND)
    by_name = calibration.match == "name"
    times = {n: t + offset for n, t in file_times(folder, files, by_name=by_name).items()}
    if by_name:
        known = times if scan_times else {}
        paired = {n: ScanImage(path=files[n], time_ns=known.get(n)) for n in scans if n in files}
        return paired, describe_names(scans, files)
    found = nearest_images(scan_times, times, tolerance=calibration.tolerance)
    paired = {
        scan: ScanImage(path=files[image], time_ns=times[image])
        for scan, image in found.image.items()
    }
    tolerance = calibration.tolerance
    return paired, describe_gaps(found, num_scans=len(scans), tolerance=tolerance)


def _say_left_out(folder: Path, calibration: Calibration) -> None:
    """Warn of images of cameras that the calibration does not name, perhaps by mistake."""
    others = [path.name for path in subfolders(folder) if path.name not in calibration.cameras]
    if others:
        known = listed(calibration.cameras)
        logger.warning(
            "%s: left out %s: calibration.yaml names %s (capital letters count).",
            folder, listed(others), f"the cameras {known}" if calibration.cameras else "no camera",
        )  # fmt: skip
