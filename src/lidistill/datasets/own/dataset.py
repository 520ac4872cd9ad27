"""A user's own recordings: scans, images, one calibration file, in a folder."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from lidistill.config import MayChange
from lidistill.datasets.base import DatasetConfig, Parts, distinct
from lidistill.datasets.completeness import OnDisk, missing_files, usable_frames
from lidistill.datasets.own.changed_scan import raw_scans_of
from lidistill.datasets.own.drive import Drive
from lidistill.datasets.own.drives import CALIBRATION, find_drives, read_drives
from lidistill.datasets.own.files import (
    LabelTable,
    Name,
    read_calibration,
    read_label_table,
    read_statistics,
)
from lidistill.datasets.own.label_files import CLASS_TABLE, lack_class_table, read_labels
from lidistill.datasets.own.splits import SplitLists
from lidistill.datasets.own.view import view_of
from lidistill.datasets.raw_scans import RawScans
from lidistill.datasets.sensors import SENSORS, Sensor, without_intensity
from lidistill.errors import DatasetNotFoundError, FileFormatError
from lidistill.labels import LabelMap
from lidistill.reading.files import may_look_into
from lidistill.reading.names import listed
from lidistill.records import Array, Frame
from lidistill.scan_formats.intensities import NO_INTENSITY
from lidistill.scan_formats.scan_file import Scan, read_scan

logger = logging.getLogger(__name__)


class FolderConfig(DatasetConfig):
    """Which part of one's own recordings to read."""

    EXAMPLE: ClassVar = "calibration.yaml and scans/"
    FIRST_RECIPE: ClassVar = "pretrain/own"

    kind: Literal["folder"] = "folder"
    root: MayChange[Path]  # the folder that holds calibration.yaml
    sensor: Name = "own"  # a name in SENSORS takes that lidar's shipped intensity statistics
    split: Literal["train", "val", "all"] = "all"
    val_fraction: Annotated[float, Field(gt=0, lt=1)] | None = None  # of the drives, the last ones
    drives: Annotated[tuple[Name, ...], Field(min_length=1)] | None = None  # of the split
    cameras: Annotated[tuple[Name, ...], Field(min_length=1)] | None = None
    every: Annotated[int, Field(ge=1)] = 1  # 10: the first scan of the selection and every tenth

    @classmethod
    def detect(cls, root: Path) -> bool:
        """See ``DatasetConfig.detect``."""
        folders = (root, *filter(may_look_into, root.iterdir()))
        return any((folder / "scans").is_dir() for folder in folders)

    @classmethod
    def everything(cls, root: Path) -> tuple[Self, ...]:
        """See ``DatasetConfig.everything``."""
        if lack_class_table(root):
            logger.warning(
                "%s has labels, and no %s that says what they mean: they are not read.",
                root,
                CLASS_TABLE,
            )
            return (cls(root=root, missing="skip", labels="none"),)
        return (cls(root=root, missing="skip"),)

    def build(self) -> "Folder":
        """The data set that this describes."""
        return Folder(self)

    def statistics(self) -> tuple[float, float] | None:
        """Mean and deviation of the intensity in ``statistics.yaml``; None where there is none.

        Raises:
            FileFormatError: If the file is damaged.
        """
        path = self.root / "statistics.yaml"
        return read_statistics(path) if path.exists() else None

    def sensor_statistics(self) -> Sensor | None:
        """See ``DatasetConfig.sensor_statistics``."""
        if self.is_without_intensity():
            return without_intensity(self.sensor)
        if self.sensor in SENSORS:
            return SENSORS[self.sensor]
        found = self.statistics()
        if found is None:
            return None
        return Sensor(name=self.sensor, intensity_mean=found[0], intensity_std=found[1])

    def is_without_intensity(self) -> bool:
        """Whether every ``calibration.yaml`` says that scans have no intensity."""
        found = [self.root / CALIBRATION, *self.root.glob(f"*/{CALIBRATION}")]
        columns = [read_calibration(path).intensity for path in found if path.exists()]
        return bool(columns) and all(column == NO_INTENSITY for column in columns)


