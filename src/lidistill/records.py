"""The records that cross package boundaries, from a data set's frame to a packed batch.

Shape letters: N points of a scan, M points the student sees, P point-pixel pairs, V views,
B scans of a batch, H x W image size.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, Protocol, Self, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lidistill.geometry import check_rigid
from lidistill.shapes import check_shape
from lidistill.tensor_records import pin_memory, to_device

Array: TypeAlias = NDArray[np.generic]

_MAX_BASELINE: Final = 100.0  # metres from a camera to the lidar, on one vehicle
_PER_POINT: Final = ("intensity", "labels", "segments", "ring", "added")  # of a frame, or None


def _check_length(inputs: "Inputs", num_points: int) -> None:
    if len(inputs) != num_points:
        msg = (
            f"inputs has shape ({len(inputs)},), expected ({num_points},): one row for every point"
        )
        raise ValueError(msg)


@dataclass(frozen=True, slots=True, kw_only=True)
class CameraView:
    """One image of a frame, with its whole calibration chain reduced to one transform."""

    name: str
    image_path: Path
    size_hw: tuple[int, int]
    """Height and width of the stored image, pixels."""
    K: NDArray[np.float64]
    """(3, 3) pinhole matrix, pixels."""
    T_cam_lidar: NDArray[np.float64]
    """(4, 4) lidar coordinates at scan time to camera coordinates at exposure, metres."""
    distortion: NDArray[np.float64] | None = None
    """(5,) radial-tangential coefficients k1, k2, p1, p2, k3."""
    near_depth: float = 0.0
    """Points must lie deeper than this along the camera's z axis, metres."""
    near_x: float = -np.inf
    """Points must have a larger lidar x than this, metres (SemanticKITTI: 1)."""
    border_px: float = 0.0
    """Points must lie in 0 < u < W - border_px and 0 < v < H - border_px."""

    def __post_init__(self) -> None:
        check_shape("K", self.K, (3, 3))
        check_shape("T_cam_lidar", self.T_cam_lidar, (4, 4))
        if self.distortion is not None:
            check_shape("distortion", self.distortion, (5,))
        if not (np.isfinite(self.K).all() and self.K[0, 0] > 0 and self.K[1, 1] > 0):
            msg = f"K of {self.name} is {self.K.tolist()}, expected finite, positive focal lengths"
            raise ValueError(msg)
        check_rigid(self.T_cam_lidar, reach=_MAX_BASELINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """One scan as its data set stores it, with the images taken around it."""

    frame_id: str
    """Unique in its data set, stable from run to run, for example ``"002/14/pandar64"``."""
    sensor: str
    """Key of ``datasets.sensors.SENSORS``, or a name of your own with statistics beside it."""
    points: NDArray[np.float32]
    """(N, 3) metres, in the lidar frame of the data set (its page in docs says where x points)."""
    intensity: NDArray[np.float32] | None = None
    """(N,) in the sensor's own scale; None: the lidar has none."""
    labels: NDArray[np.uint8] | None = None
    """(N,) training ids, 255 = ignore."""
    segments: NDArray[np.uint32] | None = None
    """(N,) number of the object or of the surface that a point is of, in the data set's own count;
    two points are of one segment where both the class and this are the same."""
    views: tuple[CameraView, ...] = ()
    T_world_lidar: NDArray[np.float64] | None = None
    """(4, 4) lidar coordinates to the drive's world coordinates, metres."""
    time: float | None = None
    """Of the scan, seconds in its recording's own clock; None where no file says it."""
    intensity_statistics: tuple[float, float] | None = None
    """Mean and standard deviation of the sensor's intensity; None: those of ``SENSORS``."""
    ring: NDArray[np.int16] | None = None
    """(N,) the beam that each point is from, -1 where unknown; None where no file says it."""
    added: NDArray[np.bool_] | None = None
    """(N,) whether a corruption put the point there, so that no image shows it; None: none is."""

    def __post_init__(self) -> None:
        check_shape("points", self.points, (None, 3))
        num_points = len(self.points)
        for name in _PER_POINT:
            values: Array | None = getattr(self, name)
            if values is not None:
                check_shape(name, values, (num_points,))
        if self.T_world_lidar is not None:
            check_shape("T_world_lidar", self.T_world_lidar, (4, 4))

    def take(self, rows: NDArray[np.bool_] | NDArray[np.int64]) -> "Frame":
        """The frame with some of its points, and all that belongs to them.

        Args:
            rows: (N,) which to keep, or (M,) their indices, in the order in which they come.
        """
        present = {name: getattr(self, name) for name in _PER_POINT}
        taken: dict[str, Any] = {
            name: None if v is None else v[rows] for name, v in present.items()
        }
        return replace(self, points=self.points[rows], **taken)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pairs:
    """Which point belongs to which pixel."""

    point: Tensor
    """(P,) int64 index into the points of the sample (of the batch, once packed)."""
    view: Tensor
    """(P,) int64 index into the views of the sample (of the batch, once packed)."""
    uv: Tensor
    """(P, 2) float32 column and row in the resized image; pixel centres are whole numbers."""

    def __post_init__(self) -> None:
        check_shape("point", self.point, (None,))
        check_shape("view", self.view, (len(self.point),))
        check_shape("uv", self.uv, (len(self.point), 2))

    def __len__(self) -> int:
        return len(self.point)


class Inputs(Protocol):
    """Backbone-specific inputs of a sample or packed batch: neighbours, cells, kernel maps.

    Its preparer makes it and the network reads it; nobody else looks inside. A dataclass, whose
    tensors go to other devices as ``tensor_records.map_tensors`` finds them.
    """

    def __len__(self) -> int:
        """M, the number of points."""
        ...

    @classmethod
    def collate(cls, parts: Sequence[Self], starts: Sequence[int]) -> Self:
        """Those of samples packed one after the other, with every index of a point shifted.

        Args:
            parts: One of each sample, at least one.
            starts: Where the points of each begin in the batch.
        """
        ...


class ForTeachers(Protocol):
    """Further inputs of teachers: images of other sizes, points for 3D teachers.

    See ``samples.teacher_inputs``.

    A dataclass, as ``Inputs`` is.
    """

    @classmethod
    def collate(cls, parts: Sequence[Self], starts: Sequence[int]) -> Self:
        """That of samples packed one after the other; arguments as of ``Inputs.collate``."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """What the networks see of one frame."""

    frame_id: str
    coords: Tensor
    """(M, 3) float32 metres, after augmentation."""
    features: Tensor
    """(M, F) float32 input channels of the backbone."""
    inputs: Inputs
    """What else the backbone wants to know of the points."""
    source: Tensor
    """(M,) int64 index of each point in the frame."""
    labels: Tensor | None = None
    """(M,) int64 training ids, 255 = ignore."""
    inverse: Tensor | None = None
    """(N,) int64 nearest kept point of every original one; evaluation only."""
    full_labels: Tensor | None = None
    """(N,) int64 training ids of all original points; evaluation only."""
    pairs: Pairs | None = None
    images: Tensor | None = None
    """(V, 3, H, W) uint8 resized images; None where teacher features come from a cache."""
    image_paths: tuple[Path, ...] = ()
    """V paths of the images, the key of the cache."""
    image_sizes: tuple[tuple[int, int], ...] = ()
    """V, height and width that the calibration of each speaks of, pixels; empty: any."""
    mirrored: bool = False
    """Whether teachers see the images with left and right exchanged; pixels are as they are."""
    for_teachers: ForTeachers | None = None

    def __post_init__(self) -> None:
        num_points = len(self.coords)
        check_shape("coords", self.coords, (num_points, 3))
        check_shape("features", self.features, (num_points, None))
        _check_length(self.inputs, num_points)
        check_shape("source", self.source, (num_points,))
        if self.labels is not None:
            check_shape("labels", self.labels, (num_points,))

    def __len__(self) -> int:
        return len(self.coords)


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Scans packed one after the other; every index is already shifted."""

    offsets: Tensor
    """(B + 1,) int64; scan b owns the points offsets[b] to offsets[b + 1]."""
    features: Tensor
    """(M, F) float32."""
    inputs: Inputs
    """What else the backbone wants to know of the packed points."""
    coords: Tensor | None = None
    """(M, 3) float32 metres."""
    labels: Tensor | None = None
    """(M,) int64."""
    pairs: Pairs | None = None
    images: Tensor | None = None
    """(V, 3, H, W) uint8, the views of all scans."""
    image_paths: tuple[Path, ...] = ()
    image_sizes: tuple[tuple[int, int], ...] = ()
    """V, height and width that the calibration of each speaks of, pixels; empty: any."""
    frame_ids: tuple[str, ...] = ()
    mirrored: tuple[bool, ...] = ()
    """V, which images teachers see with left and right exchanged; empty: none."""
    for_teachers: ForTeachers | None = None

    def __post_init__(self) -> None:
        num_points = len(self.features)
        check_shape("features", self.features, (num_points, None))
        _check_length(self.inputs, num_points)
        if self.labels is not None:
            check_shape("labels", self.labels, (num_points,))
        on_cpu = self.offsets.device.type == "cpu"  # to look at those on a GPU is to wait for it
        if len(self.offsets) < 2 or (on_cpu and int(self.offsets[-1]) != num_points):
            msg = f"offsets end at {self.offsets[-1:].tolist()}, expected {num_points} points"
            raise ValueError(msg)

    @property
    def num_scans(self) -> int:
        """B, the number of scans."""
        return len(self.offsets) - 1

    @property
    def lengths(self) -> Tensor:
        """(B,) points of each scan."""
        return self.offsets[1:] - self.offsets[:-1]

    def scan_index(self) -> Tensor:
        """(M,) int64 scan of each point."""
        scans = torch.arange(self.num_scans, device=self.offsets.device)
        return torch.repeat_interleave(scans, self.lengths, output_size=len(self.features))

    def to(self, device: torch.device | str, *, non_blocking: bool = False) -> "Batch":
        """Copy on another device; see ``tensor_records.to_device``."""
        return to_device(self, device, non_blocking=non_blocking)

    def pin_memory(self) -> "Batch":
        """Copy in pinned memory; PyTorch's loader asks for it by this name."""
        return pin_memory(self)
