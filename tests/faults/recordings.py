"""Faults that recordings have, put into sound frames; each names the findings that may tell it."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
from PIL import Image


def points_of(change):
    return lambda frames, _folder: [
        replace(frame, points=change(frame.points).astype(np.float32)) for frame in frames
    ]


def intensity_of(change):
    return lambda frames, _folder: [
        replace(frame, intensity=change(frame.intensity).astype(np.float32)) for frame in frames
    ]


def views_of(change):
    return lambda frames, _folder: [
        replace(frame, views=tuple(change(view) for view in frame.views)) for frame in frames
    ]


def images_of(change):
    def inject(frames, folder):
        return [
            replace(frame, views=tuple(saved(view, frame, folder) for view in frame.views))
            for frame in frames
        ]

    def saved(view, frame, folder):
        path = folder / f"{frame.frame_id.replace('/', '_')}_{view.name}.png"
        with Image.open(view.image_path) as image:
            change(image.convert("RGB")).save(path, compress_level=1)
        return replace(view, image_path=path)

    return inject


def chosen_points(choose):
    """Frames of which the points at ``choose(number of points)`` are kept, in that order."""

    def changed(frame, index):
        labels = None if frame.labels is None else frame.labels[index]
        points, intensity = frame.points[index], frame.intensity[index]
        return replace(frame, points=points, intensity=intensity, labels=labels)

    return lambda frames, _folder: [changed(frame, choose(len(frame.points))) for frame in frames]


def turned(matrix):
    return points_of(lambda points: points @ np.array(matrix, dtype=np.float64).T)


def many_at_origin(points):
    keep = np.random.default_rng(0).random(len(points)) > 0.3
    return points * keep[:, None]


def camera_turned(rotation):
    T = np.eye(4)
    T[:3, :3] = rotation
    return lambda view: replace(view, T_cam_lidar=T @ view.T_cam_lidar)


def yawed(degrees):
    c, s = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
    return camera_turned([[c, 0, s], [0, 1, 0], [-s, 0, c]])


def inverted(view):
    return replace(view, T_cam_lidar=np.linalg.inv(view.T_cam_lidar))


def doubled_matrix(view):
    return replace(view, K=np.diag([2.0, 2, 1]) @ view.K)


def halved_size(view):
    height, width = view.size_hw
    return replace(view, size_hw=(height // 2, width // 2))


def late(frames, _folder):
    """Every frame with the images of the next one, and the calibration of its own."""
    return [
        replace(
            frame,
            views=tuple(
                replace(own, image_path=other.image_path)
                for own, other in zip(frame.views, after.views, strict=True)
            ),
        )
        for frame, after in pairwise(frames)
    ]


CAMERA = {"inverted_extrinsics", "rotated_extrinsics", "few_points_in_view", "camera_axes"}
FAULTS = {
    "millimetres": (points_of(lambda p: p * 1000), {"range_unit"}),
    "centimetres": (points_of(lambda p: p * 100), {"range_unit"}),
    "kilometres": (points_of(lambda p: p / 1000), {"range_unit"}),
    "feet": (points_of(lambda p: p / 0.3048), {"mounting_height"}),
    "y up (y and z swapped)": (turned([[1, 0, 0], [0, 0, 1], [0, 1, 0]]), {"up_axis"}),
    "x up (x and z swapped)": (turned([[0, 0, 1], [0, 1, 0], [1, 0, 0]]), {"up_axis"}),
    "z down": (turned(np.diag([1, -1, -1])), {"up_axis"}),
    "x and y swapped": (turned([[0, 1, 0], [1, 0, 0], [0, 0, 1]]), {"mirrored"}),
    "y negated": (turned(np.diag([1, -1, 1])), {"mirrored"}),
    "origin on the road": (points_of(lambda p: p - (0, 0, -1.8)), {"mounting_height"}),
    "origin 5 m too high": (points_of(lambda p: p - (0, 0, 5)), {"mounting_height"}),
    "empty returns, 30 %": (points_of(many_at_origin), {"empty_returns"}),
    "points twice": (
        chosen_points(lambda n: np.r_[np.arange(n), np.arange(n // 4)]),
        {"duplicated_points"},
    ),
    "one packet of points": (chosen_points(lambda _: np.arange(384)), {"too_few_points"}),
    "intensity zero": (intensity_of(lambda i: 0 * i), {"intensity_constant"}),
    "intensity / 255": (intensity_of(lambda i: i / 255), {"intensity_scale"}),
    "intensity * 255": (intensity_of(lambda i: i * 255), {"intensity_scale"}),
    "intensity in 16 bit": (intensity_of(lambda i: i / i.max() * 65535), {"intensity_scale"}),
    "intensity cut off": (
        intensity_of(lambda i: np.minimum(i, np.percentile(i, 80))),
        {"intensity_clipped"},
    ),
    "inverse matrices": (views_of(inverted), CAMERA),
    "camera x ahead, z up": (views_of(camera_turned([[0, 0, 1], [-1, 0, 0], [0, -1, 0]])), CAMERA),
    "camera up at the sky": (views_of(camera_turned([[1, 0, 0], [0, 0, 1], [0, -1, 0]])), CAMERA),
    "K of twice the size": (views_of(doubled_matrix), {"principal_point"}),
    "size of half the image": (views_of(halved_size), {"image_size"}),
    "images upside down": (
        images_of(lambda p: p.transpose(Image.Transpose.ROTATE_180)),
        {"upside_down"},
    ),
    "images mirrored": (
        images_of(lambda p: p.transpose(Image.Transpose.FLIP_LEFT_RIGHT)),
        {"mirrored"},
    ),
    "camera yawed by 2 degrees": (views_of(yawed(2)), {"sideways_offset"}),
    "images of the next scan": (late, {"time_offset", "image_order", "sideways_offset"}),
}
"""What happens to the frames, and which findings are right; others beside them are not counted."""


def exchanged(frames, _folder):
    """Every frame with its two cameras' images exchanged."""

    def swap(views):
        one, other = views
        return (
            replace(one, image_path=other.image_path),
            replace(other, image_path=one.image_path),
        )

    return [replace(frame, views=swap(frame.views)) for frame in frames]


