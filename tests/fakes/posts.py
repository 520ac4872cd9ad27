"""Sound frames of a lidar and two cameras that drive past posts, cast ray by ray."""

import shutil

import numpy as np
import yaml
from PIL import Image

from lidistill.records import CameraView, Frame

HEIGHT = 1.7
SIZE_HW = (180, 320)
K = np.array([[200.0, 0, 160], [0, 200.0, 80], [0, 0, 1]])
FRONT = np.array([[0.0, -1, 0], [0, 0, -1], [1, 0, 0]])
LEFT = np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])
WALL = 45.0
NUM_POSTS = 60


def posts(seed=3):
    """(P, 4) place, radius and grey of every post."""
    rng = np.random.default_rng(seed)
    angle, distance = rng.uniform(0, 2 * np.pi, NUM_POSTS), rng.uniform(6, 35, NUM_POSTS)
    radius, grey = rng.uniform(0.2, 0.7, NUM_POSTS), rng.uniform(20, 110, NUM_POSTS)
    return np.stack([distance * np.cos(angle), distance * np.sin(angle), radius, grey], axis=1)


def cast(origin, direction, world):
    """Range and grey of what each ray meets: a post, the road, or the round wall far away."""
    flat = np.linalg.norm(direction[:, :2], axis=1)
    ranges, grey = WALL / flat, np.full(len(direction), 200.0)
    down = direction[:, 2] < 0
    road = np.where(down, HEIGHT / np.where(down, -direction[:, 2], 1), np.inf)
    grey = np.where(road < ranges, 150.0, grey)
    ranges = np.minimum(ranges, road)
    for x, y, radius, shade in world:
        to_post = np.array([x, y]) - origin[:2]
        along = direction[:, :2] @ to_post / flat
        aside2 = to_post @ to_post - along**2
        half = np.sqrt(np.maximum(radius**2 - aside2, 0))
        hit = (along - half) / flat
        nearer = (aside2 < radius**2) & (along > 0) & (hit < ranges)
        ranges, grey = np.where(nearer, hit, ranges), np.where(nearer, shade, grey)
    return ranges, grey


def write_image(path, origin, rotation, world):
    v, u = np.mgrid[: SIZE_HW[0], : SIZE_HW[1]]
    pixel = np.stack([u + 0.5, v + 0.5, np.ones_like(u)], axis=-1).reshape(-1, 3)
    _, grey = cast(origin, pixel @ np.linalg.inv(K).T @ rotation, world)
    image = np.repeat(grey.reshape(*SIZE_HW, 1), 3, axis=2).astype(np.uint8)
    Image.fromarray(image).save(path, compress_level=1)


def sound_frames(folder, num_frames=4, step=1.0):
    """Frames along x, ``step`` metres apart, whose images and points belong together."""
    world, frames = posts(), []
    elevation, azimuth = np.meshgrid(
        np.deg2rad(np.linspace(-22, 4, 36)), np.deg2rad(np.arange(0, 360, 0.4)), indexing="ij"
    )
    e, a = elevation.ravel(), azimuth.ravel()
    direction = np.stack([np.cos(e) * np.cos(a), np.cos(e) * np.sin(a), np.sin(e)], axis=1)
    rng = np.random.default_rng(0)
    for number in range(num_frames):
        pose = np.eye(4)
        pose[0, 3] = number * step
        ranges, grey = cast(pose[:3, 3], direction, world)
        points = direction * (ranges + rng.normal(0, 0.01, len(ranges)))[:, None]
        views = []
        for name, rotation in (("front", FRONT), ("left", LEFT)):
            path = folder / f"{name}_{number}.png"
            write_image(path, pose[:3, 3], rotation, world)
            T = np.eye(4)
            T[:3, :3] = rotation
            view = CameraView(name=name, image_path=path, size_hw=SIZE_HW, K=K, T_cam_lidar=T)
            views.append(view)
        frame = Frame(
            frame_id=f"posts/{number}",
            sensor="pandar64",
            points=points.astype(np.float32),
            intensity=(grey / 8 + rng.uniform(0, 2, len(grey))).astype(np.float32),
            views=tuple(views),
            T_world_lidar=pose,
        )
        frames.append(frame)
    return frames


def write_drive(folder, frames, change=lambda camera: camera, intensity=1.0):
    """Frames as a drive of one's own recordings; ``change`` turns a camera's calibration."""
    (folder / "scans").mkdir(parents=True)
    cameras = {}
    for number, frame in enumerate(frames):
        scan = np.column_stack([frame.points, frame.intensity * intensity])
        np.save(folder / "scans" / f"{number:06d}.npy", scan.astype(np.float32))
        for view in frame.views:
            path = folder / "cameras" / view.name / f"{number:06d}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(view.image_path, path)
            camera = {"size_hw": list(SIZE_HW), "K": K.tolist(), "T_cam_lidar": view.T_cam_lidar}
            changed = change(camera)
            cameras[view.name] = changed | {"T_cam_lidar": changed["T_cam_lidar"].tolist()}
    (folder / "calibration.yaml").write_text(yaml.safe_dump({"cameras": cameras}))
