"""A sheet with one real scan under every corruption, from above and in the camera."""

from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from lidistill.datasets import FrameDataset
from lidistill.figures.colors import label_colors, scale_colors
from lidistill.figures.from_above import from_above
from lidistill.figures.overlay import draw_points
from lidistill.figures.sheet import Panel, sheet, write_png
from lidistill.images.files import read_image
from lidistill.labels import LabelMap
from lidistill.projection import project
from lidistill.records import Frame
from lidistill.robustness.corruptions import NEED_LABELS, CorruptionConfig
from lidistill.robustness.scan import KINDS, Severity
from lidistill.scan_formats.returns import present

_ADDED: Final = (255, 60, 60)
_WIDTH: Final = 480  # pixels of a panel
_CAMERA_HEIGHT: Final = 270
_PER_ROW: Final = 3
_TITLES: Final = {kind: kind.replace("_", " ") for kind in KINDS}


def draw_examples(dataset: FrameDataset, path: Path, *, severity: Severity = "heavy") -> None:
    """Write a sheet of the middle frame of a data set.

    Points have the colours of their classes, or of their height where there are no labels; what
    fog, snow or another lidar put there is red.

    Args:
        dataset: Frames.
        path: PNG file.
        severity: Of all corruptions.
    """
    frame = dataset[len(dataset) // 2]
    kinds = [kind for kind in KINDS if frame.labels is not None or kind not in NEED_LABELS]
    panels = [_panels(frame, dataset.label_map, "clean")]
    for kind in kinds:
        config = CorruptionConfig(kind=kind, severity=severity)
        changed = config.apply(frame, dataset.label_map)
        panels.append(_panels(changed, dataset.label_map, f"{_TITLES[kind]}, {severity}"))
    rows: list[list[Panel]] = []
    for start in range(0, len(panels), _PER_ROW):
        group = panels[start : start + _PER_ROW]
        rows += [list(row) for row in zip(*group, strict=True)]
    write_png(sheet(rows, title=f"{frame.frame_id} ({frame.sensor})"), path)


def _panels(frame: Frame, label_map: LabelMap, title: str) -> list[Panel]:
    """From above, and in the first camera where there is one."""
    frame = present(frame)
    colors = _colors(frame, label_map)
    count = f"{title}: {len(frame.points)} points"
    panels = [Panel(image=from_above(frame.points, colors, side=_WIDTH), title=count)]
    if frame.views:
        panels.append(
            Panel(image=_in_camera(frame, colors), title=f"{title}, {frame.views[0].name}")
        )
    return panels


def _colors(frame: Frame, label_map: LabelMap) -> NDArray[np.uint8]:
    if frame.labels is None:
        colors = scale_colors(frame.points[:, 2], -2.5, 4.0)
    else:
        colors = label_colors(label_map.class_names)[frame.labels]
    if frame.added is not None:
        colors[frame.added] = _ADDED
    return colors


def _in_camera(frame: Frame, colors: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """(H, W, 3) the camera's image, darkened, with the points on it."""
    view = frame.views[0]
    image = np.asarray(read_image(view.image_path, view.size_hw))
    step = max(1, round(image.shape[1] / _WIDTH))
    small = (image[::step, ::step] * 0.45).astype(np.uint8)[:_CAMERA_HEIGHT, :_WIDTH]
    seen = project(
        frame.points,
        K=view.K,
        T_cam_lidar=view.T_cam_lidar,
        size_hw=view.size_hw,
        distortion=view.distortion,
        near_depth=max(view.near_depth, 0.5),
        near_x=view.near_x,
        border_px=view.border_px,
    )
    return draw_points(small, seen.uv / step, colors[seen.index], radius=1.0, depth=seen.depth)
