"""What is read and drawn of a frame before a device makes samples of it, and its points there.

Shape letters: N finite points of a scan, M points of the sample.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from lidistill.config import Size
from lidistill.records import CameraView, Sample
from lidistill.samples.channels import wants_statistics
from lidistill.samples.distillation import Draws
from lidistill.samples.preparer import Channel, Preparer
from lidistill.samples.tensor_geometry import augmented, crop_tensor, stack_tensors


@dataclass(frozen=True, slots=True, kw_only=True)
class RawSample:
    """What a worker process hands on of one frame."""

    frame_id: str
    points: Tensor
    """(N, 3) float32 metres, lidar frame."""
    intensity: Tensor | None
    """(N,) float32, in the sensor's own scale; None: the lidar has none."""
    statistics: tuple[float, float] | None
    """Mean and standard deviation of the sensor's intensity; None: it has none, or the
    backbone has no use for it."""
    of_scan: dict[Channel, Tensor]
    """(N,) float32 of each channel that a point has by the whole scan."""
    source: Tensor
    """(N,) int64 index of each point in the frame."""
    labels: Tensor | None
    """(N,) int64 training ids."""
    added: Tensor | None
    """(N,) points that no image shows; None: each is shown."""
    voxel_pose: NDArray[np.float64] | None
    """(4, 4) lidar coordinates to those that voxels are counted in; None where they are these."""
    draws: Draws
    views: tuple[CameraView, ...]
    images: dict[Path, dict[Size, Tensor]] | None
    """(1, 3, H, W) uint8 resized images of the views that are tried first; None: not wanted."""


def augment_and_crop_on_device(
    raw: RawSample, points: Tensor, chosen: Tensor, preparer: Preparer
) -> tuple[Sample, Tensor]:
    """Sample of the chosen points inside the field of view, and which of them those are."""
    coords, channels = augmented(points[chosen], raw.draws.augmentation)
    inside = crop_tensor(coords, preparer.field_of_view)
    source, coords = chosen[inside], coords[inside]
    values = {name: whole.to(points.device)[source] for name, whole in raw.of_scan.items()}
    if "height" in values:
        values["height"] = values["height"] * raw.draws.augmentation.factor
    if wants_statistics(preparer.channels):
        values["intensity"] = coords.new_zeros(len(source))  # the mean, where the lidar has none
        if raw.intensity is not None and raw.statistics is not None:
            mean, std = coords.new_tensor(raw.statistics)
            values["intensity"] = (raw.intensity.to(points.device)[source] - mean) / std
    features = stack_tensors(preparer.channels, values, channels[inside])
    sample = Sample(
        frame_id=raw.frame_id,
        coords=coords,
        features=features,
        inputs=preparer.prepare_on_device(coords, features),
        source=raw.source.to(points.device)[source],
        labels=None if raw.labels is None else raw.labels.to(points.device)[source],
    )
    return sample, inside
