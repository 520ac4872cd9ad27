"""A frame's points drawn on one of its images, to see whether the two fit together.

Shape letters: P points inside the image.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from lidistill.figures.colors import depth_colors, label_colors
from lidistill.figures.overlay import beside, draw_points, legend
from lidistill.geometry import transform_points
from lidistill.images.files import read_image
from lidistill.labels import IGNORE, LabelMap
from lidistill.records import CameraView, Frame
from lidistill.samples.pairing import pair_view

_DEPTHS: Final = (2, 5, 10, 20, 40, 80)  # metres, in the legend


def draw_overlays(
    frame: Frame, view: CameraView, label_map: LabelMap
) -> dict[str, NDArray[np.uint8]]:
    """The image with its points, a legend beside it.

    Args:
        frame: The scan.
        view: One of its images.
        label_map: Names of the classes.

    Returns:
        (H, W + legend, 3) images: ``"depth"`` and, where the frame has labels, ``"label"``.
    """
    seen = pair_view(frame.points, view, view.size_hw)
    depth = transform_points(view.T_cam_lidar, frame.points[seen.index])[:, 2]
    image = read_image(view.image_path)

    def draw(
        colors: NDArray[np.uint8], entries: list[tuple[str, NDArray[np.uint8]]]
    ) -> NDArray[np.uint8]:
        drawn = draw_points(image, seen.uv, colors, radius=image.shape[1] / 640, depth=depth)
        title = f"{frame.frame_id} {view.name}"
        return beside(drawn, legend(entries, height=image.shape[0], title=title))

    scale = depth_colors(np.array(_DEPTHS, dtype=np.float64))
    steps = [(f"{metres} m", color) for metres, color in zip(_DEPTHS, scale, strict=True)]
    overlays = {"depth": draw(depth_colors(depth), steps)}
    if frame.labels is not None:
        palette = label_colors(label_map.class_names)
        labels = frame.labels[seen.index]
        names = {**dict(enumerate(label_map.class_names)), IGNORE: "ignore"}
        counts = np.bincount(labels, minlength=256)
        present = [(f"{name} ({counts[i]})", palette[i]) for i, name in names.items() if counts[i]]
        overlays["label"] = draw(palette[labels], present)
    return overlays
