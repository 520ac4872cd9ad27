"""What `lidistill data check` sees in own recordings that are broken on purpose.

Real and simulated drives are read, written as own folders of two drives, and broken in one way
each; the table says whether anything was found, and whether the right cause is named.

    python benchmarks/check_faults.py --data ../shared/data [--simulated runs/sim] [--only …]

--simulated names a folder that holds simulated sets (pandaset, nuscenes, semantic_kitti).
"""

import argparse
import json
import logging
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from PIL import Image

from lidistill.data_check.check import check_root
from lidistill.data_check.contents import read_all
from lidistill.datasets import FrameDataset
from lidistill.geometry import transform_points
from lidistill.records import Frame

MOST_FRAMES = 14  # of a drive
CAMERAS = 3
ALL = slice(None)


@dataclass(frozen=True)
class Fault:
    """A way to break a folder, and the findings that name it."""

    break_: Callable[[Path], None]
    right: frozenset[str]


def drives_of(root: Path) -> list[Path]:
    """Folders of the drives, in the order of their names."""
    return sorted(path.parent for path in root.glob("*/scans"))


def calibration(
    change: Callable[[dict[str, Any], str], object], *, drives: slice = ALL
) -> Callable[[Path], None]:
    """A fault of the calibration of each camera, in some drives."""

    def break_(root: Path) -> None:
        for drive in drives_of(root)[drives]:
            path = drive / "calibration.yaml"
            content = yaml.safe_load(path.read_text())
            for name, camera in content["cameras"].items():
                change(camera, name)
            rewritten(path).write_text(yaml.safe_dump(content))

    return break_


def rewritten(path: Path) -> Path:
    """The path, no longer a link to the sound file."""
    path.unlink(missing_ok=True)
    return path


def scans(
    change: Callable[[np.ndarray, np.ndarray, int], np.ndarray], *, drives: slice = ALL
) -> Callable[[Path], None]:
    """A fault of the points: (points and intensity, pose, number of the drive)."""

    def break_(root: Path) -> None:
        for number, drive in list(enumerate(drives_of(root)))[drives]:
            paths = sorted((drive / "scans").iterdir())
            poses = poses_of(drive, len(paths))
            for path, pose in zip(paths, poses, strict=True):
                scan = change(np.load(path).astype(np.float64), pose, number)
                np.save(rewritten(path), scan.astype(np.float32))

    return break_


def poses_of(drive: Path, num: int) -> np.ndarray:
    """Poses of a drive; a straight line at 2 m a scan where there are none."""
    poses = np.tile(np.eye(4), (num, 1, 1))
    if (drive / "poses.txt").exists():
        poses[:, :3] = np.loadtxt(drive / "poses.txt").reshape(num, 3, 4)
    else:
        poses[:, 0, 3] = 2.0 * np.arange(num)
    return poses


def moved(scan: np.ndarray, T: np.ndarray) -> np.ndarray:
    """A scan (points and intensity) after a transform."""
    return np.column_stack([transform_points(T, scan[:, :3]), scan[:, 3]])


def images(order: Callable[[int, int], int]) -> Callable[[Path], None]:
    """Every image replaced by another of its camera."""

    def break_(root: Path) -> None:
        for folder in root.glob("*/cameras/*"):
            paths = sorted(folder.iterdir())
            content = [path.read_bytes() for path in paths]
            for number, path in enumerate(paths):
                other = min(max(order(number, len(paths)), 0), len(paths) - 1)
                rewritten(path).write_bytes(content[other])

    return break_


def exchanged(root: Path) -> None:
    """The first two cameras have each other's images."""
    for drive in drives_of(root):
        cameras = sorted((drive / "cameras").iterdir())
        if len(cameras) > 1:
            first, second = cameras[:2]
            aside = first.with_name("aside")
            first.rename(aside)
            second.rename(first)
            aside.rename(second)


def invert(camera: dict[str, Any], _name: str) -> None:
    """T_lidar_cam instead of T_cam_lidar."""
    camera["T_cam_lidar"] = np.linalg.inv(np.array(camera["T_cam_lidar"])).tolist()


def focal(factor: float) -> Callable[[dict[str, Any], str], None]:
    """Focal lengths of another lens."""

    def change(camera: dict[str, Any], _name: str) -> None:
        for row in (0, 1):
            camera["K"][row][row] *= factor

    return change


