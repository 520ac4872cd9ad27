"""The sample of ``distillation.distillation_sample``, computed on a GPU (or any other device).

A worker process reads, draws and decodes; everything that is arithmetic follows as tensors. The
integers are those of the CPU's sample, but for what the backbone's preparer leaves open; the
radius may differ in its last bit.

Shape letters: N finite points of a scan, V points after voxelisation, M points of the sample.
"""

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from lidistill.config import Size
from lidistill.records import CameraView, Frame, Sample
from lidistill.samples.add_teacher_inputs_on_device import (
    networks_on_device,
    sizes_on_device,
    without_pairs_on_device,
)
from lidistill.samples.augmentation import candidate_centers
from lidistill.samples.channels import of_whole_scan, wants_statistics
from lidistill.samples.distillation import SamplingConfig, draw, nothing_paired
from lidistill.samples.intensity import statistics_of
from lidistill.samples.preparer import Preparer
from lidistill.samples.raw import RawSample, augment_and_crop_on_device
from lidistill.samples.teacher_inputs import SINGLE_IMAGE_TEACHER, TeacherRequirements
from lidistill.samples.tensor_geometry import (
    gather_on_device,
    pair_on_device,
    sphere_crop_on_device,
    unoccluded_on_device,
)
from lidistill.samples.voxels import finite_points, first_of_voxels, voxel_pose


def raw_sample(
    frame: Frame,
    config: SamplingConfig,
    preparer: Preparer,
    rng: np.random.Generator,
    *,
    load_images: bool = True,
    wanted: TeacherRequirements = SINGLE_IMAGE_TEACHER,
) -> RawSample:
    """Read and draw what ``build_sample`` needs; arguments as of ``distillation_sample``.

    Raises:
        FileFormatError: If an image does not decode.
    """
    draws, finite, statistics = draw(frame, config, rng), finite_points(frame), None
    channels = [*preparer.channels, *(c for p in wanted.networks.values() for c in p.channels)]
    if wants_statistics(channels):
        statistics = statistics_of(frame)
    images = None
    if load_images and wanted.pairs:
        first = [frame.views[view] for view in next(iter(draws.camera_choices(config)), ())]
        sizes = wanted.image_sizes(config.image_size_hw)
        images = {view.image_path: config.read_images([view], sizes) for view in first}
    labels = None if frame.labels is None else torch.from_numpy(frame.labels[finite]).long()
    measured = frame.intensity
    intensity = None if measured is None else torch.from_numpy(measured[finite])
    return RawSample(
        frame_id=frame.frame_id,
        points=torch.from_numpy(frame.points[finite]),
        intensity=intensity,
        statistics=statistics,
        of_scan={
            name: torch.from_numpy(values[finite])
            for name, values in of_whole_scan(frame, channels).items()
        },
        source=torch.from_numpy(finite),
        labels=labels,
        added=None if frame.added is None else torch.from_numpy(frame.added[finite]),
        voxel_pose=voxel_pose(frame, config.voxel_frame),
        draws=draws,
        views=frame.views,
        images=images,
    )


def build_sample(
    raw: RawSample,
    config: SamplingConfig,
    preparer: Preparer,
    device: torch.device,
    *,
    wanted: TeacherRequirements = SINGLE_IMAGE_TEACHER,
) -> Sample:
    """Sample with pairs of points and pixels; see ``distillation.distillation_sample``.

    Args:
        raw: Points, draws and images.
        config: How to sample.
        preparer: Of the backbone: its channels, field of view and inputs.
        device: Where to compute, and where the sample's tensors are.
        wanted: What the run's teachers want.

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
    near = points[kept]
    if not wanted.pairs:
        alone = without_pairs_on_device(raw, points, kept, config, preparer)
        return networks_on_device(alone, raw, points, wanted)
    for choice in raw.draws.camera_choices(config):
        views = [raw.views[view] for view in choice]
        pixels = [_pairs(raw, near, kept, view, config) for view in views]
        sample = _sample_from_pairs(raw, points, kept, pixels, views, config, preparer)
        if sample is not None:
            view_of = {view.image_path: view for view in views}
            used = [view_of[path] for path in sample.image_paths]
            images = _images(raw, used, config, wanted, device)
            sample = replace(
                sample,
                images=images.get(config.image_size_hw),
                mirrored=raw.draws.images.mirrored,
            )
            if not wanted.more:
                return sample
            sample = sizes_on_device(sample, raw, points, kept, used, images, wanted)
            return networks_on_device(sample, raw, points, wanted)
    raise nothing_paired(raw.frame_id, len(kept), raw.views)


def _pairs(
    raw: RawSample, points: Tensor, kept: Tensor, view: CameraView, config: SamplingConfig
) -> tuple[Tensor, Tensor]:
    """See ``SamplingConfig.pairs``; points are the kept ones."""
    index, uv = pair_on_device(points, view, config.image_size_hw)
    if raw.added is not None:
        shown = ~raw.added.to(points.device)[kept[index]]
        index, uv = index[shown], uv[shown]
    if config.occluded == "drop":
        shown = unoccluded_on_device(points[index], view)
        index, uv = index[shown], uv[shown]
    return index, uv


def _sample_from_pairs(
    raw: RawSample,
    points: Tensor,
    kept: Tensor,
    pixels: list[tuple[Tensor, Tensor]],
    views: list[CameraView],
    config: SamplingConfig,
    preparer: Preparer,
) -> Sample | None:
    """See ``distillation.sample_from_pairs``."""
    seen = torch.unique(torch.cat([index for index, _ in pixels]))
    if not len(seen):
        return None
    everything = torch.arange(len(kept), device=kept.device)
    candidates = seen if config.points == "paired" else everything
    near = points[kept[candidates]]
    for choice in candidate_centers(raw.draws.centre, len(seen)):
        centre = int(torch.searchsorted(candidates, seen[choice]))
        chosen = candidates[sphere_crop_on_device(near, centre, config.max_points)]
        sample, inside = augment_and_crop_on_device(raw, points, kept[chosen], preparer)
        position = torch.full_like(kept, -1)
        position[chosen[inside]] = everything[: len(sample)]
        pairs, used = gather_on_device(position, pixels)
        if used:
            paths = tuple(views[view].image_path for view in used)
            sizes = tuple(views[view].size_hw for view in used)
            return replace(sample, pairs=pairs, image_paths=paths, image_sizes=sizes)
        if len(chosen) == len(candidates):
            break
    return None


def _images(
    raw: RawSample,
    views: list[CameraView],
    config: SamplingConfig,
    wanted: TeacherRequirements,
    device: torch.device,
) -> dict[Size, Tensor]:
    """Images of some views; those of a camera that was not the first choice are read now."""
    sizes = wanted.image_sizes(config.image_size_hw)
    if raw.images is None or not sizes:
        return {}
    late = [view for view in views if view.image_path not in raw.images]
    images = raw.images | {view.image_path: config.read_images([view], sizes) for view in late}
    change = raw.draws.images
    return {
        size: change.recolour(torch.cat([images[view.image_path][size] for view in views])).to(
            device
        )
        for size in sizes
    }
