"""PandaSet: two lidars, six cameras, and 42 classes in San Francisco and on El Camino Real."""

from pathlib import Path
from typing import ClassVar, Final, Literal, Self, TypeAlias

import numpy as np
from pydantic import Field, field_validator, model_validator

from lidistill.config import MayChange
from lidistill.datasets.base import DatasetConfig, LabelsAndSegments, Parts, distinct
from lidistill.datasets.completeness import usable_frames
from lidistill.datasets.pandaset.changed_scan import changed_tables
from lidistill.datasets.pandaset.cuboids import cuboid_file, objects_of, read_cuboids
from lidistill.datasets.pandaset.drive import DriveFiles, is_drive, read_drive
from lidistill.datasets.pandaset.frame_numbers import frame_numbers
from lidistill.datasets.pandaset.missing import missing_from, on_disk
from lidistill.datasets.pandaset.tables import PointTable, read_classes, read_points
from lidistill.datasets.pandaset.view import view_of
from lidistill.datasets.raw_scans import RawScans
from lidistill.datasets.sensors import Sensor
from lidistill.errors import DatasetNotFoundError, FileFormatError
from lidistill.geometry import invert_rigid, rigid, transform_points
from lidistill.labels import LabelMap, load_label_map
from lidistill.reading.names import in_order
from lidistill.records import Frame
from lidistill.scan_formats.binary import MAX_RANGE, nothing_returned

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
DEVICE: Final = {"pandar64": 0, "pandargt": 1}
"""Value of the column ``d`` for each sensor."""
_DEFAULT_CAMERAS: Final[dict[str, tuple[CameraName, ...]]] = {
    "pandar64": CAMERAS,
    "pandargt": ("front_camera",),
}
_TRAIN_LATITUDE: Final = 37.6  # degrees; San Francisco lies north of it, El Camino Real south
_ROUNDING: Final = 1e-6  # metres
_T_EGO_LIDAR: Final = rigid(np.eye(3), [0.0, 0.0, 1.6])  # metres; the road is then at about -1.7


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
        return any(is_drive(folder) for folder in root.iterdir() if folder.is_dir())

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
        self.drives = self._find_drives()
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

        def files(index: int) -> tuple[Path, Path]:
            drive, frame = self._frames[index]
            absent = root / drive.name / "annotations" / "semseg" / f"{frame}.pkl.gz"
            return drive.scans[frame], drive.labels.get(frame, absent)

        device = DEVICE[self.config.sensor]
        return RawScans(
            root=root,
            scan_file=lambda i: files(i)[0].relative_to(root).as_posix(),
            label_file=lambda i: files(i)[1].relative_to(root).as_posix(),
            tables=tuple(sorted(path.relative_to(root).as_posix() for path in tables)),
            encode=lambda i, frame, new: changed_tables(*files(i), frame, new, device=device),
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
        path = drive.scans[frame]
        table = read_points(path, DEVICE[self.sensor])
        if not len(table.rows):
            msg = f"{path} has no point of {self.sensor} (d = {DEVICE[self.sensor]}); leave it out."
            raise DatasetNotFoundError(msg)
        T_world_lidar = drive.T_world_ego[frame] @ _T_EGO_LIDAR
        points = transform_points(invert_rigid(T_world_lidar), table.world).astype(np.float32)
        # Such beams of the lidar's own frame lie there again, but for rounding.
        lost = ~(np.abs(points).max(axis=1) > _ROUNDING)
        if lost.all():
            raise nothing_returned(path, len(points))
        points[lost] = np.nan
        farthest = np.nanmax(np.abs(points))
        if farthest > MAX_RANGE:
            msg = (
                f"{path}: a point lies {farthest:g} m from the vehicle, expected at "
                f"most {MAX_RANGE:g}; the scan or lidar/poses.json is damaged. Unpack both again."
            )
            raise FileFormatError(msg)
        labels, segments = self._labels(drive, frame, table)
        return Frame(
            frame_id=self._frame_id(drive, frame),
            sensor=self.sensor,
            points=points,
            intensity=table.intensity,
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

    def _find_drives(self) -> tuple[DriveFiles, ...]:
        root, wanted = self.config.root, self.config.drives
        if not root.is_dir():
            msg = f"{root} is not a folder; set root to the one that holds PandaSet's drives."
            raise DatasetNotFoundError(msg)
        folders = [root / name for name in wanted or sorted(path.name for path in root.iterdir())]
        absent = [folder.name for folder in folders if wanted and not is_drive(folder)]
        folders = [folder for folder in folders if is_drive(folder)]
        if absent or not folders:
            hint = (
                f"; {root} itself is a drive, set root to {root.parent}" if is_drive(root) else ""
            )
            what = f"the drive {absent[0]} is not there" if absent else "no drive is there"
            msg = f"{root}: {what}, expected folders like 002/lidar/00.pkl.gz{hint}."
            raise DatasetNotFoundError(msg)
        drives = [read_drive(folder, self.cameras) for folder in folders]
        kept = tuple(drive for drive in drives if self._in_split(drive))
        if not kept:
            side = "above" if self.config.split == "train" else "of at most"
            msg = (
                f"{root}: none of its {len(drives)} drives is in the split {self.config.split!r}, "
                f"which needs annotations/semseg and a latitude {side} {_TRAIN_LATITUDE} degrees; "
                "split=all takes every drive."
            )
            raise DatasetNotFoundError(msg)
        return kept

    def _in_split(self, drive: DriveFiles) -> bool:
        if self.config.split == "all":
            return True
        if drive.latitude is None:
            msg = (
                f"{self.config.root / drive.name}: without meta/gps.json its split is unknown; "
                "unpack that file or set split=all."
            )
            raise DatasetNotFoundError(msg)
        side = "train" if drive.latitude > _TRAIN_LATITUDE else "val"
        return bool(drive.labels) and self.config.split == side
