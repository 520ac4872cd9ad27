"""Which files of which data sets are mutated, and what may become of reading them afterwards."""

import random
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from fakes import pandaset, semantic_kitti
from fakes.batches import opened, waffle
from fakes.nuscenes import FakeNuScenes
from mutations.damage import (
    ANY_FILE,
    IMAGE_FILE,
    JSON_FILE,
    LABEL_FILE,
    SCAN_FILE,
    TEXT_FILE,
    Mutation,
    Spot,
)
from mutations.recordings import (
    BAGS,
    ENDINGS,
    KINDS,
    YAML_FILE,
    open_bag,
    open_kitti_raw,
    open_recording,
    write_bag,
    write_kitti_raw,
    write_recording,
)
from mutations.tables import CLASS_TABLE, SCAN_TABLE

from lidistill.datasets.kitti.semantic import SemanticKittiConfig
from lidistill.datasets.nuscenes.dataset import NuScenesConfig
from lidistill.datasets.pandaset.dataset import PandaSetConfig
from lidistill.errors import LidistillError
from lidistill.records import Frame, Sample
from lidistill.samples.augmentation import AugmentationConfig
from lidistill.samples.distillation import SamplingConfig, distillation_sample, sample_rng

SAMPLING = SamplingConfig(
    cameras="all",
    points="all",
    image_size_hw=(16, 32),
    augmentation=AugmentationConfig(kind="none"),
)


def _pandaset(root: Path) -> None:
    drive = pandaset.Drive(frames=(0, 1), num_poses=2)
    drive.cameras = {name: pandaset.Camera() for name in ("front_camera", "left_camera")}
    pandaset.write_drive(root, "002", drive)


def _open_pandaset(root: Path) -> list[Frame]:
    cameras = ("front_camera", "left_camera")
    config = PandaSetConfig(root=root, labels="required", missing="error", cameras=cameras)
    return list(map(config.build().__getitem__, range(2)))


def _nuscenes(root: Path) -> None:
    fake = FakeNuScenes(root)
    fake.add_scene("scene-0061", 2, labels=np.arange(50) % 32)
    fake.write_tables()


def _open_nuscenes(root: Path) -> list[Frame]:
    config = NuScenesConfig(
        root=root, version="v1.0-mini", split="all", labels="required", images="required"
    )
    return list(map(config.build().__getitem__, range(2)))


def _kitti(root: Path) -> None:
    poses = [np.eye(4)[:3], np.eye(4)[:3]]
    semantic_kitti.write_sequence(root, 0, 2, poses=poses)


def _open_kitti(root: Path) -> list[Frame]:
    config = SemanticKittiConfig(root=root, labels="required", images="required", sequences=(0,))
    return list(map(config.build().__getitem__, range(2)))


@dataclass(frozen=True, kw_only=True)
class Target:
    """One kind of file of one data set."""

    write: Callable[[Path], None]
    read: Callable[[Path], list[Frame]]
    files: str  # pattern; the first is mutated, the last is its peer
    kinds: dict[str, Mutation]
    checksum: bool = False  # every change can be told
    counted: bool = True  # another file tells how long this one is


Origin = tuple[Callable[[Path], None], Callable[[Path], list[Frame]]]
ORIGINS: dict[str, Origin] = {
    "pandaset": (_pandaset, _open_pandaset),
    "nuscenes": (_nuscenes, _open_nuscenes),
    "semantic_kitti": (_kitti, _open_kitti),
    "kitti_raw": (write_kitti_raw, open_kitti_raw),
    **{ending: (partial(write_recording, ending=ending), open_recording) for ending in ENDINGS},
    **{
        ending: (partial(write_bag, ending=ending), partial(open_bag, ending=ending))
        for ending in BAGS
    },
}
"""How a miniature is written and read."""


def _target(origin: str, files: str, kinds: dict[str, Mutation], *, checksum: bool = False):
    write, read = ORIGINS[origin]
    return Target(
        write=write,
        read=read,
        files=files,
        kinds=ANY_FILE | kinds,
        checksum=checksum,
        counted=origin != "kitti_raw" and files != "statistics.yaml",
    )


