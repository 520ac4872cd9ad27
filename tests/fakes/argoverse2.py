"""A miniature of the Argoverse 2 sensor data set in its own on-disk format."""

import numpy as np
from PIL import Image

from lidistill.datasets.argoverse2.dataset import CAMERAS
from lidistill.errors import require

SIZE_HW = (48, 64)
FOCAL = 40.0
START = 315968112437425433  # nanoseconds
SWEEP = 100_000_000
UP = (0.999996, 0.0, 0.0, -0.002848, 1.35018, 0.0, 1.64042)  # qw qx qy qz, metres; a real log's
DOWN = (-0.000089, -0.994497, 0.104767, 0.000243, 1.355162, 0.000133, 1.565252)
FORWARD = (0.5, -0.5, 0.5, -0.5, 1.6, 0.0, 1.4)  # a camera that looks along the vehicle's x
POSE = ("qw", "qx", "qy", "qz", "tx_m", "ty_m", "tz_m")
SPEED = 10.0  # metres a second, along the city's x


def default_scan(number=0, num_points=120):
    """x, y, z in the vehicle's frame, intensity, laser: a road of points on every side."""
    rng = np.random.default_rng(number)
    angle = rng.uniform(-np.pi, np.pi, num_points)
    distance = rng.uniform(4, 30, num_points)
    height = rng.uniform(-0.3, 3, num_points)
    return {
        "x": (distance * np.cos(angle)).astype(np.float16),
        "y": (distance * np.sin(angle)).astype(np.float16),
        "z": height.astype(np.float16),
        "intensity": rng.integers(0, 200, num_points).astype(np.uint8),
        "laser_number": (np.arange(num_points) % 64).astype(np.uint8),
        "offset_ns": (np.arange(num_points) * 1000).astype(np.int32),
    }


def write_table(path, columns, compression="lz4"):
    arrow = require("pyarrow", extra="argoverse2")
    feather = require("pyarrow.feather", extra="argoverse2")
    path.parent.mkdir(parents=True, exist_ok=True)
    feather.write_feather(arrow.table(columns), str(path), compression=compression)


def write_poses(path, names, rows, key="sensor_name"):
    columns = dict(zip(POSE, np.array(rows).T, strict=True))
    write_table(path, {key: names, **columns})


def write_log(root, name="0a1b-log", split="train", *, num_sweeps=2, scan=None, image=None, late=0):
    """Writes a log; ``late`` nanoseconds lie between each sweep and its images."""
    folder = root / split / name
    times = [START + number * SWEEP for number in range(num_sweeps)]
    grey = np.full((*SIZE_HW, 3), 128, np.uint8) if image is None else image
    for number, time in enumerate(times):
        lidar = folder / "sensors" / "lidar" / f"{time}.feather"
        write_table(lidar, default_scan(number) if scan is None else scan)
        for camera in CAMERAS:
            cameras = folder / "sensors" / "cameras" / camera
            cameras.mkdir(parents=True, exist_ok=True)
            Image.fromarray(grey).save(cameras / f"{time + late}.jpg", quality=100, subsampling=0)
    calibration = folder / "calibration"
    write_poses(
        calibration / "egovehicle_SE3_sensor.feather",
        [*CAMERAS, "up_lidar", "down_lidar"],
        [*[FORWARD] * len(CAMERAS), UP, DOWN],
    )
    height, width = SIZE_HW
    lens = {"fx_px": FOCAL, "fy_px": FOCAL, "cx_px": width / 2, "cy_px": height / 2}
    lens |= {"k1": -0.25, "k2": -0.2, "k3": 0.3}  # of the lens; images come without distortion
    sizes = {"height_px": height, "width_px": width}
    columns = {key: [value] * len(CAMERAS) for key, value in (lens | sizes).items()}
    write_table(calibration / "intrinsics.feather", {"sensor_name": list(CAMERAS), **columns})
    moments = [START - SWEEP + step * SWEEP // 4 for step in range(4 * (num_sweeps + 2))]
    rows = [(1.0, 0.0, 0.0, 0.0, SPEED * (t - START) * 1e-9, 0.0, 0.0) for t in moments]
    write_poses(folder / "city_SE3_egovehicle.feather", moments, rows, key="timestamp_ns")
    return folder


def write_copy(folder):
    """See ``contract/test_datasets.py``."""
    write_log(folder)
    (folder / "statistics.yaml").write_text("intensity_mean: 20.0\nintensity_std: 9.0\n")
    return {}
