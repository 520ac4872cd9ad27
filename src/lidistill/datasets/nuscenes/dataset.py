"""nuScenes with lidarseg: one 32-beam lidar, six cameras, Boston and Singapore."""

import functools
from pathlib import Path
from typing import Annotated, ClassVar, Final, Literal, Self, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from lidistill.config import MayChange
from lidistill.datasets.base import DatasetConfig, LabelsAndSegments, Parts, distinct
from lidistill.datasets.completeness import FileListing, OnDisk, missing_files, usable_frames
from lidistill.datasets.nuscenes.index import KeyFrames
from lidistill.datasets.nuscenes.label_files import check_categories, label_file, read_labels
from lidistill.datasets.nuscenes.scan import NUM_COLUMNS, read_key_scan
from lidistill.datasets.nuscenes.scenes import check_in_tables, scenes_of_split
from lidistill.datasets.nuscenes.share import Share, frames_of_share, scenes_of_share
from lidistill.datasets.nuscenes.submission import lidar_format
from lidistill.datasets.nuscenes.tables import CAMERAS, CHANNELS, IndexCache, read_key_frames
from lidistill.datasets.nuscenes.view import view_of
from lidistill.datasets.raw_scans import RawScans, encode_plain
from lidistill.datasets.scan_times import time_in_name
from lidistill.datasets.sensors import Sensor
from lidistill.datasets.submission_format import SubmissionFormat
from lidistill.errors import DatasetNotFoundError
from lidistill.labels import LabelMap, load_label_map
from lidistill.records import CameraView, Frame

Version: TypeAlias = Literal["v1.0-trainval", "v1.0-mini", "v1.0-test"]
Split: TypeAlias = Literal[
    "train", "val", "test", "mini_train", "mini_val", "tune_train", "tune_val", "all"
]
Camera: TypeAlias = Literal[
    "CAM_FRONT",
    "CAM_FRONT_RIGHT",
    "CAM_BACK_RIGHT",
    "CAM_BACK",
    "CAM_BACK_LEFT",
    "CAM_FRONT_LEFT",
]
_LIDAR: Final = 0  # position in CHANNELS


class NuScenesConfig(DatasetConfig):
    """Which key frames of nuScenes to read."""

    EXAMPLE: ClassVar = "v1.0-trainval/sample_data.json"
    # Over the training set, as the authors of ScaLR (CVPR 2024) computed it.
    SENSORS: ClassVar = (Sensor(name="nuscenes", intensity_mean=18.742355, intensity_std=22.04632),)
    TEST_SET: ClassVar = {"split": "test", "version": "v1.0-test"}
    HAS_INSTANCES: ClassVar = True
    MIN_SEGMENT_POINTS: ClassVar = 15

    kind: Literal["nuscenes"] = "nuscenes"
    root: MayChange[Path]  # the folder that holds samples/ and the tables
    version: Version = "v1.0-trainval"
    split: Split = "train"  # all: every scene in the tables
    scenes: Annotated[tuple[str, ...], Field(min_length=1)] | None = None  # of the split
    every: Annotated[int, Field(ge=1)] = 1  # 100: the first and every 100th after it …
    share: Share = "every-frame"  # … frame, or scene of the split (every-scene); or a list's file
    cameras: Annotated[tuple[Camera, ...], Field(min_length=1)] | None = None  # None: all six
    index_cache: MayChange[IndexCache] = "user"  # of the tables; None: read them anew

    @model_validator(mode="after")
    def _a_list_is_the_whole_share(self) -> Self:
        if isinstance(self.share, Path) and self.every != 1:
            msg = f"share is the list {self.share}, so every={self.every} counts nothing; leave it"
            raise ValueError(msg)
        return self

    @property
    def sensor(self) -> str:
        """Key of ``data.sensors.SENSORS``."""
        return "nuscenes"

    @classmethod
    def detect(cls, root: Path) -> bool:
        """See ``DatasetConfig.detect``."""
        return bool(_versions(root))

    @classmethod
    def everything(cls, root: Path) -> tuple[Self, ...]:
        """See ``DatasetConfig.everything``."""
        return tuple(
            cls(root=root, version=version, split="all", missing="skip")
            for version in _versions(root)
        )

    def build(self) -> "NuScenes":
        """The data set that this describes."""
        return NuScenes(self)


