"""A miniature nuScenes in its own on-disk format."""

import hashlib
import json

import numpy as np
from PIL import Image

CAMERAS = (
    "CAM_FRONT",
    "CAM_FRONT_RIGHT",
    "CAM_BACK_RIGHT",
    "CAM_BACK",
    "CAM_BACK_LEFT",
    "CAM_FRONT_LEFT",
)
LOOK_FORWARD = [0.5, -0.5, 0.5, -0.5]  # camera axes on a vehicle whose x points forward
LIDAR_TURN = [0.5**0.5, 0.0, 0.0, -(0.5**0.5)]  # the lidar's y points forward


def token(*parts):
    return hashlib.md5("/".join(map(str, parts)).encode(), usedforsecurity=False).hexdigest()


def pose(translation=(0.0, 0.0, 0.0), rotation=(1.0, 0.0, 0.0, 0.0)):
    return {"translation": list(translation), "rotation": list(rotation)}


def default_rig(size_hw):
    """Calibrated sensors by channel; every camera looks forward and is told apart by its height."""
    height, width = size_hw
    K = [[60.0, 0.0, width / 2], [0.0, 60.0, height / 2], [0.0, 0.0, 1.0]]
    cameras = {
        name: pose((1.5, 0.0, 1.5 + 0.01 * number), LOOK_FORWARD) | {"camera_intrinsic": K}
        for number, name in enumerate(CAMERAS)
    }
    return {"LIDAR_TOP": pose((1.0, 0.0, 1.8), LIDAR_TURN) | {"camera_intrinsic": []}} | cameras


def default_scan(seed, num_points=50):
    rng = np.random.default_rng(seed)
    scan = rng.uniform(-30, 30, (num_points, 5)).astype(np.float32)
    scan[:, 3] = rng.integers(0, 256, num_points)
    scan[:, 4] = rng.integers(0, 32, num_points)
    return scan


class FakeNuScenes:
    """Writes scenes of a few key frames; every part of them can be given.

    ``ego`` holds the pose of the vehicle at the capture of each channel.
    """

    def __init__(self, root, version="v1.0-mini", size_hw=(48, 80)):
        self.root, self.version, self.size_hw = root, version, size_hw
        self.tables = {name: [] for name in ("scene", "sample", "sensor", "calibrated_sensor")}
        self.tables |= {"sample_data": [], "ego_pose": []}

    def add_scene(self, name, num_frames=2, **parts):
        self.tables["scene"].append({"token": token(name), "name": name, "nbr_samples": num_frames})
        for number in range(num_frames):
            self.add_frame(name, number, **parts)
        return self

    def add_frame(self, scene, number, *, scan=None, rig=None, ego=None, image=None, labels=None):
        sample = token(scene, number)
        self.tables["sample"].append(
            {"token": sample, "timestamp": 1000 * number, "scene_token": token(scene)}
        )
        for channel, calibrated in (rig or default_rig(self.size_hw)).items():
            self.tables["sensor"].append({"token": token(channel), "channel": channel})
            key = token(scene, number, channel)
            self.tables["calibrated_sensor"].append(
                {"token": key, "sensor_token": token(channel)} | calibrated
            )
            self.tables["ego_pose"].append({"token": key} | (ego or {}).get(channel, pose()))
            suffix = "pcd.bin" if channel == "LIDAR_TOP" else "jpg"
            if image is not None and channel != "LIDAR_TOP":
                suffix = "png"
            name = f"samples/{channel}/{scene}__{channel}__{number}.{suffix}"
            self._sample_data(key, sample, name)
            self._sweep(key, sample, name)
            path = self.root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if channel == "LIDAR_TOP":
                points = default_scan(number) if scan is None else scan
                path.write_bytes(points.astype("<f4").tobytes())
                self._labels(key, np.full(len(points), 17) if labels is None else labels)
            else:
                grey = np.full((*self.size_hw, 3), 128, dtype=np.uint8)
                Image.fromarray(grey if image is None else image).save(path)

    def _sample_data(self, key, sample, name, *, is_key_frame=True):
        height, width = self.size_hw if "CAM" in name else (0, 0)
        self.tables["sample_data"].append(
            {
                "token": key if is_key_frame else token(key, "sweep"),
                "sample_token": sample,
                "ego_pose_token": key,
                "calibrated_sensor_token": key,
                "is_key_frame": is_key_frame,
                "height": height,
                "width": width,
                "filename": name,
            }
        )

    def _sweep(self, key, sample, name):
        self._sample_data(key, sample, name.replace("samples", "sweeps"), is_key_frame=False)

    def _labels(self, key, labels):
        path = self.label_file(key)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(np.asarray(labels).astype("u1").tobytes())

    def label_file(self, key):
        return self.root / "lidarseg" / self.version / f"{key}_lidarseg.bin"

    def write_panoptic(self, key, labels):
        """Class times 1000 plus object, of every point of a scan."""
        path = self.root / "panoptic" / self.version / f"{key}_panoptic.npz"
        path.parent.mkdir(parents=True, exist_ok=True)
        np.savez_compressed(path, data=np.asarray(labels, np.uint16))
        return path

    def write_tables(self):
        folder = self.root / self.version
        folder.mkdir(parents=True, exist_ok=True)
        for name, rows in self.tables.items():
            unique = list({row["token"]: row for row in rows}.values())
            (folder / f"{name}.json").write_text(json.dumps(unique, indent=0), encoding="utf-8")
        return self.root


def write_copy(folder):
    """See ``contract/test_datasets.py``."""
    fake = FakeNuScenes(folder)
    fake.add_scene("scene-0061")
    fake.write_tables()
    return {"version": "v1.0-mini", "split": "all", "labels": "optional"}
