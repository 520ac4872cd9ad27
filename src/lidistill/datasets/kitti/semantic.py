"""SemanticKITTI: the KITTI odometry drives, labelled; one 64-beam lidar, one colour camera used."""

import functools
import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, ClassVar, Final, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from lidistill.config import MayChange
from lidistill.datasets.base import DatasetConfig, LabelsAndSegments, Parts, distinct
from lidistill.datasets.completeness import missing_files, usable_frames
from lidistill.datasets.kitti.calibration import camera_view, read_calibration, read_poses
from lidistill.datasets.kitti.frame_files import (
    CAMERA,
    FrameName,
    frames_of,
    image_file,
    label_file,
    on_disk,
    scan_file,
    stored_image,
    tables_of,
)
from lidistill.datasets.kitti.sequences import (
    NUM_SEQUENCES,
    calibration_file,
    folder_of_sequences,
    wanted_sequences,
)
from lidistill.datasets.kitti.submission import lidar_format
from lidistill.datasets.raw_scans import RawScans, encode_plain
from lidistill.datasets.scan_times import time_of_line
from lidistill.datasets.sensors import Sensor
from lidistill.datasets.submission_format import SubmissionFormat
from lidistill.errors import FileFormatError
from lidistill.images.files import a_few, size_of_view
from lidistill.labels import LabelMap, load_label_map
from lidistill.records import CameraView, Frame
from lidistill.scan_formats.binary import (
    CLASS_BITS,
    check_class_bits,
    check_intensity,
    read_label_ids,
    read_scan,
)

logger = logging.getLogger(__name__)

_NUM_COLUMNS: Final = 4  # x, y, z, remission


class SemanticKittiConfig(DatasetConfig):
    """Which scans of SemanticKITTI to read."""

    EXAMPLE: ClassVar = "sequences/00/velodyne/000000.bin"
    # Over the training set, as the authors of ScaLR (CVPR 2024) computed it.
    SENSORS: ClassVar = (
        Sensor(name="semantic_kitti", intensity_mean=0.28613698, intensity_std=0.14090556),
    )
    TEST_SET: ClassVar = {"split": "test"}
    HAS_INSTANCES: ClassVar = True

    kind: Literal["semantic_kitti"] = "semantic_kitti"
    root: MayChange[Path]  # the folder that holds sequences/, or dataset/sequences/
    split: Literal["train", "val", "test", "all"] = "train"  # all: every sequence on disk
    sequences: (
        Annotated[tuple[Annotated[int, Field(ge=0, lt=NUM_SEQUENCES)], ...], Field(min_length=1)]
        | None
    ) = None  # of the split; None: all
    frames: Annotated[tuple[int, ...], Field(min_length=1)] | None = None  # numbers, per sequence
    every: Annotated[int, Field(ge=1)] = 1  # 100: the first scan and every 100th, the 1 % subset

    @property
    def sensor(self) -> str:
        """Key of ``data.sensors.SENSORS``."""
        return "semantic_kitti"

    @classmethod
    def detect(cls, root: Path) -> bool:
        """See ``DatasetConfig.detect``."""
        return any((root / part / "sequences").is_dir() for part in (".", "dataset"))

    @classmethod
    def everything(cls, root: Path) -> tuple[Self, ...]:
        """See ``DatasetConfig.everything``."""
        return (cls(root=root, split="all", missing="skip"),)

    def build(self) -> "SemanticKitti":
        """The data set that this describes."""
        return SemanticKitti(self)


