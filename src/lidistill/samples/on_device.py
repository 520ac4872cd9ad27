"""The sample of ``distillation.distillation_sample``, computed on a GPU (or any other device).

A worker process reads, draws and decodes; everything that is arithmetic follows as tensors. The
integers are those of the CPU's sample, but for what the backbone's preparer leaves open; the
radius may differ in its last bit.

Shape letters: N finite points of a scan, V points after voxelisation, M points of the sample.
"""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lidistill.records import CameraView, Frame, Sample
from lidistill.samples.augmentation import centres, wants_intensity
from lidistill.samples.distillation import Draws, SamplingConfig, draw, nothing_paired
from lidistill.samples.intensity import statistics_of
from lidistill.samples.preparer import Preparer
from lidistill.samples.tensor_geometry import (
    augmented,
    crop_tensor,
    gather_on_device,
    nearest_to,
    pair_on_device,
    stack_tensors,
)
from lidistill.samples.voxels import finite_points, first_of_voxels, voxel_pose


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
    images: dict[Path, Tensor] | None
    """(3, H, W) uint8 resized images of the views that are tried first; None: not wanted."""


def raw_sample(
    frame: Frame,
    config: SamplingConfig,
    preparer: Preparer,
    rng: np.random.Generator,
    *,
    load_images: bool = True,
) -> RawSample:
    """Read and draw what ``build_sample`` needs; arguments as of ``distillation_sample``.

    Raises:
        FileFormatError: If an image does not decode.
    """
    draws, finite, statistics = draw(frame, config, rng), finite_points(frame), None
    if wants_intensity(preparer.channels):
        statistics = statistics_of(frame)
    images = None
    if load_images:
        first = [frame.views[view] for view in next(iter(draws.camera_choices(config)), ())]
        images = {view.image_path: config.read_images([view])[0] for view in first}
    labels = None if frame.labels is None else torch.from_numpy(frame.labels[finite]).long()
    measured = frame.intensity
    intensity = None if measured is None else torch.from_numpy(measured[finite])
    return RawSample(
        frame_id=frame.frame_id,
        points=torch.from_numpy(frame.points[finite]),
        intensity=intensity,
        statistics=statistics,
        source=torch.from_numpy(finite),
        labels=labels,
        added=None if frame.added is None else torch.from_numpy(frame.added[finite]),
        voxel_pose=voxel_pose(frame, config.voxel_frame),
        draws=draws,
        views=frame.views,
        images=images,
    )


def build_sample(
    raw: RawSample, config: SamplingConfig, preparer: Preparer, device: torch.device
) -> Sample:
    """Sample with pairs of points and pixels; see ``distillation.distillation_sample``.

    Args:
        raw: Points, draws and images.
        config: How to sample.
        preparer: Of the backbone: its channels, field of view and inputs.
        device: Where to compute, and where the sample's tensors are.

    Raises:
        FileFormatError: If no camera sees a point.
    """
    points = raw.points.to(device)
    permutation = torch.from_numpy(raw.draws.permutation).to(device)
    counted = points
    if raw.voxel_pose is not None:
        pose = torch.from_numpy(raw.voxel_pose).to(device)
        counted = points.double() @ pose[:3, :3].t() + pose[:3, 3]
    kept = first_of_voxels(counted, config.voxel_size, permutation)
    for choice in raw.draws.camera_choices(config):
        views = [raw.views[view] for view in choice]
        pixels = [pair_on_device(points[kept], view, config.image_size_hw) for view in views]
        if raw.added is not None:
            shown = ~raw.added.to(device)[kept]
            pixels = [(index[shown[index]], uv[shown[index]]) for index, uv in pixels]
        sample = _sample_from_pairs(raw, points, kept, pixels, views, config, preparer)
        if sample is not None:
            return sample
    raise nothing_paired(raw.frame_id, len(kept), raw.views)


def _sample_from_pairs(
    raw: RawSample,
    points: Tensor,
    kept: Tensor,
    pixels: list[tuple[Tensor, Tensor]],
    views: list[CameraView],
    config: SamplingConfig,
    preparer: Preparer,
) -> Sample | None:
    """See ``distillation.sample_from_pairs``; with the images of the views that keep a pair."""
    seen = torch.unique(torch.cat([index for index, _ in pixels]))
    if not len(seen):
        return None
    everything = torch.arange(len(kept), device=kept.device)
    candidates = seen if config.points == "paired" else everything
    near = points[kept[candidates]]
    for choice in centres(raw.draws.centre, len(seen)):
        centre = int(torch.searchsorted(candidates, seen[choice]))
        chosen = candidates[nearest_to(near, centre, config.max_points)]
        sample, inside = _crop_and_describe(raw, points, kept[chosen], preparer)
        position = torch.full_like(kept, -1)
        position[chosen[inside]] = everything[: len(sample)]
        pairs, used = gather_on_device(position, pixels)
        if used:
            paths = tuple(views[view].image_path for view in used)
            images = _images(raw, [views[view] for view in used], config)
            return replace(
                sample,
                pairs=pairs,
                image_paths=paths,
                images=None if images is None else images.to(points.device),
            )
        if len(chosen) == len(candidates):
            break
    return None


def _images(raw: RawSample, views: list[CameraView], config: SamplingConfig) -> Tensor | None:
    """Images of some views; those of a camera that was not the first choice are read now."""
    if raw.images is None:
        return None
    at_hand = raw.images
    late = [view for view in views if view.image_path not in at_hand]
    images = at_hand | {view.image_path: config.read_images([view])[0] for view in late}
    return torch.stack([images[view.image_path] for view in views])


def _crop_and_describe(
    raw: RawSample, points: Tensor, chosen: Tensor, preparer: Preparer
) -> tuple[Sample, Tensor]:
    """Sample of the chosen points inside the field of view, and which of them those are."""
    coords, channels = augmented(points[chosen], raw.draws.augmentation)
    inside = crop_tensor(coords, preparer.field_of_view)
    source, coords = chosen[inside], coords[inside]
    intensity = None
    if wants_intensity(preparer.channels):
        intensity = coords.new_zeros(len(source))  # the mean, where the lidar has none
        if raw.intensity is not None and raw.statistics is not None:
            mean, std = coords.new_tensor(raw.statistics)
            intensity = (raw.intensity.to(points.device)[source] - mean) / std
    features = stack_tensors(preparer.channels, intensity, channels[inside])
    sample = Sample(
        frame_id=raw.frame_id,
        coords=coords,
        features=features,
        inputs=preparer.prepare_on_device(coords, features),
        source=raw.source.to(points.device)[source],
        labels=None if raw.labels is None else raw.labels.to(points.device)[source],
    )
    return sample, inside
