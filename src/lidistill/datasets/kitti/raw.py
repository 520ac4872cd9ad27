"""KITTI's raw recordings: one 64-beam lidar, two colour cameras, no labels of points."""

import functools
import logging
import re
from pathlib import Path
from typing import Annotated, ClassVar, Final, Literal, Self, TypeAlias

import numpy as np
from pydantic import Field

from lidistill.config import MayChange
from lidistill.datasets.base import DatasetConfig, Parts, distinct
from lidistill.datasets.completeness import FileListing, OnDisk, missing_files, usable_frames
from lidistill.datasets.kitti.calibration import (
    CALIBRATION_FILES,
    camera_view,
    read_raw_calibration,
)
from lidistill.datasets.kitti.frame_files import image_is_there, stored_image
from lidistill.datasets.raw_scans import RawScans, encode_plain
from lidistill.datasets.scan_times import seconds_of_date, time_of_line
from lidistill.errors import DatasetNotFoundError
from lidistill.images.files import a_few, size_of_view
from lidistill.labels import LabelMap
from lidistill.reading.names import in_order
from lidistill.records import CameraView, Frame
from lidistill.scan_formats.binary import check_intensity, read_scan

logger = logging.getLogger(__name__)

Camera: TypeAlias = Literal["image_02", "image_03"]

_CAMERAS: Final = ("image_02", "image_03")
_NUM_COLUMNS: Final = 4  # x, y, z, reflectance
_DAY: Final = re.compile(r"[0-9]{4}_[0-9]{2}_[0-9]{2}")
_SCANS: Final = Path("velodyne_points", "data")


class KittiRawConfig(DatasetConfig):
    """Which drives of KITTI's raw recordings to read."""

    EXAMPLE: ClassVar = "2011_09_26/2011_09_26_drive_0001_sync/velodyne_points/data"

    kind: Literal["kitti_raw"] = "kitti_raw"
    root: MayChange[Path]  # the folder that holds the days, 2011_09_26, …
    drives: Annotated[tuple[str, ...], Field(min_length=1)] | None = None  # names; None: all
    cameras: Annotated[tuple[Camera, ...], Field(min_length=1)] = ("image_02",)
    labels: Literal["optional", "none"] = "none"  # there are none
    every: Annotated[int, Field(ge=1)] = 1  # 10: the first scan and every tenth after it

    @property
    def sensor(self) -> str:
        """Key of ``data.sensors.SENSORS``: the lidar that SemanticKITTI's scans come from."""
        return "semantic_kitti"

    @property
    def title(self) -> str:
        """See ``DatasetConfig.title``."""
        return self.kind

    @classmethod
    def detect(cls, root: Path) -> bool:
        """See ``DatasetConfig.detect``."""
        return bool(kitti_drives(root))

    @classmethod
    def everything(cls, root: Path) -> tuple[Self, ...]:
        """See ``DatasetConfig.everything``."""
        drives = kitti_drives(root)
        found = [name for name in _CAMERAS if any((drive / name).is_dir() for drive in drives)]
        wanted = {"cameras": found} if found else {}
        return (cls.model_validate({"root": root, "missing": "skip"} | wanted),)

    def build(self) -> "KittiRaw":
        """The data set that this describes."""
        return KittiRaw(self)