TARGETS = {
    "pandaset scan": _target("pandaset", "002/lidar/*.pkl.gz", SCAN_TABLE, checksum=True),
    "pandaset labels": _target("pandaset", "002/*/semseg/*.pkl.gz", CLASS_TABLE, checksum=True),
    "pandaset lidar poses": _target("pandaset", "002/lidar/poses.json", JSON_FILE),
    "pandaset camera poses": _target("pandaset", "002/camera/*/poses.json", JSON_FILE),
    "pandaset intrinsics": _target("pandaset", "002/camera/*/intrinsics.json", JSON_FILE),
    "pandaset gps": _target("pandaset", "002/meta/gps.json", JSON_FILE),
    "pandaset images": _target("pandaset", "002/camera/*/*.jpg", IMAGE_FILE),
    "nuscenes scan": _target("nuscenes", "samples/*/*.pcd.bin", SCAN_FILE),
    "nuscenes labels": _target("nuscenes", "lidarseg/*/*.bin", LABEL_FILE),
    "nuscenes images": _target("nuscenes", "samples/CAM_FRONT/*.jpg", IMAGE_FILE),
    **{
        f"nuscenes {table}": _target("nuscenes", f"v1.0-mini/{table}.json", JSON_FILE)
        for table in (
            *("scene", "sample", "sensor"),
            *("calibrated_sensor", "sample_data", "ego_pose"),
        )
    },
    "semantic_kitti scan": _target("semantic_kitti", "*/00/velodyne/*.bin", SCAN_FILE),
    "semantic_kitti labels": _target("semantic_kitti", "*/00/labels/*.label", LABEL_FILE),
    "semantic_kitti calibration": _target("semantic_kitti", "*/00/calib.txt", TEXT_FILE),
    "semantic_kitti poses": _target("semantic_kitti", "*/00/poses.txt", TEXT_FILE),
    "semantic_kitti images": _target(
        "semantic_kitti", "*/00/image_2/*.png", IMAGE_FILE, checksum=True
    ),
    "kitti_raw scan": _target("kitti_raw", "*/*/velodyne_points/data/*.bin", SCAN_FILE),
    "kitti_raw camera calibration": _target("kitti_raw", "*/calib_cam_to_cam.txt", TEXT_FILE),
    "kitti_raw lidar calibration": _target("kitti_raw", "*/calib_velo_to_cam.txt", TEXT_FILE),
    "kitti_raw images": _target("kitti_raw", "*/*/image_02/data/*.png", IMAGE_FILE, checksum=True),
    **{
        f"own scan {ending}": _target(ending, "scans/0*", KINDS.get(ending, {}))
        for ending in ENDINGS
    },
    **{
        f"own {name}": _target("_binary.pcd", files, kinds)
        for name, files, kinds in (
            ("calibration", "calibration.yaml", TEXT_FILE | YAML_FILE),
            ("classes", "labels.yaml", TEXT_FILE | YAML_FILE),
            ("statistics", "statistics.yaml", TEXT_FILE | YAML_FILE),
            ("labels", "labels/*.label", LABEL_FILE),
            ("poses", "poses.txt", TEXT_FILE),
            ("times", "scans/times.csv", {}),
            ("images", "cameras/front/*.png", IMAGE_FILE),
        )
    },
    **{f"bag {ending}": _target(ending, f"**/*{ending}", {}) for ending in BAGS},
}
"""Every kind of file; a new data set adds its lines here."""

_MUST_TELL = {"of another size", "unknown class", "one record less", "truncated"}
"""Mutations that change something a check can tell, whatever the file."""
_HEAVY = {
    *("8 million objects", "JPEG of 2,000 scans"),
    *("gzip bomb", "900 MiB in one string", "zip bomb"),
}
LIGHT = {name: set(target.kinds) - _HEAVY for name, target in TARGETS.items()}


@dataclass(frozen=True, kw_only=True)
class Reading:
    frames: list[Frame]
    samples: list[Sample]


def read(target: Target, root: Path) -> Reading:
    """Everything that training would read of a miniature."""
    frames = target.read(root)
    samples = [
        distillation_sample(frame, SAMPLING, waffle(), sample_rng(0, 0, index))
        for index, frame in enumerate(frames)
    ]
    return Reading(frames=frames, samples=samples)