class Folder:
    """Scans of one's own, with the images taken around them.

    Layout; a single drive may also lie in the root itself (``<root>/scans``, …)::

        <root>/calibration.yaml, statistics.yaml, labels.yaml
        <root>/splits/train.txt, val.txt
        <root>/<drive>/scans/<scan>.pcd, times.csv
        <root>/<drive>/cameras/<camera>/<image>.jpg, times.csv
        <root>/<drive>/labels/<scan>.label (or .npy)
        <root>/<drive>/poses.txt, calibration.yaml

    Only ``calibration.yaml`` and scans must be there; a drive's own calibration replaces the
    root's. Splits: lists of drives or frames in ``splits``, or the share ``val_fraction`` of
    drives. Classes: those of ``labels.yaml``. The page of the docs has every key of every file.

    Args:
        config: What to read.

    Raises:
        DatasetNotFoundError: If the folder, a drive, or something that is required is missing.
        FileFormatError: If a calibration, a list, a time or a pose makes no sense.
    """

    def __init__(self, config: FolderConfig) -> None:
        self.config = config
        self.sensor = config.sensor
        self._drive_names = find_drives(config.root)
        self._table = self._read_table()
        name = str(config.root / "labels.yaml")
        no_classes = LabelMap(name=name, class_names=(), raw_to_train={}, raw_names={})
        self.label_map = no_classes if self._table is None else self._table.label_map(name)
        self._statistics = None if self.sensor in SENSORS else config.statistics()
        self.drives = self._read_drives()
        labelled = config.labels != "none"
        frames = [(d, name) for d in self.drives for name in d.frames(labelled=labelled)]
        splits = SplitLists(config.root, val_fraction=config.val_fraction)
        chosen = splits.choose(
            config.split,
            [(drive.name, drive.frame_id(scan)) for drive, scan in frames],
            drives=self._drive_names,
        )
        frames = [frames[i] for i in chosen][:: config.every]
        self.cameras = self._wanted_cameras()
        self.on_disk = self._on_disk(frames)
        kept = usable_frames(
            config,
            self.on_disk,
            lambda i: frames[i][0].frame_id(frames[i][1]),
            source=config.root,
            unpaired=self.unpaired_images,
        )
        self._frames = tuple(frames[i] for i in kept)

    @property
    def unpaired_images(self) -> tuple[str, ...]:
        """One line for every camera of a drive whose images do not find all scans: times, names."""
        found = [drive.why_unpaired(camera) for drive in self.drives for camera in self.cameras]
        return tuple(line for line in found if line is not None)

    @property
    def frame_ids(self) -> tuple[str, ...]:
        """``"<drive>/<scan>"`` of every frame, in reading order."""
        return tuple(drive.frame_id(scan) for drive, scan in self._frames)

    @property
    def drive_ids(self) -> tuple[str, ...]:
        """Drive of every frame; of a root that is a drive itself, its name."""
        return tuple(d.name or self.config.root.resolve().name or "." for d, _ in self._frames)

    @property
    def parts(self) -> Parts:
        """See ``SensorFrames.parts``."""
        drives = distinct(self.drive_ids)
        return Parts(splits=("train", "val"), sensors=(self.sensor,), drives=drives)

    def missing(self) -> tuple[str, ...]:
        """See ``SensorFrames.missing``."""
        files = missing_files(self.on_disk, self.cameras, labels="labels")
        return (*files, *self.unpaired_images)

    def submission_format(self) -> None:
        """There is no server for one's own recordings."""

    def raw_scans(self) -> RawScans:
        """See ``SensorFrames.raw_scans``; scans of all formats are written as ``.npz``."""
        column = None if self._table is None else self._table.column
        return raw_scans_of(
            self.config.root, self.drives, self._frames, self.label_map, label_column=column
        )

    def __len__(self) -> int:
        """Number of frames."""
        return len(self._frames)

    def __getitem__(self, index: int) -> Frame:
        """Read one frame.

        Raises:
            FileFormatError: If a file of it is damaged or does not fit the others.
        """
        drive, name = self._frames[index]
        wanted = drive.calibration.intensity
        scan = read_scan(drive.scans[name], intensity=wanted)
        intensity = None if wanted == NO_INTENSITY else scan.intensity
        if intensity is None and wanted != NO_INTENSITY:
            msg = (
                f"scan {drive.scans[name]} has no intensity among x, y, z, "
                f"{listed(scan.columns)}; name the column in {CALIBRATION} (intensity: NAME), "
                f"or write intensity: {NO_INTENSITY} to train without."
            )
            raise FileFormatError(msg)
        return Frame(
            frame_id=drive.frame_id(name),
            sensor=self.sensor,
            intensity_statistics=None if intensity is None else self._statistics,
            points=scan.points,
            intensity=intensity,
            labels=self._labels(drive, name, scan),
            views=tuple(
                view_of(drive, name, camera)
                for camera in self.cameras
                if self.config.images != "none" and name in drive.images.get(camera, ())
            ),
            T_world_lidar=drive.poses.get(name),
            time=drive.times_ns[name] / 1e9 if name in drive.times_ns else None,
        )

    def columns(self, index: int) -> Mapping[str, Array]:
        """(N,) further numbers of a scan, by name."""
        drive, name = self._frames[index]
        return read_scan(drive.scans[name], intensity=NO_INTENSITY).columns

    def _labels(self, drive: Drive, name: str, scan: Scan) -> NDArray[np.uint8] | None:
        if self._table is None or self.config.labels == "none":
            return None
        return read_labels(drive, name, scan, self.label_map, column=self._table.column)

    def _read_table(self) -> LabelTable | None:
        path = self.config.root / "labels.yaml"
        return read_label_table(path) if path.exists() else None

    def _read_drives(self) -> tuple[Drive, ...]:
        root = self.config.root
        drives = read_drives(root, self._drive_names, self.config.drives)
        if self._table is None and self.config.labels != "none" and any(d.labels for d in drives):
            msg = (
                f"{root} has labels, and no labels.yaml that says what they mean; add it (see "
                "docs/datasets/own.md), or set labels=none."
            )
            raise DatasetNotFoundError(msg)
        return drives

    def _wanted_cameras(self) -> tuple[str, ...]:
        known = sorted({camera for drive in self.drives for camera in drive.images})
        wanted = self.config.cameras
        absent = sorted(set(wanted or ()) - set(known))
        if absent:
            msg = (
                f"{self.config.root}: {CALIBRATION} has no camera {absent[0]!r}, found "
                f"{', '.join(known) or 'none'}; add it, or name another."
            )
            raise DatasetNotFoundError(msg)
        return tuple(wanted or known)

    def _on_disk(self, frames: list[tuple[Drive, str]]) -> OnDisk:
        column = self._table is not None and self._table.column is not None
        images = [[s in d.images.get(c, ()) for c in self.cameras] for d, s in frames]
        return OnDisk(
            scan=np.array([scan in drive.scans for drive, scan in frames], dtype=bool),
            labels=np.array([column or scan in drive.labels for drive, scan in frames], dtype=bool),
            images=np.array(images, dtype=bool).reshape(len(frames), len(self.cameras)),
        )