class KittiRaw:
    """Scans of KITTI's synchronised, rectified raw recordings, with colour images.

    Layout, as it is distributed (``image_03`` and everything else may be absent)::

        <root>/2011_09_26/calib_cam_to_cam.txt, calib_velo_to_cam.txt
        <root>/2011_09_26/2011_09_26_drive_0001_sync/velodyne_points/data/0000000000.bin
        <root>/2011_09_26/2011_09_26_drive_0001_sync/image_02/data/0000000000.png

    There are no labels and no official split: choose drives by name. Scans are as the lidar turned,
    not corrected for the motion of the car; frames have no world pose.

    Licence: CC BY-NC-SA 3.0 (Karlsruhe Institute of Technology).

    Args:
        config: What to read.

    Raises:
        DatasetNotFoundError: If the folder, a drive, or something that is required is missing.
        FileFormatError: If a calibration is damaged.

    References:
        Geiger et al., "Vision meets Robotics: The KITTI Dataset", IJRR 2013; limits of the
        projection: those of SemanticKITTI in ScaLR (CVPR 2024).
    """

    def __init__(self, config: KittiRawConfig) -> None:
        self.config = config
        self.sensor = config.sensor
        self.cameras = config.cameras
        self.label_map = LabelMap(name="kitti_raw", class_names=(), raw_to_train={}, raw_names={})
        self.drives = self._find_drives()
        scans = [(drive, name) for drive in self.drives for name in _scan_names(drive)]
        if not scans:
            msg = (
                f"{self.drives[0] / _SCANS} holds no scan, expected 0000000000.bin and so on; the "
                "recordings that are not synchronised (…_extract) have text: take those named "
                "…_sync."
            )
            raise DatasetNotFoundError(msg)
        self._all_frames = tuple(scans[:: config.every])
        self.on_disk = self._on_disk()
        if config.missing == "skip" and config.images != "none":
            self._leave_out_uncalibrated()
        kept = usable_frames(config, self.on_disk, self._frame_id, source=config.root)
        self._frames = tuple(self._all_frames[i] for i in kept)
        self._has_image = self.on_disk.images[kept]
        self._seen = {} if config.images == "none" else self._images()
        self._calibration = {
            (day, camera): read_raw_calibration(day, camera.removeprefix("image_"))
            for day, camera in sorted(self._seen)
        }

    @property
    def frame_ids(self) -> tuple[str, ...]:
        """``"<drive>/<frame>"`` of every frame, in reading order."""
        return tuple(f"{drive.name}/{name}" for drive, name in self._frames)

    @property
    def drive_ids(self) -> tuple[str, ...]:
        """Drive of every frame, in reading order."""
        return tuple(drive.name for drive, _ in self._frames)

    @property
    def parts(self) -> Parts:
        """See ``SensorFrames.parts``."""
        return Parts(splits=(), sensors=(self.sensor,), drives=distinct(self.drive_ids))

    def missing(self) -> tuple[str, ...]:
        """See ``SensorFrames.missing``."""
        return missing_files(self.on_disk, self.config.cameras)

    def submission_format(self) -> None:
        """There is no server for its points."""

    def raw_scans(self) -> RawScans:
        """See ``SensorFrames.raw_scans``."""
        root = self.config.root

        def files(index: int) -> tuple[str, str]:
            drive, name = self._frames[index]
            scan = (drive / _SCANS / name).relative_to(root).as_posix()
            return f"{scan}.bin", f"{scan}.label"

        texts = [path for drive in self.drives for path in drive.rglob("timestamps*.txt")]
        texts += [path for day in {d.parent for d in self.drives} for path in day.glob("calib_*")]
        return RawScans(
            root=root,
            files=files,
            tables=tuple(path.relative_to(root).as_posix() for path in sorted(texts)),
            encode_files=functools.partial(
                encode_plain, num_columns=_NUM_COLUMNS, label_dtype="u1"
            ),
        )

    def __len__(self) -> int:
        """Number of frames."""
        return len(self._frames)

    def __getitem__(self, index: int) -> Frame:
        """Read one frame.

        Raises:
            FileFormatError: If a file of it is damaged.
        """
        drive, name = self._frames[index]
        path = drive / _SCANS / f"{name}.bin"
        scan = read_scan(path, _NUM_COLUMNS)
        check_intensity(scan, path, "the reflectance, is not in 0 to 1")
        present = zip(self.config.cameras, self._has_image[index], strict=True)
        return Frame(
            frame_id=f"{drive.name}/{name}",
            sensor=self.sensor,
            points=np.ascontiguousarray(scan[:, :3]),
            intensity=np.ascontiguousarray(scan[:, 3]),
            views=tuple(
                self._view(drive, name, camera)
                for camera, has_image in present
                if has_image and self.config.images != "none"
            ),
            time=time_of_line(path.parents[1] / "timestamps.txt", int(name), seconds_of_date),
        )

    def _view(self, drive: Path, name: str, camera: Camera) -> CameraView:
        path = stored_image(drive / camera / "data" / f"{name}.png")
        calibration = self._calibration[drive.parent, camera]
        size_hw = size_of_view(path, self._seen[drive.parent, camera])
        source = drive.parent / "calib_cam_to_cam.txt"
        return camera_view(camera, path, size_hw, calibration, source)

    def _frame_id(self, index: int) -> str:
        drive, name = self._all_frames[index]
        return f"{drive.name}/{name}"

    def _find_drives(self) -> tuple[Path, ...]:
        root, wanted = self.config.root, self.config.drives
        found = kitti_drives(root)
        absent = sorted(set(wanted or ()) - {drive.name for drive in found})
        if absent or not found:
            inside = bool(_DAY.fullmatch(root.resolve().name))
            hint = f" {root} is a single day: give {root.parent}." if inside else ""
            msg = (
                f"{root} has no {absent[0] if absent else 'drive'}; expected folders like "
                "2011_09_26/2011_09_26_drive_0001_sync/velodyne_points/data, found "
                f"{', '.join(drive.name for drive in found[:5]) or 'none'}.{hint}"
            )
            raise DatasetNotFoundError(msg)
        return tuple(drive for drive in found if wanted is None or drive.name in wanted)

    def _on_disk(self) -> OnDisk:
        listing = FileListing(self.config.root)

        def has(drive: Path, camera: str, name: str) -> bool:
            image = f"{drive.parent.name}/{drive.name}/{camera}/data/{name}.png"
            return image_is_there(listing, image)

        images = [
            [has(d, camera, n) for camera in self.config.cameras] for d, n in self._all_frames
        ]
        return OnDisk(
            scan=np.ones(len(self._all_frames), dtype=bool),
            labels=np.zeros(len(self._all_frames), dtype=bool),
            images=np.array(images, dtype=bool).reshape(-1, len(self.config.cameras)),
        )

    def _leave_out_uncalibrated(self) -> None:
        """Images of days without a calibration count as missing."""
        days = {drive.parent for drive in self.drives}
        lacking = {
            day for day in days if not all((day / name).exists() for name in CALIBRATION_FILES)
        }
        rows = np.array([drive.parent in lacking for drive, _ in self._all_frames], dtype=bool)
        if self.on_disk.images[rows].any():
            logger.warning(
                "%s: left out the images of %s, where %s are not both there (…_calib.zip holds "
                "them)",
                self.config.root,
                ", ".join(sorted(day.name for day in lacking)),
                " and ".join(CALIBRATION_FILES),
            )
        self.on_disk.images[rows] = False

    def _images(self) -> dict[tuple[Path, str], tuple[Path, ...]]:
        """A few images of each camera of each day, which share its calibration."""
        images: dict[tuple[Path, str], list[Path]] = {}
        for (drive, name), row in zip(self._frames, self._has_image, strict=True):
            for camera, has_image in zip(self.config.cameras, row, strict=True):
                if has_image:
                    path = drive / camera / "data" / f"{name}.png"
                    images.setdefault((drive.parent, camera), []).append(path)
        return {key: tuple(map(stored_image, a_few(paths))) for key, paths in images.items()}


def kitti_drives(root: Path) -> tuple[Path, ...]:
    """Folders of all drives with scans under a root, by name."""
    days = [path for path in root.glob("*") if _DAY.fullmatch(path.name)]
    drives = [drive for day in days for drive in day.glob("*") if (drive / _SCANS).is_dir()]
    return tuple(sorted(drives))


def _scan_names(drive: Path) -> list[str]:
    return in_order(p.stem for p in (drive / _SCANS).glob("*.bin") if p.stem.isdecimal())