def mutate(target: Target, kind: str, root: Path, seed: int) -> Path:
    """Damages one file of a written miniature and names it."""
    files = sorted(root.glob(target.files))
    outside = root.parent / f"{root.name}-outside"
    outside.mkdir()
    target.kinds[kind](
        Spot(path=files[0], peer=files[-1], outside=outside), random.Random(f"{kind} {seed}")
    )
    return files[0]


def judge(target: Target, kind: str, root: Path, path: Path, sound: Reading) -> tuple[str, str]:
    """What became of reading a mutant: a class that ends in "!" is a fault of the reader."""
    try:
        found = read(target, root)
    except LidistillError as error:
        return _class_of_message(str(error), path, root, sound), str(error)
    if _arrays(found, root) == _arrays(sound, root):
        return "equal", ""
    if target.checksum and kind != "another file":
        return "changed!", "the format has a checksum"
    if kind in _MUST_TELL and target.counted:
        return "changed!", "a check could tell"
    problem = next(_implausible(found), "")
    return ("implausible!", problem) if problem else ("plausible", "")


def _class_of_message(text: str, path: Path, root: Path, sound: Reading) -> str:
    if "\n" in text or len(text) > 1000:
        return "unclear!"
    if str(path) in text or (str(path.parent) in text and path.name in text):
        return "names file"
    frames = [frame.frame_id for frame in sound.frames]
    folders = [str(root), str(path.parent)]
    return "names frame" if any(name in text for name in frames + folders) else "unclear!"


def _arrays(reading: Reading, root: Path) -> list[object]:
    """All that was read, in a form that compares; paths relative to the root."""
    parts: list[object] = []
    for frame, sample in zip(reading.frames, reading.samples, strict=True):
        arrays = [frame.points, frame.intensity, frame.labels, frame.T_world_lidar]
        arrays += [array for view in frame.views for array in (view.K, view.T_cam_lidar)]
        arrays += [sample.features, opened(sample).neighbors, opened(sample).cells, sample.images]
        parts += [frame.frame_id, [(view.name, view.size_hw) for view in frame.views]]
        parts += [path.relative_to(path.parents[2]) for path in sample.image_paths]
        parts += [None if array is None else np.asarray(array).tobytes() for array in arrays]
    return parts


def _implausible(reading: Reading) -> Iterator[str]:
    """What no such sensor can have written, said independently of the readers."""
    for frame in reading.frames:
        lost = np.isnan(frame.points).all(axis=1)
        if not (np.abs(frame.points[~lost]) <= 1e4).all():
            yield "a point is farther than 10 km or not finite"
        if not np.isfinite(frame.intensity[~lost]).all():
            yield "an intensity is not finite"
        if frame.T_world_lidar is not None and not _rigid(frame.T_world_lidar, 1e7):
            yield "the vehicle's pose is not rigid, or on another planet"
        for view in frame.views:
            fx, fy, cx, cy = view.K[[0, 1, 0, 1], [0, 1, 2, 2]]
            if not (np.isfinite(view.K).all() and fx > 0 and fy > 0 and 0.5 < fx / fy < 2):
                yield "the focal lengths are absurd"
            elif not (0 < cx < view.size_hw[1] and 0 < cy < view.size_hw[0]):
                yield "the principal point lies outside the image"
            if not _rigid(view.T_cam_lidar, 100):
                yield "the camera is not rigid, or more than 100 m from the lidar"
    for sample in reading.samples:
        if not np.isfinite(sample.features.numpy()).all():
            yield "a feature is not finite"


def _rigid(T: np.ndarray, reach: float) -> bool:
    rotation = T[:3, :3]
    straight = np.allclose(rotation @ rotation.T, np.eye(3), atol=2e-3)
    turns = straight and np.linalg.det(rotation) > 0
    return bool(turns and np.linalg.norm(T[:3, 3]) <= reach)


def clear(root: Path) -> None:
    """Removes a mutant, also one that may not be read."""
    for name in (root.name, f"{root.name}-outside", f"{root.name}-unpacked"):
        path = root.parent / name
        shutil.rmtree(path, ignore_errors=True)