class NuScenes:
    """Key frames of nuScenes, in the coordinates of the lidar as it is stored.

    Layout, as it is distributed::

        <root>/v1.0-trainval/scene.json, sample.json, sample_data.json, ego_pose.json,
                             sensor.json, calibrated_sensor.json
        <root>/samples/LIDAR_TOP/*.pcd.bin
        <root>/samples/CAM_FRONT/*.jpg, …
        <root>/lidarseg/v1.0-trainval/<sample_data token>_lidarseg.bin
        <root>/panoptic/v1.0-trainval/<sample_data token>_panoptic.npz, where instances are read

    Splits: the official scene lists (``datasets/nuscenes/splits.yaml``), and train cut in two for
    tuning without a look at val (``tune_train``, 600 scenes, and ``tune_val``, 100). Classes: the
    32 of lidarseg become the 16 of its challenge (``label_maps/nuscenes.yaml``). The lidar's own x
    axis points to the right and y forward; points are not turned, because the published weights
    saw them so.

    Licence: CC BY-NC-SA 4.0 (Motional).

    Args:
        config: What to read.

    Raises:
        DatasetNotFoundError: If the folder, a table, or something that is required is missing.
        FileFormatError: If a table is damaged.

    References:
        Caesar et al., "nuScenes: A Multimodal Dataset for Autonomous Driving", CVPR 2020; Fong et
        al., "Panoptic nuScenes", RA-L 2022; limits of the projection: ScaLR (CVPR 2024).
    """

    def __init__(self, config: NuScenesConfig) -> None:
        self.config = config
        self.sensor = config.sensor
        self.label_map: LabelMap = load_label_map("nuscenes")
        tables = config.root / config.version
        if not tables.is_dir():
            found = sorted(path.name for path in config.root.glob("v1.0-*"))
            msg = (
                f"{tables} is not a folder; {config.root} holds "
                f"{', '.join(found) or 'no version'}. Set root and version to what is on disk."
            )
            raise DatasetNotFoundError(msg)
        if config.labels != "none":
            check_categories(tables / "category.json", self.label_map)
        self._index: KeyFrames = read_key_frames(tables, config.index_cache)
        self.cameras = config.cameras or CAMERAS
        self._channels = [CHANNELS.index(name) for name in self.cameras]
        chosen = np.flatnonzero(np.isin(self._index.scene, self._scenes(tables)))
        chosen = frames_of_share(self._index, chosen, config.share, config.every)
        self.on_disk = disk = self._on_disk(chosen)
        kept = usable_frames(
            config, disk, lambda i: self._frame_id(int(chosen[i])), source=config.root
        )
        self._frames = chosen[kept]
        self._has_labels = disk.labels[kept]
        self._has_image = disk.images[kept]

    @property
    def frame_ids(self) -> tuple[str, ...]:
        """``"<scene>/<sample token>"`` of every frame, by scene and time."""
        return tuple(self._frame_id(int(frame)) for frame in self._frames)

    @property
    def drive_ids(self) -> tuple[str, ...]:
        """Scene of every frame, in reading order."""
        return tuple(str(scene) for scene in self._index.scene[self._frames])

    @property
    def parts(self) -> Parts:
        """See ``SensorFrames.parts``."""
        splits = tuple(split for split in get_args(Split) if split != "all")
        return Parts(splits=splits, sensors=(self.sensor,), drives=distinct(self.drive_ids))

    def missing(self) -> tuple[str, ...]:
        """See ``SensorFrames.missing``."""
        return missing_files(self.on_disk, self.cameras, labels="lidarseg labels")

    def submission_format(self) -> SubmissionFormat:
        """See ``SensorFrames.submission_format``."""
        number, panoptic = self.label_map.num_classes, self.config.instances
        return lidar_format(number, self.scan_token, panoptic=panoptic)

    def raw_scans(self) -> RawScans:
        """See ``SensorFrames.raw_scans``."""
        root, version = self.config.root, self.config.version

        def files(index: int) -> tuple[str, str]:
            frame = int(self._frames[index])
            return self._index.filename[frame, _LIDAR].decode(), self._label_file(frame)

        return RawScans(
            root=root,
            files=files,
            tables=tuple(f"{version}/{p.name}" for p in sorted((root / version).glob("*.json"))),
            encode_files=functools.partial(encode_plain, num_columns=NUM_COLUMNS, label_dtype="u1"),
        )

    def __len__(self) -> int:
        """Number of frames."""
        return len(self._frames)

    def __getitem__(self, index: int) -> Frame:
        """Read one frame.

        Raises:
            FileFormatError: If a file of it is damaged or does not fit the others.
        """
        frame = int(self._frames[index])
        path = self.config.root / self._index.filename[frame, _LIDAR].decode()
        scan = read_key_scan(path)
        T_world_lidar = self._index.T_world_ego(frame, _LIDAR) @ self._index.T_ego_sensor(
            frame, _LIDAR
        )
        labels, segments = self._labels(index, len(scan))
        return Frame(
            frame_id=self._frame_id(frame),
            sensor=self.sensor,
            points=np.ascontiguousarray(scan[:, :3]),
            intensity=np.ascontiguousarray(scan[:, 3]),
            labels=labels,
            segments=segments,
            views=self._views(index, T_world_lidar),
            T_world_lidar=T_world_lidar,
            ring=np.nan_to_num(scan[:, 4], nan=-1).astype(np.int16),
            time=time_in_name(path.name),
        )

    def scan_token(self, index: int) -> str:
        """Token of a frame's scan in ``sample_data``; label files are named after it."""
        return self._index.lidar_token[int(self._frames[index])].decode()

    def _frame_id(self, frame: int) -> str:
        return f"{self._index.scene[frame]}/{self._index.token[frame].decode()}"

    def _label_file(self, frame: int) -> str:
        token = self._index.lidar_token[frame].decode()
        return label_file(self.config.version, token, instances=self.config.instances)

    def _labels(self, index: int, num_points: int) -> LabelsAndSegments:
        """Classes of the points and, if wanted, their segments."""
        config = self.config
        if config.labels == "none" or not self._has_labels[index]:
            return None, None
        path = config.root / self._label_file(int(self._frames[index]))
        return read_labels(path, num_points, self.label_map, instances=config.instances)

    def _views(self, index: int, T_world_lidar: NDArray[np.float64]) -> tuple[CameraView, ...]:
        if self.config.images == "none":
            return ()
        present = zip(self._channels, self._has_image[index], strict=True)
        tables = self.config.root / self.config.version
        return tuple(
            view_of(self._index, int(self._frames[index]), channel, T_world_lidar, tables=tables)
            for channel, has_image in present
            if has_image
        )

    def _scenes(self, tables: Path) -> list[str]:
        """Names of the wanted scenes, of which one at least is in the tables."""
        config, known = self.config, frozenset(self._index.scene.tolist())
        names = scenes_of_split(config.split, config.scenes, known=known, version=config.version)
        names = scenes_of_share(names, config.share, config.every)
        may_lack = config.missing == "skip"
        check_in_tables(names, known, tables, split=config.split, may_lack=may_lack)
        return names

    def _on_disk(self, frames: NDArray[np.int64]) -> OnDisk:
        listing = FileListing(self.config.root)
        files = self._index.filename[frames]

        def exist(names: NDArray[np.bytes_]) -> list[bool]:
            return [listing.has(name.decode()) for name in names]

        images = [exist(files[:, channel]) for channel in self._channels]
        return OnDisk(
            scan=np.array(exist(files[:, _LIDAR]), dtype=bool),
            labels=np.array([listing.has(self._label_file(int(f))) for f in frames], dtype=bool),
            images=np.array(images, dtype=bool).T,
        )


def _versions(root: Path) -> tuple[Version, ...]:
    """Versions whose tables lie under a root."""
    return tuple(v for v in get_args(Version) if (root / v / "sample_data.json").is_file())
