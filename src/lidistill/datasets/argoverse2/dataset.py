"""Argoverse 2 sensor: two stacked 32-beam lidars, seven ring cameras, six cities of the USA."""

from pathlib import Path
from typing import Annotated, ClassVar, Final, Literal, Self, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from lidistill.config import MayChange
from lidistill.datasets.argoverse2.feather import read_feather
from lidistill.datasets.argoverse2.log import (
    POSES,
    TOLERANCE,
    UP,
    Calibration,
    Log,
    read_calibration,
    read_log,
)
from lidistill.datasets.base import DatasetConfig, Parts, distinct
from lidistill.datasets.completeness import OnDisk, missing_files, usable_frames
from lidistill.datasets.own.files import Name, read_statistics
from lidistill.datasets.own.trajectory import SECOND
from lidistill.datasets.sensors import Sensor
from lidistill.errors import DatasetNotFoundError, FileFormatError
from lidistill.geometry import invert_rigid, transform_points
from lidistill.images.files import image_size
from lidistill.labels import LabelMap
from lidistill.reading.files import blamed_on
from lidistill.reading.names import listed
from lidistill.records import CameraView, Frame
from lidistill.scan_formats.binary import MAX_RANGE, nothing_returned
from lidistill.scan_formats.returns import has_return

Split: TypeAlias = Literal["train", "val", "test"]
Lidars: TypeAlias = Literal["up", "down", "both"]
Camera: TypeAlias = Literal[
    "ring_front_center",
    "ring_front_left",
    "ring_front_right",
    "ring_rear_left",
    "ring_rear_right",
    "ring_side_left",
    "ring_side_right",
]
CAMERAS: Final[tuple[Camera, ...]] = get_args(Camera)
_LASERS: Final = {"up": range(32), "down": range(32, 64), "both": range(64)}
_COLUMNS: Final = {
    **dict.fromkeys(("x", "y", "z"), "number"),
    **dict.fromkeys(("intensity", "laser_number"), "whole"),
}
_MAX_POINTS: Final = 1_000_000  # a sweep has some 100,000
_NEAR_DEPTH: Final = 1.0  # metres
_BORDER_PX: Final = 1.0


class Argoverse2Config(DatasetConfig):
    """Which sweeps of the Argoverse 2 sensor data set to read."""

    EXAMPLE: ClassVar = "train/<log>/sensors/lidar"
    FIRST_RECIPE: ClassVar = "pretrain/argoverse2"

    kind: Literal["argoverse2"] = "argoverse2"
    root: MayChange[Path]  # the folder that holds train, val and test
    split: Literal["train", "val", "test", "all"] = "train"  # all: every split on disk
    lidars: Lidars = "both"  # of the two stacked ones; each choice is a sensor of its own
    logs: Annotated[tuple[Name, ...], Field(min_length=1)] | None = None  # of the split; None: all
    cameras: Annotated[tuple[Camera, ...], Field(min_length=1)] | None = None  # None: all seven
    labels: Literal["optional", "none"] = "none"  # there are none of points
    every: Annotated[int, Field(ge=1)] = 1  # 10: the first sweep and every tenth after it

    @property
    def sensor(self) -> str:
        """Name of the lidar, or of the two together."""
        return f"argoverse2-{self.lidars}"

    @classmethod
    def detect(cls, root: Path) -> bool:
        """See ``DatasetConfig.detect``."""
        return any(_logs(root / split) for split in get_args(Split))

    @classmethod
    def everything(cls, root: Path) -> tuple[Self, ...]:
        """See ``DatasetConfig.everything``."""
        return (cls(root=root, split="all", missing="skip"),)

    def sensor_statistics(self) -> Sensor | None:
        """See ``DatasetConfig.sensor_statistics``; ``statistics.yaml`` in the root, if it is."""
        path = self.root / "statistics.yaml"
        if not path.exists():
            return None
        mean, std = read_statistics(path)
        return Sensor(name=self.sensor, intensity_mean=mean, intensity_std=std)

    def build(self) -> "Argoverse2":
        """The data set that this describes."""
        return Argoverse2(self)


