"""The frames that a page shows: read once, described, kept for a while.

Shape letters: N points of a frame.
"""

import io
import logging
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from lidistill.datasets import FrameDataset
from lidistill.errors import LidistillError
from lidistill.images.files import read_image, resize
from lidistill.viewer.cache import RecentlyUsed
from lidistill.viewer.frames import LARGEST, ViewedFrame, frame_columns, pack_frame, view_frame

logger = logging.getLogger(__name__)
_FRAME_BYTES: Final = 1 << 28
_SAMPLED: Final = 4096  # points of a frame that a column's usual range is taken from
_USUAL: Final = (1.0, 99.0)  # per cent
_QUALITY: Final = 82  # of JPEG
_UNITS: Final = {"height": "m", "range": "m"}


class ShownFrames:
    """Frames of a data set, numbered from 0 as the page numbers them.

    Args:
        dataset: What is shown.
        indices: Frames of it, in the order in which they come.
        image_width: Images wider than this are made smaller, pixels.
        on_frame: Called after each frame that is read, for a progress bar.

    Raises:
        LidistillError: If no frame can be read; single ones are left out, and named in the log.
    """

    has_labels: bool
    """Whether any frame has labels."""
    told: list[dict[str, Any]]
    """What the manifest says about every frame."""
    columns: dict[str, Any]
    """And about every column."""

    def __init__(
        self,
        dataset: FrameDataset,
        indices: Sequence[int],
        *,
        image_width: int,
        on_frame: Callable[[], None] = lambda: None,
    ) -> None:
        self.dataset, self._image_width = dataset, image_width
        self._kept: RecentlyUsed[ViewedFrame] = RecentlyUsed(_FRAME_BYTES, _bytes_of)
        self.indices = self._readable(indices, on_frame)
        self.has_labels = False
        self.told, self.columns = self._look_at_frames()

    def __len__(self) -> int:
        """Number of frames."""
        return len(self.indices)

    def __getitem__(self, number: int) -> ViewedFrame:
        """One of them."""
        return self._kept.get(number, lambda: view_frame(self.dataset, self.indices[number]))

    def frame_id(self, number: int) -> str:
        """Its name in the data set."""
        return self.dataset.frame_ids[self.indices[number]]

    def pack(self, number: int) -> bytes:
        """The block ``frame/<i>`` of the page."""
        viewed = self[number]
        return pack_frame(viewed, [self._size_of(view.size_hw) for view in viewed.frame.views])

    def image(self, number: int, view: int) -> bytes:
        """A view's image as JPEG, in the size of the page: never the file itself.

        Raises:
            LidistillError: If it cannot be read.
        """
        found = self[number].frame.views[view]
        return _jpeg(found.image_path, self._size_of(found.size_hw))

    def _readable(self, indices: Sequence[int], on_frame: Callable[[], None]) -> tuple[int, ...]:
        """The frames without those that cannot be read, which are named in the log.

        Raises:
            LidistillError: If none can be read.
        """
        kept: list[int] = []
        first: LidistillError | None = None
        for index in indices:
            try:
                viewed = view_frame(self.dataset, index)
            except LidistillError as error:
                first = first or error
                logger.warning("left out: %s", error)
            else:
                self._kept.get(len(kept), partial(_itself, viewed))
                kept.append(index)
            on_frame()
        if not kept and first is not None:
            raise first
        return tuple(kept)

    def _look_at_frames(self) -> tuple[list[dict[str, Any]], dict[str, Any]]:
        """What the manifest says about every frame, and about every column."""
        told: list[dict[str, Any]] = []
        samples: dict[str, list[NDArray[np.float64]]] = {"height": [], "range": []}
        drives, ids = self.dataset.drive_ids, self.dataset.frame_ids
        for number, index in enumerate(self.indices):
            viewed = self[number]
            frame, columns = viewed.frame, frame_columns(viewed)
            step = max(1, len(frame.points) // _SAMPLED)
            samples["height"].append(frame.points[::step, 2].astype(np.float64))
            samples["range"].append(np.linalg.norm(frame.points[::step], axis=1))
            for name, values in columns.items():
                samples.setdefault(name, []).append(values[::step].astype(np.float64))
            self.has_labels |= frame.labels is not None
            classes = ["class"] if frame.labels is not None else []
            told.append(
                {
                    "index": number,
                    "id": ids[index],
                    "drive": drives[index],
                    "timestamp_s": frame.time,
                    "num_points": len(frame.points),
                    "num_rows": viewed.num_rows,
                    "columns": [*columns, *classes],
                    "images": [
                        _tell_image(view.name, self._size_of(view.size_hw)) for view in frame.views
                    ],
                }
            )
        ranges = {name: _usual_range(name, values) for name, values in samples.items()}
        none = {"kind": "class", "unit": None, "low": None, "high": None}
        return told, ranges | ({"class": none} if self.has_labels else {})

    def _size_of(self, size_hw: tuple[int, int]) -> tuple[int, int]:
        """Height and width in which the page gets an image."""
        height, width = size_hw
        if width <= self._image_width:
            return size_hw
        return max(1, round(height * self._image_width / width)), self._image_width


def _itself(viewed: ViewedFrame) -> ViewedFrame:
    return viewed


def _jpeg(path: Path, size_hw: tuple[int, int]) -> bytes:
    image = torch.from_numpy(read_image(path)).permute(2, 0, 1)
    if tuple(image.shape[1:]) != size_hw:
        image = resize(image, size_hw, antialias=True)
    file = io.BytesIO()
    array = np.ascontiguousarray(image.permute(1, 2, 0).numpy())
    Image.fromarray(array).save(file, "JPEG", quality=_QUALITY, optimize=True)
    return file.getvalue()


def _tell_image(view: str, size_hw: tuple[int, int]) -> dict[str, Any]:
    height, width = size_hw
    return {"view": view, "width": width, "height": height, "media_type": "image/jpeg"}


def _usual_range(name: str, samples: list[NDArray[np.float64]]) -> dict[str, Any]:
    values = np.concatenate(samples)
    values = values[np.abs(values) < LARGEST]
    low, high = np.percentile(values, _USUAL).tolist() if len(values) else (0.0, 1.0)
    return {"kind": "number", "unit": _UNITS.get(name), "low": low, "high": high}


def _bytes_of(viewed: ViewedFrame) -> int:
    frame = viewed.frame
    own = frame.points.nbytes + (0 if frame.intensity is None else frame.intensity.nbytes)
    return own + sum(values.nbytes for values in viewed.columns.values())
