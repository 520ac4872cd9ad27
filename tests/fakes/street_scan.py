"""A scan of a street of nothing but a flat road, a wall, a meadow and two cars."""

import numpy as np

from lidistill.labels import load_label_map
from lidistill.records import Frame
from lidistill.robustness.corruptions import CorruptionConfig, corrupted

NUM_RINGS = 32
_HEIGHT = 1.8
_CLASSES = {"road": "driveable_surface", "meadow": "terrain", "wall": "manmade", "car": "car"}


def street_frame(
    *, frame_id="street/0", columns=300, lost=40, seed=0, label_map=None, classes=None
) -> Frame:
    """One frame of a lidar like that of nuScenes: 32 rings, stored azimuth by azimuth.

    Args:
        frame_id: Its name.
        columns: Azimuths.
        lost: Beams that did not come back.
        seed: Of intensities and of what is lost.
        label_map: Of the labels; nuScenes' by default.
        classes: Class names of road, meadow, wall and car.
    """
    rng = np.random.default_rng(seed)
    label_map = label_map or load_label_map("nuscenes")
    names = classes or _CLASSES
    ids = {what: label_map.class_names.index(name) for what, name in names.items()}
    azimuth = np.repeat(np.linspace(-np.pi, np.pi, columns, endpoint=False), NUM_RINGS)
    ring = np.tile(np.arange(NUM_RINGS), columns).astype(np.int16)
    elevation = np.deg2rad(np.linspace(-30, 10, NUM_RINGS))[ring]
    ground = np.where(elevation < 0, _HEIGHT / np.maximum(-np.tan(elevation), 1e-3), np.inf)
    wall = 15.0 / np.maximum(np.abs(np.sin(azimuth)), 1e-2)
    flat = np.minimum(np.minimum(ground, wall), 90.0)
    car = (np.abs(np.abs(azimuth) - 0.5) < 0.1) & (elevation > -0.17)
    flat[car] = np.minimum(flat[car], 8.0)
    labels = np.where(ground <= flat, ids["road"], ids["wall"])
    labels[(ground <= flat) & (np.abs(flat * np.sin(azimuth)) > 8)] = ids["meadow"]
    labels[car & (flat == 8.0)] = ids["car"]
    x, y = flat * np.cos(azimuth), flat * np.sin(azimuth)
    points = np.stack([x, y, flat * np.tan(elevation)], axis=1).astype(np.float32)
    points[rng.choice(len(points), lost, replace=False)] = np.nan
    return Frame(
        frame_id=frame_id,
        sensor="nuscenes",
        points=points,
        intensity=rng.integers(1, 60, len(points)).astype(np.float32),
        labels=labels.astype(np.uint8),
        ring=ring,
    )


def bytes_of(frame):
    """What a frame holds."""
    arrays = (frame.points, frame.intensity, frame.labels, frame.ring)
    return [None if array is None else array.tobytes() for array in arrays]


def corrupted_bytes(kind_and_frame):
    """A corrupted frame, by the corruption and the frame's name; for a process of its own."""
    kind, frame_id = kind_and_frame
    frame = street_frame(frame_id=frame_id, seed=int(frame_id[-1]))
    return bytes_of(corrupted(frame, load_label_map("nuscenes"), CorruptionConfig(kind=kind)))