def distorted(root: Path) -> None:
    """Images as a lens with k1 = -0.3 gives them, and a calibration that does not say so."""
    for folder in root.glob("*/cameras/*"):
        K = np.array(yaml.safe_load((folder.parents[1] / "calibration.yaml").read_text())
                     ["cameras"][folder.name]["K"])  # fmt: skip
        for path in folder.iterdir():
            image = np.asarray(Image.open(path))
            v, u = np.mgrid[: image.shape[0], : image.shape[1]]
            bent = np.stack([(u - K[0, 2]) / K[0, 0], (v - K[1, 2]) / K[1, 1]])
            flat = bent.copy()
            for _ in range(20):
                flat = bent / np.maximum(1 - 0.3 * (flat**2).sum(axis=0), 0.3)
            column = np.clip(flat[0] * K[0, 0] + K[0, 2], 0, image.shape[1] - 1).round()
            row = np.clip(flat[1] * K[1, 1] + K[1, 2], 0, image.shape[0] - 1).round()
            moved_image = image[row.astype(int), column.astype(int)]
            Image.fromarray(moved_image).save(rewritten(path), quality=92)


def strong(camera: dict[str, Any], _name: str) -> None:
    """A distortion that the images do not have."""
    camera["distortion"] = [-0.3, 0.0, 0.0, 0.0]


def body_axes(camera: dict[str, Any], _name: str) -> None:
    """Cameras with x ahead, y left, z up."""
    turn = np.eye(4)
    turn[:3, :3] = [[0, 0, 1], [-1, 0, 0], [0, -1, 0]]
    camera["T_cam_lidar"] = (turn @ np.array(camera["T_cam_lidar"])).tolist()


def world(scan: np.ndarray, pose: np.ndarray, _drive: int) -> np.ndarray:
    """A scan brought into the world by its pose."""
    return moved(scan, pose)


def far_world(scan: np.ndarray, pose: np.ndarray, _drive: int) -> np.ndarray:
    """The same, in a world whose origin is far away."""
    far = np.eye(4)
    far[:3, 3] = 130, -60, 2
    return moved(scan, far @ pose)


def without_poses(break_: Callable[[Path], None]) -> Callable[[Path], None]:
    """A fault in recordings that have no poses."""

    def change(root: Path) -> None:
        break_(root)
        for path in root.glob("*/poses.txt"):
            path.unlink()

    return change


def of(*names: str) -> frozenset[str]:
    """Names of findings."""
    return frozenset(names)


FAULTS = {
    "two cameras exchanged": Fault(exchanged, of("exchanged_cameras")),
    "matrices inverted": Fault(calibration(invert), of("inverted_extrinsics")),
    "inverted in one drive": Fault(
        calibration(invert, drives=slice(1, None)), of("inverted_extrinsics")
    ),
    "camera x ahead, z up": Fault(calibration(body_axes), of("camera_axes", "rotated_extrinsics")),
    "focal length x 1.2": Fault(calibration(focal(1.2)), of("focal_length")),
    "focal length x 0.8": Fault(calibration(focal(0.8)), of("focal_length")),
    "distortion left out": Fault(distorted, of("distortion")),
    "distortion put in": Fault(calibration(strong), of("distortion")),
    "images in reverse": Fault(images(lambda i, n: n - 1 - i), of("image_order")),
    "images 5 later": Fault(images(lambda i, _: i - 5), of("image_order")),
    "images 1 later": Fault(images(lambda i, _: i - 1), of("image_order", "time_offset")),
    "world frame, poses": Fault(scans(world), of("world_frame")),
    "world frame, far": Fault(without_poses(scans(far_world)), of("world_frame")),
    "y negated": Fault(scans(lambda s, _p, _d: s * (1, -1, 1, 1)), of("mirrored")),
    "millimetres": Fault(scans(lambda s, _p, _d: s * (1e3, 1e3, 1e3, 1)), of("range_unit")),
    "intensity x 255 in one drive": Fault(
        scans(lambda s, _p, _d: s * (1, 1, 1, 255), drives=slice(1, None)),
        of("intensity_differs"),
    ),
}


