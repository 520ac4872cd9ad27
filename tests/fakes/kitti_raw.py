"""A miniature of KITTI's raw recordings in their own on-disk format."""

import numpy as np
from fakes.semantic_kitti import SIZE_HW, default_scan, numbers
from PIL import Image

P2 = [[60.0, 0.0, 40.0, 6.0], [0.0, 60.0, 24.0, -0.3], [0.0, 0.0, 1.0, 0.004]]
P3 = [[60.0, 0.0, 40.0, -26.0], [0.0, 60.0, 24.0, 0.3], [0.0, 0.0, 1.0, 0.002]]
ANGLE = 0.02
R_RECT = [
    [np.cos(ANGLE), 0.0, np.sin(ANGLE)],
    [0.0, 1.0, 0.0],
    [-np.sin(ANGLE), 0.0, np.cos(ANGLE)],
]
R = [[0.0, -1.0, 0.0], [0.0, 0.0, -1.0], [1.0, 0.0, 0.0]]
T = [-0.01, -0.05, -0.3]


def cameras_text(p2=P2, p3=P3, r_rect=R_RECT):
    lines = ["calib_time: 09-Jan-2012 13:57:47", "corner_dist: 9.950000e-02"]
    lines += [f"P_rect_02: {numbers(p2)}", f"P_rect_03: {numbers(p3)}"]
    return "\n".join([*lines, f"R_rect_00: {numbers(r_rect)}"]) + "\n"


def lidar_text(rotation=R, shift=T):
    return f"calib_time: 15-Mar-2012 11:37:16\nR: {numbers(rotation)}\nT: {numbers(shift)}\n"


def write_drive(root, drive="0001", num_frames=2, *, scan=None, image=None, cameras=("02",)):
    """Writes scans, images of the cameras, and the day's calibration."""
    day = root / "2011_09_26"
    folder = day / f"2011_09_26_drive_{drive}_sync"
    scans = folder / "velodyne_points" / "data"
    scans.mkdir(parents=True)
    grey = np.full((*SIZE_HW, 3), 128, dtype=np.uint8)
    for number in range(num_frames):
        points = default_scan(number) if scan is None else scan
        (scans / f"{number:010d}.bin").write_bytes(points.astype("<f4").tobytes())
        for camera in cameras:
            data = folder / f"image_{camera}" / "data"
            data.mkdir(parents=True, exist_ok=True)
            drawn = Image.fromarray(grey if image is None else image)
            drawn.save(data / f"{number:010d}.png")
    (day / "calib_cam_to_cam.txt").write_text(cameras_text(), encoding="utf-8")
    (day / "calib_velo_to_cam.txt").write_text(lidar_text(), encoding="utf-8")
    return folder


def write_copy(folder):
    """See ``contract/test_datasets.py``."""
    write_drive(folder)
    return {}
