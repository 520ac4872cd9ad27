"""Which data set lies under a folder, how to read all of it, and what a complete copy would add."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

import numpy as np

from lidistill.datasets import FrameDataset
from lidistill.datasets.completeness import OnDisk
from lidistill.datasets.kitti.raw import KittiRaw, KittiRawConfig, kitti_drives
from lidistill.datasets.kitti.semantic import SemanticKitti, SemanticKittiConfig
from lidistill.datasets.nuscenes.dataset import NuScenes, NuScenesConfig
from lidistill.datasets.nuscenes.tables import CAMERAS
from lidistill.datasets.own.dataset import Folder, FolderConfig
from lidistill.datasets.pandaset.dataset import DEVICE, PandaSet, PandaSetConfig
from lidistill.datasets.pandaset.drive import is_drive
from lidistill.errors import DatasetNotFoundError

_VERSIONS: Final = ("v1.0-trainval", "v1.0-mini", "v1.0-test")
_MAX_NAMES: Final = 8


class SensorFrames(FrameDataset, Protocol):
    """A data set whose frames all come from one sensor."""

    @property
    def sensor(self) -> str:
        """Name of the sensor."""
        ...


class _Config(Protocol):
    def build(self) -> SensorFrames: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """How a data set is recognised, and read as far as it is there."""

    fits: Callable[[Path], bool]
    """Whether a folder looks like its root."""
    configs: Callable[[Path], tuple[_Config, ...]]
    """What reads everything under a root: one configuration for each sensor and version."""
    example: str
    """A path that every copy has, for messages."""


def detect_format(root: Path) -> str:
    """Name of the data set that a folder holds, a key of ``data.DATASETS``.

    Raises:
        DatasetNotFoundError: If there is no such folder, or it holds none that is known.
    """
    if not root.is_dir():
        what = "not a folder"
        if root.is_symlink() and not root.exists():
            what = f"a link to {root.readlink()}, where nothing is"
        msg = f"{root} is {what}; give the folder that a data set was unpacked into."
        raise DatasetNotFoundError(msg)
    for name, layout in LAYOUTS.items():
        if layout.fits(root):
            return name
    above = next((name for name, layout in LAYOUTS.items() if layout.fits(root.parent)), None)
    hint = f" {root} is a part of one ({above}), perhaps a single drive: give {root.parent}."
    examples = "; ".join(f"{name} has {layout.example}" for name, layout in LAYOUTS.items())
    msg = f"{root} holds no data set of a known format: {examples}.{hint if above else ''}"
    raise DatasetNotFoundError(msg)


def read_all(root: Path) -> tuple[SensorFrames, ...]:
    """Everything under the root of a data set: one data set for each sensor and version.

    Raises:
        DatasetNotFoundError: If there is none of a known format.
        FileFormatError: If its calibration or tables are damaged.
    """
    return tuple(config.build() for config in LAYOUTS[detect_format(root)].configs(root))


def parts_of(dataset: FrameDataset) -> tuple[str, ...]:
    """Names of the drives, scenes or sequences in a data set, in reading order."""
    names = [frame_id.rpartition("/")[0] for frame_id in dataset.frame_ids]
    if isinstance(dataset, PandaSet):
        return tuple(drive.name for drive in dataset.drives)
    return tuple(dict.fromkeys(name or "." for name in names))


def drive_of(frame_id: str) -> str:
    """Name of the drive, scene or sequence that a frame belongs to; empty where there is one."""
    return frame_id.partition("/")[0] if "/" in frame_id else ""


def title_of(dataset: SensorFrames) -> str:
    """What to call a data set: by its sensor, unless that is named after another data set."""
    return "kitti_raw" if isinstance(dataset, KittiRaw) else dataset.sensor


def missing_from(dataset: FrameDataset) -> tuple[str, ...]:
    """One line for everything that a complete copy would have, and this one lacks."""
    if isinstance(dataset, PandaSet):
        return _missing_from_pandaset(dataset)
    if isinstance(dataset, NuScenes):
        cameras = dataset.config.cameras or CAMERAS
        return _missing_files(dataset.on_disk, cameras, labels="lidarseg labels")
    if isinstance(dataset, SemanticKitti):
        return _missing_files(dataset.on_disk, ("image_2",), labels="labels")
    if isinstance(dataset, KittiRaw):
        return _missing_files(dataset.on_disk, dataset.config.cameras)
    if isinstance(dataset, Folder):
        missing = _missing_files(dataset.on_disk, dataset.cameras, labels="labels")
        return (*missing, *dataset.far_images)
    return ()


def _missing_files(
    disk: OnDisk, cameras: tuple[str, ...], *, labels: str | None = None
) -> tuple[str, ...]:
    num = len(disk.scan)
    lacking = {"scans": ~disk.scan} | ({labels: ~disk.labels} if labels is not None else {})
    lacking |= {f"pictures of {name}": ~disk.pictures[:, i] for i, name in enumerate(cameras)}
    counts = {what: int(np.count_nonzero(absent)) for what, absent in lacking.items()}
    return tuple(f"{what}: {count} of {num} frames" for what, count in counts.items() if count)


def _missing_from_pandaset(dataset: PandaSet) -> tuple[str, ...]:
    lines = []
    for drive in dataset.drives:
        frames = set(drive.scans)
        if absent := drive.num_poses - len(frames):
            lines.append(f"{drive.name}: scans of {absent} of {drive.num_poses} frames")
        if unlabelled := sorted(frames - drive.labels.keys()):
            lines.append(f"{drive.name}: no labels of {len(unlabelled)} frames: {_few(unlabelled)}")
        for name in dataset.cameras:
            camera = drive.cameras.get(name)
            without = sorted(frames - camera.pictures.keys()) if camera else ["all"]
            if without:
                lines.append(f"{drive.name}/{name}: no picture of the frames {_few(without)}")
        if drive.latitude is None:
            lines.append(f"{drive.name}: no meta/gps.json, so its split is unknown")
    return tuple(lines)


def _few(names: list[str]) -> str:
    return ", ".join(names[:_MAX_NAMES]) + (", …" if len(names) > _MAX_NAMES else "")


def _holds_nuscenes(root: Path) -> bool:
    return any((root / version / "sample_data.json").is_file() for version in _VERSIONS)


def _nuscenes(root: Path) -> tuple[_Config, ...]:
    return tuple(
        NuScenesConfig(root=root, version=version, split="all", missing="skip")
        for version in ("v1.0-trainval", "v1.0-mini", "v1.0-test")
        if (root / version / "sample_data.json").is_file()
    )


def _holds_semantic_kitti(root: Path) -> bool:
    return any((root / part / "sequences").is_dir() for part in (".", "dataset"))


def _semantic_kitti(root: Path) -> tuple[_Config, ...]:
    return (SemanticKittiConfig(root=root, split="all", missing="skip"),)


def _holds_pandaset(root: Path) -> bool:
    return any(is_drive(folder) for folder in root.iterdir() if folder.is_dir())


def _pandaset(root: Path) -> tuple[_Config, ...]:
    return tuple(
        PandaSetConfig.model_validate({"root": root, "sensor": sensor, "split": "all"})
        for sensor in DEVICE
    )


def _kitti_raw(root: Path) -> tuple[_Config, ...]:
    cameras = tuple(
        camera
        for camera in ("image_02", "image_03")
        if any((drive / camera).is_dir() for drive in kitti_drives(root))
    )
    wanted = {"cameras": cameras} if cameras else {}
    return (KittiRawConfig.model_validate({"root": root, "missing": "skip"} | wanted),)


def _holds_recordings(root: Path) -> bool:
    return any((folder / "scans").is_dir() for folder in (root, *root.iterdir()))


def _folder(root: Path) -> tuple[_Config, ...]:
    return (FolderConfig(root=root, missing="skip"),)


LAYOUTS: Final[dict[str, Layout]] = {
    "nuscenes": Layout(
        fits=_holds_nuscenes, configs=_nuscenes, example="v1.0-trainval/sample_data.json"
    ),
    "semantic_kitti": Layout(
        fits=_holds_semantic_kitti,
        configs=_semantic_kitti,
        example="sequences/00/velodyne/000000.bin",
    ),
    "pandaset": Layout(fits=_holds_pandaset, configs=_pandaset, example="002/lidar/00.pkl.gz"),
    "kitti_raw": Layout(
        fits=lambda root: bool(kitti_drives(root)),
        configs=_kitti_raw,
        example="2011_09_26/2011_09_26_drive_0001_sync/velodyne_points/data",
    ),
    "folder": Layout(
        fits=_holds_recordings, configs=_folder, example="calibration.yaml and scans/"
    ),
}
"""Every data set of ``data.DATASETS``."""