class Argoverse2:
    """Sweeps of Argoverse 2, with the images of the ring cameras taken nearest to them.

    Layout, as it is distributed (maps, boxes and stereo cameras are not read)::

        <root>/<split>/<log>/sensors/lidar/<nanoseconds>.feather
        <root>/<split>/<log>/sensors/cameras/<camera>/<nanoseconds>.jpg
        <root>/<split>/<log>/calibration/egovehicle_SE3_sensor.feather, intrinsics.feather
        <root>/<split>/<log>/city_SE3_egovehicle.feather
        <root>/statistics.yaml (written by ``lidistill data stats``)

    Splits: the folders train, val and test. Classes: none of points. Points are stored in the ego
    vehicle's frame, at its rear axle and corrected for its motion, and are returned in the upper
    lidar's, whichever lidar they come from.

    Licence: CC BY-NC-SA 4.0 (Argo AI).

    Args:
        config: What to read.

    Raises:
        DatasetNotFoundError: If the folder, a log, or something that is required is missing.

    References:
        Wilson et al., "Argoverse 2: Next Generation Datasets for Self-Driving Perception and
        Forecasting", NeurIPS Datasets and Benchmarks 2021.
    """

    def __init__(self, config: Argoverse2Config) -> None:
        self.config = config
        self.sensor = config.sensor
        self.label_map = LabelMap(name=config.kind, class_names=(), raw_to_train={}, raw_names={})
        self.cameras = config.cameras or CAMERAS
        found = config.sensor_statistics()
        self._statistics = None if found is None else (found.intensity_mean, found.intensity_std)
        logs = [read_log(folder, self.cameras) for folder in self._find_logs()]
        frames = [(log, sweep) for log in logs for sweep in log.sweeps][:: config.every]
        self.on_disk = self._on_disk(frames)
        kept = usable_frames(
            config, self.on_disk, lambda i: _frame_id(*frames[i]), source=config.root
        )
        self._frames = tuple(frames[i] for i in kept)

    @property
    def frame_ids(self) -> tuple[str, ...]:
        """``"<log>/<nanoseconds>"`` of every frame, in reading order."""
        return tuple(_frame_id(log, sweep) for log, sweep in self._frames)

    @property
    def drive_ids(self) -> tuple[str, ...]:
        """Log of every frame, in reading order."""
        return tuple(log.name for log, _ in self._frames)

    @property
    def parts(self) -> Parts:
        """See ``SensorFrames.parts``."""
        sensors = tuple(f"argoverse2-{lidars}" for lidars in get_args(Lidars))
        return Parts(splits=get_args(Split), sensors=sensors, drives=distinct(self.drive_ids))

    def missing(self) -> tuple[str, ...]:
        """See ``SensorFrames.missing``."""
        return missing_files(self.on_disk, self.cameras)

    def submission_format(self) -> None:
        """There is no server for its points."""

    def raw_scans(self) -> None:
        """Its scans are tables."""

    def __len__(self) -> int:
        """Number of frames."""
        return len(self._frames)

    def __getitem__(self, index: int) -> Frame:
        """Read one frame.

        Raises:
            DatasetNotFoundError: If a table is missing, or no point is of the wanted lidar.
            FileFormatError: If a file of it is damaged or does not fit the others.
            MissingPackageError: If ``pyarrow`` is not installed.
        """
        log, sweep = self._frames[index]
        calibration, time_ns = read_calibration(log.folder), int(sweep)
        _check_covered(log, time_ns, calibration)
        points, intensity = self._read_scan(log.scan_path(sweep), calibration)
        return Frame(
            frame_id=_frame_id(log, sweep),
            time=time_ns / 1e9,
            sensor=self.sensor,
            intensity_statistics=self._statistics,
            points=points,
            intensity=intensity,
            views=tuple(
                _view(log, sweep, camera, calibration)
                for camera in self.cameras
                if self.config.images != "none" and sweep in log.images[camera]
            ),
            T_world_lidar=calibration.up_lidar.at(time_ns),
        )

    def _read_scan(
        self, path: Path, calibration: Calibration
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Points in the upper lidar's frame, and their intensities."""
        table = read_feather(path, _COLUMNS, max_rows=_MAX_POINTS)
        lasers, wanted = table["laser_number"].astype(np.int64), _LASERS[self.config.lidars]
        of_wanted = (lasers >= wanted.start) & (lasers < wanted.stop)
        if not ((lasers >= 0) & (lasers < 64)).all():
            msg = f"scan {path}: its laser numbers are not in 0 to 63; unpack it again."
            raise FileFormatError(msg)
        if not of_wanted.any():
            msg = f"scan {path} has no point of {self.sensor}; leave it out, or set lidars."
            raise DatasetNotFoundError(msg)
        ego = np.stack([table[axis][of_wanted] for axis in "xyz"], axis=1).astype(np.float32)
        returned = has_return(ego)
        if not returned.any():
            raise nothing_returned(path, len(ego))
        if np.abs(ego[returned]).max() > MAX_RANGE:
            msg = f"scan {path}: points lie farther than {MAX_RANGE:g} m away; unpack it again."
            raise FileFormatError(msg)
        ego[~returned] = np.nan
        T_up_ego = invert_rigid(calibration.T_ego_sensor[UP])
        points = transform_points(T_up_ego, ego).astype(np.float32)
        return points, table["intensity"][of_wanted].astype(np.float32)

    def _find_logs(self) -> list[Path]:
        """Folders of the wanted logs."""
        root, config = self.config.root, self.config
        splits = get_args(Split) if config.split == "all" else (config.split,)
        logs = [log for split in splits for log in _logs(root / split)]
        absent = sorted(set(config.logs or ()) - {log.name for log in logs})
        if absent or not logs:
            names = sorted(path.name for path in root.iterdir()) if root.is_dir() else []
            what = f"the log {absent[0]}" if absent else "a log with sweeps"
            msg = (
                f"{root} has not {what} in the split {config.split!r}; expected folders like "
                f"train/<log>/sensors/lidar, found {listed(names)}. Set root, split and logs to "
                "what is on disk."
            )
            raise DatasetNotFoundError(msg)
        return [log for log in logs if config.logs is None or log.name in config.logs]

    def _on_disk(self, frames: list[tuple[Log, str]]) -> OnDisk:
        images = [[sweep in log.images[name] for name in self.cameras] for log, sweep in frames]
        return OnDisk(
            scan=np.ones(len(frames), dtype=bool),
            labels=np.zeros(len(frames), dtype=bool),
            images=np.array(images, dtype=bool).reshape(len(frames), len(self.cameras)),
        )


def _logs(split: Path) -> list[Path]:
    """Folders of a split's logs that have sweeps, by name."""
    return sorted(path.parent.parent for path in split.glob("*/sensors/lidar") if path.is_dir())


def _frame_id(log: Log, sweep: str) -> str:
    return f"{log.name}/{sweep}"


def _check_covered(log: Log, time_ns: int, calibration: Calibration) -> None:
    if not calibration.up_lidar.covers(time_ns, margin_ns=int(TOLERANCE * SECOND)):
        msg = (
            f"{log.folder / POSES} has no pose at the time of the sweep "
            f"{time_ns}; unpack both again."
        )
        raise FileFormatError(msg)


def _view(log: Log, sweep: str, camera: str, calibration: Calibration) -> CameraView:
    path, pinhole = log.image_path(camera, sweep), calibration.pinholes.get(camera)
    if pinhole is None or camera not in calibration.T_ego_sensor:
        msg = f"{log.folder / 'calibration'} says nothing of {camera}; unpack it again."
        raise FileFormatError(msg)
    height, width = image_size(path)
    if (height, width) != pinhole.size_hw:
        msg = (
            f"image {path} is {height} x {width} (height x width), expected {pinhole.size_hw} as "
            "intrinsics.feather says; take the image as it was distributed."
        )
        raise FileFormatError(msg)
    with blamed_on(log.folder / POSES):
        return CameraView(
            name=camera,
            image_path=path,
            size_hw=pinhole.size_hw,
            K=pinhole.K,
            T_cam_lidar=calibration.T_cam_lidar(
                camera, scan_ns=int(sweep), image_ns=int(log.images[camera][sweep])
            ),
            near_depth=_NEAR_DEPTH,
            border_px=_BORDER_PX,
        )
