"""PandaSet: two lidars, six cameras, and 42 classes in San Francisco and on El Camino Real."""

import functools
from pathlib import Path
from typing import ClassVar, Final, Literal, Self, TypeAlias

from pydantic import Field, field_validator, model_validator

from lidistill.config import MayChange
from lidistill.datasets.base import DatasetConfig, LabelsAndSegments, Parts, distinct
from lidistill.datasets.completeness import usable_frames
from lidistill.datasets.pandaset.changed_scan import changed_tables
from lidistill.datasets.pandaset.cuboids import cuboid_file, objects_of, read_cuboids
from lidistill.datasets.pandaset.drive import DriveFiles, is_drive
from lidistill.datasets.pandaset.drives import find_drives
from lidistill.datasets.pandaset.frame_numbers import frame_numbers
from lidistill.datasets.pandaset.missing import missing_from, on_disk
from lidistill.datasets.pandaset.tables import PointTable, read_classes
from lidistill.datasets.pandaset.vehicle_scan import DEVICE, read_vehicle_scan
from lidistill.datasets.pandaset.view import view_of
from lidistill.datasets.raw_scans import RawScans
from lidistill.datasets.scan_times import time_in_list
from lidistill.datasets.sensors import Sensor
from lidistill.errors import DatasetNotFoundError
from lidistill.labels import LabelMap, load_label_map
from lidistill.reading.names import in_order
from lidistill.records import Frame

CameraName: TypeAlias = Literal[
    "front_camera",
    "front_left_camera",
    "front_right_camera",
    "left_camera",
    "right_camera",
    "back_camera",
]
CAMERAS: Final[tuple[CameraName, ...]] = (
    "front_camera",
    "front_left_camera",
    "front_right_camera",
    "left_camera",
    "right_camera",
    "back_camera",
)
_DEFAULT_CAMERAS: Final[dict[str, tuple[CameraName, ...]]] = {
    "pandar64": CAMERAS,
    "pandargt": ("front_camera",),
}


class PandaSetConfig(DatasetConfig):
    """Which part of PandaSet to read."""

    EXAMPLE: ClassVar = "002/lidar/00.pkl.gz"
    HAS_INSTANCES: ClassVar = True
    # Over the training set, as the authors of ScaLR (CVPR 2024) computed them.
    SENSORS: ClassVar = (
        Sensor(
            name="pandar64",
            intensity_mean=18.23640649,
            intensity_std=25.86983417,
            published_voxel_frame="world",
        ),
        Sensor(
            name="pandargt",
            intensity_mean=23.06113565,
            intensity_std=16.76273235,
            published_voxel_frame="world",
        ),
    )

    kind: Literal["pandaset"] = "pandaset"
    root: MayChange[Path]  # the folder that holds the drives 001, 002, …
    sensor: Literal["pandar64", "pandargt"] = "pandar64"
    split: Literal["train", "val", "all"] = "train"  # all: also drives without labels
    drives: tuple[str, ...] | None = Field(default=None, min_length=1)  # of the split; None: all
    frames: str | tuple[int, ...] | None = None  # numbers or "0-38,44"; None: all on disk
    cameras: tuple[CameraName, ...] | None = None  # None: all six, for pandargt the front one
    missing: MayChange[Literal["error", "skip"]] = "skip"  # mirrors often lack frames

    @field_validator("drives", mode="before")
    @classmethod
    def _drive_names(cls, drives: object) -> object:
        # YAML reads 002 as a number; PandaSet's folders have three digits.
        items = drives if isinstance(drives, list | tuple) else [drives]
        named = tuple(f"{item:03d}" if type(item) is int else item for item in items)
        return None if drives is None else named

    @model_validator(mode="after")
    def _check(self) -> Self:
        self.frame_numbers()
        return self

    def frame_numbers(self) -> frozenset[int] | None:
        """Numbers of the wanted frames, or None for all.

        Raises:
            ValueError: If ``frames`` is a text other than numbers and ranges.
        """
        return frame_numbers(self.frames)

    @classmethod
    def detect(cls, root: Path) -> bool:
        """See ``DatasetConfig.detect``."""
        return any(is_drive(folder) for folder in root.iterdir())

    @classmethod
    def everything(cls, root: Path) -> tuple[Self, ...]:
        """See ``DatasetConfig.everything``."""
        return tuple(
            cls.model_validate({"root": root, "sensor": sensor, "split": "all"})
            for sensor in DEVICE
        )

    def build(self) -> "PandaSet":
        """The data set that this describes."""
        return PandaSet(self)


