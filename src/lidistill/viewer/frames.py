"""Frames as the page shows them: points with a return, columns as small numbers, pixels of views.

Shape letters: R points of a file, N of them with a return, V views.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from lidistill.datasets import FrameDataset
from lidistill.labels import IGNORE
from lidistill.records import Array, CameraView, Frame
from lidistill.samples.pairing import project_view
from lidistill.samples.visibility import visible_points
from lidistill.scan_formats.returns import has_return, present
from lidistill.viewer.container import Stored, pack

_FINEST: Final = 0.001  # metres; coordinates are whole multiples of this or something coarser
_COARSEST: Final = 0.01
_INT16: Final = 32767
_OUTSIDE: Final = -32768
"""Pixel of a point that a view does not show."""
_SUBPIXELS: Final = 4
_MAX_COLUMNS: Final = 24
LARGEST: Final = 1e30
"""Beyond it a number of a file is none, so that differences are finite in single precision, too."""
_OF_THE_PAGE: Final = frozenset(
    {"xyz", "row", "class", "intensity", "height", "range"}
    | {"prediction", "error", "confidence", "cluster"}
)


@runtime_checkable
class WithColumns(Protocol):
    """A data set whose scan files hold more than coordinates and intensity."""

    def columns(self, index: int) -> Mapping[str, Array]:
        """(R,) every other number of a frame's points, by its name in the file."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ViewedFrame:
    """A frame without the points that did not come back."""

    frame: Frame
    num_rows: int
    """R."""
    rows: NDArray[np.int32] | None
    """(N,) row in the file of each point; None where all points came back."""
    columns: dict[str, Array]
    """(N,) further numbers of the file."""


def view_frame(dataset: FrameDataset, index: int) -> ViewedFrame:
    """Read a frame of a data set.

    Raises:
        LidistillError: If it cannot be read.
    """
    whole = dataset[index]
    further = dataset.columns(index) if isinstance(dataset, WithColumns) else {}
    returned = has_return(whole.points)
    kept = np.flatnonzero(returned).astype(np.int32)
    num_rows = len(whole.points)
    return ViewedFrame(
        frame=present(whole),
        num_rows=num_rows,
        rows=None if len(kept) == num_rows else kept,
        columns={
            _column_name(name): np.asarray(values)[kept]
            for name, values in list(further.items())[:_MAX_COLUMNS]
            if np.shape(values) == (num_rows,) and np.asarray(values).dtype.kind in "iufb"
        },
    )


def frame_columns(viewed: ViewedFrame) -> dict[str, Array]:
    """(N,) numbers of the points by name, with intensity; classes apart."""
    intensity = viewed.frame.intensity
    return viewed.columns if intensity is None else {"intensity": intensity, **viewed.columns}


def pack_frame(viewed: ViewedFrame, sizes_hw: list[tuple[int, int]]) -> bytes:
    """The block ``frame/<i>`` of the page.

    Args:
        viewed: The frame.
        sizes_hw: Height and width in which the page gets the image of each view, pixels.
    """
    frame = viewed.frame
    arrays = {"xyz": _coordinates(frame.points)}
    if viewed.rows is not None:
        arrays["row"] = Stored(array=viewed.rows)
    for name, values in frame_columns(viewed).items():
        arrays[name] = small_numbers(values)
    if frame.labels is not None:
        arrays["class"] = Stored(array=frame.labels)
    for number, (view, size_hw) in enumerate(zip(frame.views, sizes_hw, strict=True)):
        uv, visible = pixels_of(frame.points, view, size_hw)
        arrays[f"uv{number}"] = Stored(array=uv, scale=1 / _SUBPIXELS, by_columns=True)
        arrays[f"visible{number}"] = Stored(array=visible)
    return pack(arrays)


def pixels_of(
    points: NDArray[np.float32], view: CameraView, size_hw: tuple[int, int]
) -> tuple[NDArray[np.int16], NDArray[np.uint8]]:
    """Where points fall in an image, and which of them the camera can see.

    Args:
        points: (N, 3) lidar frame, metres.
        view: The camera.
        size_hw: Height and width of the image as shown, pixels.

    Returns:
        (N, 2) column and row in quarters of a pixel, -32768 where the point lies outside; (N,) 1
        for a point that is seen, 0 for one that is occluded or outside.
    """
    hit = project_view(points, view)
    uv = np.full((len(points), 2), _OUTSIDE, dtype=np.int16)
    scale = np.array([size_hw[1] / view.size_hw[1], size_hw[0] / view.size_hw[0]])
    uv[hit.index] = np.rint(hit.uv * scale * _SUBPIXELS)
    visible = np.zeros(len(points), dtype=np.uint8)
    visible[hit.index] = visible_points(
        hit.uv, hit.depth, view.size_hw, focal_px=float(view.K[1, 1])
    )
    return uv, visible


def small_numbers(values: Array) -> Stored:
    """(N,) numbers in one byte or two; the largest code stands for what is not finite."""
    wide: NDArray[Any] = values.astype(np.float64)
    finite = np.abs(wide) < LARGEST
    known = wide[finite]
    low, high = (float(known.min()), float(known.max())) if len(known) else (0.0, 0.0)
    if low >= 0 and high < IGNORE and np.array_equal(known, np.rint(known)):
        codes = np.where(finite, wide, IGNORE).astype(np.uint8)
        return Stored(array=codes, scale=1.0, zero=0.0)
    steps = 65534
    scale = (high - low) / steps if high > low else 1.0
    codes = np.full(len(wide), steps + 1, dtype=np.uint16)
    codes[finite] = np.rint((known - low) / scale)
    return Stored(array=codes, scale=scale, zero=low)


def _coordinates(points: NDArray[np.float32]) -> Stored:
    """Whole multiples of a step, or single precision where scans reach far."""
    reach = float(np.abs(points).max()) if len(points) else 0.0
    step = max(_FINEST, reach / _INT16)
    if step > _COARSEST:
        return Stored(array=points)
    codes = np.rint(points.astype(np.float64) / step).astype(np.int16)
    return Stored(array=codes, scale=step, by_columns=True)


def _column_name(name: str) -> str:
    """A column's name that is none of the page's own."""
    taken = name in _OF_THE_PAGE or name.startswith(("uv", "visible"))
    return f"{name[:60]} (file)" if taken else name[:60]