class SemanticKitti:
    """Scans of SemanticKITTI, with the left colour image where there is one.

    Layout, as it is distributed (``poses.txt`` and ``image_2`` may be absent)::

        <root>/sequences/00/velodyne/000000.bin
        <root>/sequences/00/labels/000000.label
        <root>/sequences/00/image_2/000000.png
        <root>/sequences/00/calib.txt, poses.txt

    The calibration may also lie in ``<root>/calib/00/calib.txt`` or ``<root>/calib/00.txt``,
    poses in ``<root>/poses/00.txt``, as the odometry set's archives have them.

    Splits: sequences 00-07, 09, 10 train, 08 validates, 11-21 test, without public labels. Classes:
    the benchmark's map to 19 (``label_maps/semantic_kitti.yaml``); ids are those of its own tools.

    Licence: CC BY-NC-SA 3.0 (University of Bonn; Karlsruhe Institute of Technology).

    Args:
        config: What to read.

    Raises:
        DatasetNotFoundError: If the folder, a sequence, or something that is required is missing.
        FileFormatError: If a calibration is damaged, or there are fewer poses than scans.

    References:
        Behley et al., "SemanticKITTI", ICCV 2019; Geiger et al., "Are we ready for autonomous
        driving?", CVPR 2012; limits of the projection: ScaLR (CVPR 2024).
    """

    def __init__(self, config: SemanticKittiConfig) -> None:
        self.config = config
        self.sensor = config.sensor
        self.cameras = (CAMERA,)
        self.label_map: LabelMap = load_label_map("semantic_kitti")
        self.root = folder_of_sequences(config.root)
        sequences = wanted_sequences(
            self.root, config.split, config.sequences, may_lack=config.missing == "skip"
        )
        found = [
            frames_of(self.root, name, config.frames, labelled=config.labels != "none")
            for name in sequences
        ]
        scans = [frame for frames in found for frame in frames][:: config.every]
        self.on_disk = disk = on_disk(self.root, scans)
        if config.missing == "skip" and config.images != "none":
            self._leave_out_uncalibrated(scans)
        kept = usable_frames(config, disk, lambda i: "/".join(scans[i]), source=self.root)
        self._frames = tuple(scans[i] for i in kept)
        self._has_labels = disk.labels[kept]
        self._has_image = disk.images[kept, 0]
        self._seen = self._images() if config.images != "none" else {}
        posed = self._posed()
        self._calibration = {
            sequence: read_calibration(calibration_file(self.root, sequence))
            for sequence in sorted(posed | self._seen.keys())
        }
        self._T_world_lidar = {sequence: self._poses(sequence) for sequence in sorted(posed)}

    @property
    def frame_ids(self) -> tuple[str, ...]:
        """``"<sequence>/<frame>"`` of every frame, in reading order."""
        return tuple("/".join(frame) for frame in self._frames)

    @property
    def drive_ids(self) -> tuple[str, ...]:
        """Sequence of every frame, in reading order."""
        return tuple(sequence for sequence, _ in self._frames)

    @property
    def parts(self) -> Parts:
        """See ``SensorFrames.parts``."""
        drives = distinct(self.drive_ids)
        return Parts(splits=("train", "val", "test"), sensors=(self.sensor,), drives=drives)

    def missing(self) -> tuple[str, ...]:
        """See ``SensorFrames.missing``."""
        return missing_files(self.on_disk, self.cameras, labels="labels")

    def submission_format(self) -> SubmissionFormat:
        """See ``SensorFrames.submission_format``."""
        return lidar_format(
            self.label_map, self._frames.__getitem__, panoptic=self.config.instances
        )

    def raw_scans(self) -> RawScans:
        """See ``SensorFrames.raw_scans``."""

        def files(index: int) -> tuple[str, str]:
            return scan_file(self._frames[index]), label_file(self._frames[index])

        return RawScans(
            root=self.root,
            files=files,
            tables=tables_of(self.root, distinct(self.drive_ids)),
            encode_files=functools.partial(
                encode_plain, num_columns=_NUM_COLUMNS, label_dtype="<u4"
            ),
        )

    def __len__(self) -> int:
        """Number of frames."""
        return len(self._frames)

    def __getitem__(self, index: int) -> Frame:
        """Read one frame.

        Raises:
            FileFormatError: If a file of it is damaged or does not fit the others.
        """
        sequence, name = self._frames[index]
        path = self.root / scan_file((sequence, name))
        scan = read_scan(path, _NUM_COLUMNS)
        check_intensity(scan, path, "the remission, is not in 0 to 1")
        poses = self._T_world_lidar.get(sequence)
        labels, segments = self._labels(index, len(scan))
        return Frame(
            frame_id=f"{sequence}/{name}",
            sensor=self.sensor,
            points=np.ascontiguousarray(scan[:, :3]),
            intensity=np.ascontiguousarray(scan[:, 3]),
            labels=labels,
            segments=segments,
            views=self._views(index),
            T_world_lidar=None if poses is None else poses[int(name)],
            time=time_of_line(path.parents[1] / "times.txt", int(name), float),
        )

    def _labels(self, index: int, num_points: int) -> LabelsAndSegments:
        """Classes of the points and, if wanted, their whole labels."""
        if self.config.labels == "none" or not self._has_labels[index]:
            return None, None
        path = self.root / label_file(self._frames[index])
        whole = read_label_ids(path, "<u4", num_points)
        check_class_bits(whole, path)
        classes = self.label_map.apply(whole & CLASS_BITS, source=str(path))
        return classes, whole.astype(np.uint32) if self.config.instances else None

    def _views(self, index: int) -> tuple[CameraView, ...]:
        if self.config.images == "none" or not self._has_image[index]:
            return ()
        sequence, _ = frame = self._frames[index]
        path = stored_image(self.root / image_file(frame))
        calibration, size_hw = self._calibration[sequence], size_of_view(path, self._seen[sequence])
        source = calibration_file(self.root, sequence)
        return (camera_view(CAMERA, path, size_hw, calibration, source),)

    def _leave_out_uncalibrated(self, scans: Sequence[FrameName]) -> None:
        """Images of sequences without a calibration count as missing."""
        lacking = {
            owner
            for owner in {owner for owner, _ in scans}
            if not os.path.lexists(calibration_file(self.root, owner))
        }
        rows = np.array([owner in lacking for owner, _ in scans], dtype=bool)
        if self.on_disk.images[rows].any():
            logger.warning(
                "%s: left out the images of %s, whose calib.txt is not there "
                "(data_odometry_calib.zip holds it)",
                self.root,
                ", ".join(sorted(lacking)),
            )
        self.on_disk.images[rows] = False

    def _images(self) -> dict[str, tuple[Path, ...]]:
        """A few images of every sequence, which share its calibration."""
        images: dict[str, list[Path]] = {}
        for frame, has_image in zip(self._frames, self._has_image, strict=True):
            if has_image:
                images.setdefault(frame[0], []).append(self.root / image_file(frame))
        return {owner: tuple(map(stored_image, a_few(paths))) for owner, paths in images.items()}

    def _posed(self) -> set[str]:
        """Sequences with poses that can be used: they are of a camera, which must be calibrated."""
        posed = {owner for owner, _ in self._frames if os.path.lexists(self._pose_file(owner))}
        bare = {
            owner
            for owner in posed - self._seen.keys()
            if not os.path.lexists(calibration_file(self.root, owner))
        }
        if bare:
            logger.warning(
                "%s: left out the poses of %s, whose calib.txt is not there "
                "(data_odometry_calib.zip holds it); points and labels need neither.",
                self.root,
                ", ".join(sorted(bare)),
            )
        return posed - bare

    def _pose_file(self, sequence: str) -> Path:
        """SemanticKITTI's poses beside the scans, or the odometry set's in their own folder."""
        own = self.root / "sequences" / sequence / "poses.txt"
        shared = self.root / "poses" / f"{sequence}.txt"
        return shared if shared.is_file() and not os.path.lexists(own) else own

    def _poses(self, sequence: str) -> NDArray[np.float64]:
        path = self._pose_file(sequence)
        poses = read_poses(path, self._calibration[sequence])
        last = max(int(name) for owner, name in self._frames if owner == sequence)
        if last >= len(poses):
            msg = (
                f"{path} has {len(poses)} poses, expected at least {last + 1}; unpack it again, or "
                "remove it: poses are optional."
            )
            raise FileFormatError(msg)
        return poses
