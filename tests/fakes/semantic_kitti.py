"""A miniature SemanticKITTI in its own on-disk format."""

import numpy as np
from PIL import Image

SIZE_HW = (48, 80)
P2 = [[60.0, 0.0, 40.0, 6.0], [0.0, 60.0, 24.0, -0.3], [0.0, 0.0, 1.0, 0.004]]
TR = [[0.0, -1.0, 0.0, -0.01], [0.0, 0.0, -1.0, -0.05], [1.0, 0.0, 0.0, -0.3]]


def numbers(matrix):
    return " ".join(f"{value:.12e}" for value in np.ravel(matrix))


def calibration_text(p2=P2, tr=TR):
    return "".join(f"P{camera}: {numbers(p2)}\n" for camera in range(4)) + f"Tr: {numbers(tr)}\n"


def default_scan(seed, num_points=50):
    rng = np.random.default_rng(seed)
    scan = rng.uniform(-30, 30, (num_points, 4)).astype(np.float32)
    scan[:, 3] = rng.uniform(0, 1, num_points)
    return scan


def write_frame(folder, number, *, scan=None, labels=None, image=None):
    """Writes scan, labels and image; ``image=False`` leaves it out."""
    points = default_scan(number) if scan is None else scan
    ids = np.full(len(points), (7 << 16) + 252) if labels is None else np.asarray(labels)
    for name in ("velodyne", "labels"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    (folder / "velodyne" / f"{number:06d}.bin").write_bytes(points.astype("<f4").tobytes())
    (folder / "labels" / f"{number:06d}.label").write_bytes(ids.astype("<u4").tobytes())
    if image is not False:
        (folder / "image_2").mkdir(exist_ok=True)
        grey = np.full((*SIZE_HW, 3), 128, dtype=np.uint8)
        drawn = Image.fromarray(grey if image is None else image)
        drawn.save(folder / "image_2" / f"{number:06d}.png")


def write_sequence(root, sequence, num_frames=2, *, calibration=None, poses=None, **parts):
    folder = root / "sequences" / f"{sequence:02d}"
    for number in range(num_frames):
        write_frame(folder, number, **parts)
    text = calibration_text() if calibration is None else calibration
    (folder / "calib.txt").write_text(text, encoding="utf-8")
    if poses is not None:
        lines = "".join(f"{numbers(pose)}\n" for pose in poses)
        (folder / "poses.txt").write_text(lines, encoding="utf-8")
    return folder


def write_copy(folder):
    """See ``contract/test_datasets.py``."""
    write_sequence(folder, 8)
    return {"split": "val", "missing": "skip"}
