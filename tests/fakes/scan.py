"""A random scan in memory with three cameras, each with an image of one colour on disk."""

import numpy as np
from PIL import Image

from lidistill.geometry import rigid
from lidistill.records import CameraView, Frame

NUM_POINTS = 3000
COLORS = {"front": (200, 30, 30), "left": (30, 200, 30), "back": (30, 30, 200)}


def turn(angle):
    """(4, 4) rotation about z."""
    cos, sin = np.cos(angle), np.sin(angle)
    return rigid(np.array([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]]), [0.0, 0.0, 0.0])


def camera(folder, name, angle):
    """Camera in the lidar's place, 90 degrees wide, looking at an angle from x."""
    path = folder / f"{name}.png"
    image = np.full((60, 120, 3), COLORS[name], dtype=np.uint8)
    Image.fromarray(image).save(path)
    axes = np.array([[0.0, -1, 0], [0, 0, -1], [1, 0, 0]])
    return CameraView(
        name=name,
        image_path=path,
        size_hw=(60, 120),
        K=np.array([[60.0, 0, 60.0], [0, 60.0, 30.0], [0, 0, 1]]),
        T_cam_lidar=rigid(axes, [0.0, 0.0, 0.0]) @ turn(-angle),
    )


def scan_frame(folder, **changed):
    """Frame of 40 m x 40 m x 8 m filled at random; fields may be given instead."""
    rng = np.random.default_rng(0)
    fields = {
        "frame_id": "drive/07",
        "sensor": "pandar64",
        "points": rng.uniform([-20, -20, -4], [20, 20, 4], (NUM_POINTS, 3)).astype(np.float32),
        "intensity": rng.uniform(0, 255, NUM_POINTS).astype(np.float32),
        "labels": rng.integers(0, 17, NUM_POINTS).astype(np.uint8),
    }
    if "views" not in changed:
        angles = {"front": 0.0, "left": np.pi / 2, "back": np.pi}
        fields["views"] = tuple(camera(folder, name, angle) for name, angle in angles.items())
    return Frame(**(fields | changed))
