"""A miniature of a user's own recordings, in the layout of docs/datasets/own.md."""

import numpy as np
import yaml
from fakes.scan_writers import WRITERS, cloud
from PIL import Image

SIZE_HW = (48, 80)
K = [[60.0, 0.0, 40.0], [0.0, 60.0, 24.0], [0.0, 0.0, 1.0]]
T_CAM_LIDAR = [[0.0, -1.0, 0.0, 0.1], [0.0, 0.0, -1.0, -0.2], [1.0, 0.0, 0.0, -0.3]]
BACK = [[0.0, 1.0, 0.0, 0.0], [0.0, 0.0, -1.0, 0.0], [-1.0, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 1.0]]
LABELS = {"classes": ["car", "road"], "ids": {0: "ignore", 10: "car", 40: "road"}}


def camera(**changes):
    return {"size_hw": list(SIZE_HW), "K": K, "T_cam_lidar": T_CAM_LIDAR} | changes


def calibration(**changes):
    return {"cameras": {"front": camera(), "back": camera(T_cam_lidar=BACK)}} | changes


def write_yaml(path, values):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(values), encoding="utf-8")


def write_image(path, image=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    grey = np.full((*SIZE_HW, 3), 128, dtype=np.uint8)
    Image.fromarray(grey if image is None else image).save(path)


def write_scan(path, table, writer=".pcd.bin"):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(WRITERS[writer](table))


def write_times(folder, times):
    lines = "".join(f"{name},{seconds}\n" for name, seconds in times.items())
    (folder / "times.csv").write_text(f"name,seconds\n{lines}", encoding="utf-8")


def write_drive(folder, num_frames=2, *, table=None, image=None, labels=True):
    for number in range(num_frames):
        name = f"{number:06d}"
        points = cloud(seed=number) if table is None else table
        write_scan(folder / "scans" / f"{name}.pcd", points, "_binary.pcd")
        for camera_name in ("front", "back"):
            write_image(folder / "cameras" / camera_name / f"{name}.png", image)
        if labels:
            ids = np.resize([(3 << 16) + 10, 40, 0], len(points)).astype("<u4")
            (folder / "labels").mkdir(exist_ok=True)
            (folder / "labels" / f"{name}.label").write_bytes(ids.tobytes())
    return folder


def write_folder(root, drives=("a", "b"), **parts):
    """Drives below a root; ``drives=("",)`` puts the only one into the root itself."""
    for drive in drives:
        write_drive(root / drive, **parts)
    write_yaml(root / "calibration.yaml", calibration())
    write_yaml(root / "labels.yaml", LABELS)
    write_yaml(root / "statistics.yaml", {"intensity_mean": 127.0, "intensity_std": 74.0})
    return root


def write_copy(folder):
    """See ``contract/test_datasets.py``."""
    write_folder(folder)
    return {"labels": "required", "images": "required"}