def write_folder(dataset: FrameDataset, root: Path) -> None:
    """Write a data set as own recordings, every drive cut in two if there is but one."""
    drives: dict[str, list[int]] = {}
    for index, name in enumerate(dataset.drive_ids):
        drives.setdefault(name, []).append(index)
    parts = list(drives.values())[:2]
    if len(parts) == 1 and len(parts[0]) > 3:
        middle = len(parts[0]) // 2
        parts = [parts[0][:middle], parts[0][middle:]]
    for name, part in zip("ab", parts, strict=False):
        write_drive([dataset[index] for index in part[:MOST_FRAMES]], root / name)


def write_drive(frames: Sequence[Frame], folder: Path) -> None:
    """Write frames as one drive."""
    (folder / "scans").mkdir(parents=True)
    poses, cameras = [], {}
    for number, frame in enumerate(frames):
        columns = [frame.points] if frame.intensity is None else [frame.points, frame.intensity]
        scan = np.column_stack(columns)
        np.save(folder / "scans" / f"{number:06d}.npy", scan.astype(np.float32))
        if frame.T_world_lidar is not None:
            poses.append(frame.T_world_lidar)
        for view in sorted(frame.views, key=lambda v: v.name)[:CAMERAS]:
            path = folder / "cameras" / view.name / f"{number:06d}{view.image_path.suffix}"
            path.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(view.image_path, path)
            cameras[view.name] = {
                "size_hw": list(view.size_hw),
                "K": view.K.tolist(),
                "T_cam_lidar": view.T_cam_lidar.tolist(),
            }
    (folder / "calibration.yaml").write_text(yaml.safe_dump({"cameras": cameras}))
    if poses:
        from_start = [(np.linalg.inv(poses[0]) @ pose)[:3].ravel() for pose in poses]
        np.savetxt(folder / "poses.txt", np.array(from_start))


def copied(root: Path, to: Path) -> Path:
    """The folder once more, its files linked until a fault rewrites them."""
    shutil.copytree(root, to, copy_function=os.link)
    return to


def measure(root: Path, fault: Fault | None) -> dict[str, Any]:
    """What is said about a broken folder."""
    with tempfile.TemporaryDirectory(dir=root.parent) as folder:
        broken = copied(root, Path(folder) / "broken")
        if fault is not None:
            fault.break_(broken)
        start = time.perf_counter()
        report = check_root(broken)
    found = [(f.fault, f.cameras, f.text) for d in report.datasets for f in d.findings]
    names = {name for name, _, _ in found}
    limits = [line for dataset in report.datasets for line in dataset.limits]
    right = fault is None or bool(names & fault.right)
    problems = [line for dataset in report.datasets for line in dataset.problems]
    verdict = "named" if right and names else "found" if names else "silent"
    verdict = "refused" if problems and not names else verdict
    return {
        "verdict": verdict,
        "findings": found,
        "limits": limits,
        "problems": problems[:2],
        "contrast": [
            [drive, one.camera, one.contrast, one.num_steps]
            for dataset in report.datasets
            for drive, fits in dataset.camera_fits.items()
            for one in fits
        ],
        "seconds": time.perf_counter() - start,
    }


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--simulated", type=Path)
    parser.add_argument("--sets", nargs="*", default=[""], help="parts of names")
    parser.add_argument("--only", nargs="*", help="faults; the sound folder is always checked")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    logging.disable(logging.WARNING)
    record: dict[str, dict[str, Any]] = {}
    roots = [options.data / n for n in ("pandaset", "nuscenes", "kitti_raw")]
    if options.simulated:
        roots += [options.simulated / n for n in ("pandaset", "nuscenes", "semantic_kitti")]
    with tempfile.TemporaryDirectory() as folder:
        for root in roots:
            for dataset in read_all(root) if root.is_dir() else ():
                where = "simulated" if root.parent == options.simulated else "real"
                name = f"{where} {root.name} {dataset.sensor}"
                if not any(part in name for part in options.sets):
                    continue
                sound = Path(folder) / name.replace(" ", "_")
                write_folder(dataset, sound)
                for fault in ("sound", *(options.only if options.only is not None else FAULTS)):
                    result = measure(sound, FAULTS.get(fault))
                    record.setdefault(name, {})[fault] = result
                    said = sorted({f"{f} ({', '.join(c)})" for f, c, _ in result["findings"]})
                    line = f"{result['verdict']:7} {fault:28} {name:40} {result['seconds']:5.1f} s"
                    sys.stdout.write(f"{line}  {'; '.join(said)}\n")
                    sys.stdout.flush()
    if options.json:
        options.json.write_text(json.dumps(record, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    """Folders of the drives, in the order of their names."""
    main()
