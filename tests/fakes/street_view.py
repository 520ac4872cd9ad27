"""Frames of a data set as the scans of a page, for the browser tests."""

from collections.abc import Iterable

import numpy as np
from fakes.view_page import Scan
from numpy.typing import NDArray
from PIL import Image

from lidistill.projection import project
from lidistill.records import CameraView, Frame

NEAREST = 6
"""Pixels across a patch in which only what is about as near as the nearest point is visible."""


def scans_of(frames: Iterable[Frame], *, width: int = 320, full_scale: float = 255.0) -> list[Scan]:
    """Every frame with its images made ``width`` pixels wide."""
    return [_scan(frame, width, full_scale) for frame in frames]


def _scan(frame: Frame, width: int, full_scale: float) -> Scan:
    views = [_project(frame.points, view, width) for view in frame.views]
    labels = frame.labels
    assert labels is not None
    assert frame.intensity is not None
    return Scan(
        xyz=frame.points,
        columns={"intensity": frame.intensity / full_scale},
        labels=labels,
        images=[_image(view, width) for view in frame.views],
        uv=[uv for uv, _ in views],
        visible=[visible for _, visible in views],
        name=frame.frame_id,
    )


def _image(view: CameraView, width: int) -> NDArray[np.uint8]:
    height, wide = view.size_hw
    with Image.open(view.image_path) as image:
        return np.asarray(image.convert("RGB").resize((width, round(width * height / wide))))


def _project(
    points: NDArray[np.float32], view: CameraView, width: int
) -> tuple[NDArray[np.float64], NDArray[np.uint8]]:
    found = project(points, K=view.K, T_cam_lidar=view.T_cam_lidar, size_hw=view.size_hw)
    uv = np.full((len(points), 2), np.nan)
    uv[found.index] = found.uv * width / view.size_hw[1]
    patch = np.floor(uv[found.index] / NEAREST).astype(int)
    key = patch[:, 1] * width + patch[:, 0]
    nearest = np.full(key.max(initial=0) + 1, np.inf)
    np.minimum.at(nearest, key, found.depth)
    visible = np.zeros(len(points), dtype=np.uint8)
    visible[found.index] = found.depth < 1.1 * nearest[key] + 0.5
    return uv, visible
