"""Where in which image an object is seen, and the cut itself.

Shape letters: N points of an object, H x W image size.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray

from lidistill.images.files import read_image, resize
from lidistill.records import CameraView
from lidistill.samples.pairing import project_view

_MARGIN: Final = 0.2  # of the longer side, around the points
_LEAST_MARGIN: Final = 8  # pixels
_LEAST_POINTS: Final = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Crop:
    """A part of an image, by reference: nothing is copied until it is looked at."""

    image: str
    """Path of the image, from the root of the file system: the index is read from elsewhere."""
    view: str
    """Name of the camera."""
    left: int
    """Pixels of the stored image; from here up to, but not with, ``right``."""
    top: int
    right: int
    bottom: int


def best_crop(points: NDArray[np.floating], views: Sequence[CameraView]) -> Crop | None:
    """The part of an image that shows most of an object; None where no image shows it.

    Of two images that show as many points, the one that shows them larger is taken.

    Args:
        points: (N, 3) of the object, lidar frame, metres.
        views: Of the frame.
    """
    best, score = None, (0, 0)
    for view in views:
        uv = project_view(points, view).uv
        if len(uv) < _LEAST_POINTS:
            continue
        crop = _around(uv, view)
        found = (len(uv), (crop.right - crop.left) * (crop.bottom - crop.top))
        if found > score:
            best, score = crop, found
    return best


def _around(uv: NDArray[np.floating], view: CameraView) -> Crop:
    height, width = view.size_hw
    low, high = uv.min(axis=0), uv.max(axis=0)
    margin = max(_LEAST_MARGIN, _MARGIN * float((high - low).max()))
    left, top = (max(0, int(value)) for value in np.floor(low - margin))
    right, bottom = (int(value) for value in np.ceil(high + margin))
    return Crop(
        image=str(view.image_path.absolute()),
        view=view.name,
        left=left,
        top=top,
        right=min(width, right),
        bottom=min(height, bottom),
    )


def cut(crop: Crop, height: int) -> NDArray[np.uint8]:
    """(H, W, 3) part of the image, at some height.

    Args:
        crop: Which part.
        height: H, pixels; W is at most four times that.

    Raises:
        DatasetNotFoundError: If the image is not there.
        FileFormatError: If it cannot be read, or is smaller than the part.
    """
    image = read_image(Path(crop.image))
    part = image[crop.top : crop.bottom, crop.left : crop.right]
    width = max(1, min(4 * height, round(height * part.shape[1] / max(1, part.shape[0]))))
    pixels = torch.from_numpy(np.ascontiguousarray(part)).permute(2, 0, 1)
    return np.ascontiguousarray(resize(pixels, (height, width), True).permute(1, 2, 0).numpy())