def in_reverse(frames, _folder):
    """The last image with the first scan, and so on."""
    return [
        replace(
            frame,
            views=tuple(
                replace(own, image_path=other.image_path)
                for own, other in zip(frame.views, last.views, strict=True)
            ),
        )
        for frame, last in zip(frames, frames[::-1], strict=True)
    ]


def in_world(frames, _folder):
    """Points brought into a world whose origin is far away, poses with them."""
    far = np.eye(4)
    far[:3, 3] = 90, -60, 2
    moved = [(frame, far @ frame.T_world_lidar) for frame in frames]
    return [
        replace(
            frame,
            points=(frame.points @ T[:3, :3].T + T[:3, 3]).astype(np.float32),
            T_world_lidar=T,
        )
        for frame, T in moved
    ]


def without_poses(inject):
    return lambda frames, folder: [
        replace(frame, T_world_lidar=None) for frame in inject(frames, folder)
    ]


def zoomed(factor):
    return lambda view: replace(view, K=np.diag([factor, factor, 1.0]) @ _centred(view, factor))


def _centred(view, factor):
    K = view.K.copy()
    K[:2, 2] /= factor
    return K


def bent(view):
    return replace(view, distortion=np.array([-0.4, 0.0, 0.0, 0.0, 0.0]))


FAULTS |= {
    "cameras exchanged": (exchanged, {"exchanged_cameras"}),
    "images in reverse order": (in_reverse, {"image_order"}),
    "world frame": (in_world, {"world_frame"}),
    "world frame, no poses": (without_poses(in_world), {"world_frame"}),
    "focal length x 1.2": (views_of(zoomed(1.2)), {"focal_length"}),
    "focal length x 0.8": (views_of(zoomed(0.8)), {"focal_length"}),
    "distortion put in": (views_of(bent), {"distortion"}),
    "camera y up, z backwards": (views_of(camera_turned(np.diag([1, -1, -1]))), CAMERA),
}