class PandaSet:
    """Scans of one of PandaSet's two lidars, with the images taken at the same time.

    Layout, as it is distributed::

        <root>/<drive>/lidar/NN.pkl.gz (or .pkl), poses.json
        <root>/<drive>/camera/<camera>/NN.jpg, poses.json, intrinsics.json
        <root>/<drive>/annotations/semseg/NN.pkl.gz (or .pkl)
        <root>/<drive>/meta/gps.json

    Splits: drives with ``annotations/semseg``; those whose first latitude is above 37.6 degrees
    train (49 drives), the others validate (27). Classes: the 42 of the data set become 17
    (``label_maps/pandaset.yaml``). Points are stored in world coordinates and are returned in
    those of the vehicle, 1.6 m higher.

    Licence: CC BY 4.0 (Hesai and Scale AI).

    Args:
        config: What to read.

    Raises:
        DatasetNotFoundError: If the folder, a named drive, or anything to read is missing.
        FileFormatError: If a pose file does not fit the frames on disk.

    References:
        Xiao et al., "PandaSet: Advanced Sensor Suite Dataset for Autonomous Driving", ITSC 2021;
        split and class map of ScaLR (CVPR 2024).
    """

    def __init__(self, config: PandaSetConfig) -> None:
        self.config = config
        self.sensor = config.sensor
        self.label_map: LabelMap = load_label_map("pandaset")
        self.cameras = config.cameras or _DEFAULT_CAMERAS[config.sensor]
        looked_for = () if config.images == "none" else self.cameras
        self.drives = find_drives(config.root, config.split, config.drives, looked_for)
        frames = [(drive, frame) for drive in self.drives for frame in self._numbers(drive)]
        if not frames:
            names = ", ".join(drive.name for drive in self.drives)
            msg = f"{config.root}: none of the frames {config.frames!r} is in the drives {names}."
            raise DatasetNotFoundError(msg)
        kept = usable_frames(
            config,
            on_disk(frames, self.cameras),
            lambda i: f"{frames[i][0].name}/{frames[i][1]}",
            source=config.root,
        )
        self._frames = tuple(frames[i] for i in kept)

    @property
    def frame_ids(self) -> tuple[str, ...]:
        """``"<drive>/<frame>/<sensor>"`` of every frame, in reading order."""
        return tuple(self._frame_id(drive, frame) for drive, frame in self._frames)

    @property
    def drive_ids(self) -> tuple[str, ...]:
        """Drive of every frame, in reading order; both lidars have the same."""
        return tuple(drive.name for drive, _ in self._frames)

    @property
    def parts(self) -> Parts:
        """See ``SensorFrames.parts``."""
        names = distinct(tuple(drive.name for drive in self.drives))
        return Parts(splits=("train", "val"), sensors=tuple(DEVICE), drives=names)

    def missing(self) -> tuple[str, ...]:
        """See ``SensorFrames.missing``."""
        return missing_from(self.drives, self.cameras)

    def submission_format(self) -> None:
        """There is no server for it."""

    def raw_scans(self) -> RawScans:
        """See ``SensorFrames.raw_scans``; the other lidar's points stay in the tables."""
        root = self.config.root
        tables = [path for drive in self.drives for path in (root / drive.name).rglob("*.json")]

        def files(index: int) -> tuple[str, str]:
            drive, frame = self._frames[index]
            absent = root / drive.name / "annotations" / "semseg" / f"{frame}.pkl.gz"
            both = (drive.scans[frame], drive.labels.get(frame, absent))
            scan, labels = (path.relative_to(root).as_posix() for path in both)
            return scan, labels

        return RawScans(
            root=root,
            files=files,
            tables=tuple(sorted(path.relative_to(root).as_posix() for path in tables)),
            encode_files=functools.partial(changed_tables, device=DEVICE[self.sensor]),
        )

    def __len__(self) -> int:
        """Number of frames."""
        return len(self._frames)

    def __getitem__(self, index: int) -> Frame:
        """Read one frame.

        Raises:
            FileFormatError: If a file of it is damaged or does not fit the others.
            DatasetNotFoundError: If it has no point of this sensor.
        """
        drive, frame = self._frames[index]
        scan = read_vehicle_scan(drive.scans[frame], self.sensor, drive.T_world_ego[frame])
        T_world_lidar = scan.T_world_lidar
        labels, segments = self._labels(drive, frame, scan.table)
        return Frame(
            frame_id=self._frame_id(drive, frame),
            sensor=self.sensor,
            points=scan.points,
            intensity=scan.table.intensity,
            labels=labels,
            segments=segments,
            views=tuple(
                view_of(drive.cameras[name], frame, T_world_lidar)
                for name in self.cameras
                if self.config.images != "none"
                and name in drive.cameras
                and frame in drive.cameras[name].images
            ),
            T_world_lidar=T_world_lidar,
            time=time_in_list(drive.scans[frame].parent / "timestamps.json", int(frame)),
        )

    def _numbers(self, drive: DriveFiles) -> list[str]:
        """Wanted frames of a drive that have a scan, or labels and thus should have one."""
        wanted = self.config.frame_numbers()
        labelled = drive.labels if self.config.labels != "none" else ()
        names = in_order({*drive.scans, *labelled})
        return [name for name in names if wanted is None or int(name) in wanted]

    def _frame_id(self, drive: DriveFiles, frame: str) -> str:
        return f"{drive.name}/{frame}/{self.sensor}"

    def _labels(self, drive: DriveFiles, frame: str, table: PointTable) -> LabelsAndSegments:
        if self.config.labels == "none" or frame not in drive.labels:
            return None, None
        raw = read_classes(drive.labels[frame], drive.scans[frame], table.index)
        labels = self.label_map.apply(raw[table.rows], source=str(drive.labels[frame]))
        if not self.config.instances:
            return labels, None
        cuboids = read_cuboids(cuboid_file(drive, frame), DEVICE[self.sensor], self.label_map)
        return objects_of(table.world, labels, cuboids, self.label_map)
