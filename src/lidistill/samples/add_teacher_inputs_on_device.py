"""What further teachers want of a sample, computed on a device: the twin of ``further``.

Shape letters: N finite points of a scan, M points of the sample.
"""

from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor

from lidistill.config import Size
from lidistill.records import CameraView, Sample
from lidistill.samples.add_teacher_inputs import nothing_inside
from lidistill.samples.augmentation import candidate_centers
from lidistill.samples.distillation import SamplingConfig
from lidistill.samples.preparer import Preparer
from lidistill.samples.raw import RawSample, augment_and_crop_on_device
from lidistill.samples.teacher_inputs import (
    NetworkPoints,
    Resized,
    TeacherInputs,
    TeacherRequirements,
    with_network_points,
)
from lidistill.samples.tensor_geometry import pair_on_device, sphere_crop_on_device


def without_pairs_on_device(
    raw: RawSample, points: Tensor, kept: Tensor, config: SamplingConfig, preparer: Preparer
) -> Sample:
    """See ``further.sample_without_pairs``."""
    near = points[kept]
    for centre in candidate_centers(raw.draws.centre, len(kept)) if len(kept) else ():
        chosen = kept[sphere_crop_on_device(near, centre, config.max_points)]
        sample, inside = augment_and_crop_on_device(raw, points, chosen, preparer)
        if bool(inside.any()):
            return sample
        if len(chosen) == len(kept):
            break
    raise nothing_inside(raw.frame_id, len(kept))


def sizes_on_device(
    sample: Sample,
    raw: RawSample,
    points: Tensor,
    kept: Tensor,
    views: list[CameraView],
    loaded: Mapping[Size, Tensor],
    wanted: TeacherRequirements,
) -> Sample:
    """See ``further.with_sizes``."""
    pairs = sample.pairs
    assert pairs is not None  # noqa: S101  the caller has made them
    place, resized = _places(sample, raw, points)[pairs.point], {}
    for size in wanted.sizes:
        uv = torch.zeros_like(pairs.uv)
        for number, view in enumerate(views):
            index, seen = pair_on_device(points[kept], view, size)
            uv_of = uv.new_zeros(len(points), 2)
            uv_of[kept[index]] = seen
            here = pairs.view == number
            uv[here] = uv_of[place[here]]
        resized[size] = Resized(uv=uv, images=loaded.get(size))
    cameras = tuple(view.name for view in views)
    return replace(sample, for_teachers=TeacherInputs(cameras=cameras, resized=resized))


def networks_on_device(
    sample: Sample, raw: RawSample, points: Tensor, wanted: TeacherRequirements
) -> Sample:
    """See ``further.with_networks``."""
    networks, places = {}, _places(sample, raw, points)
    for name, preparer in wanted.networks.items():
        theirs, inside = augment_and_crop_on_device(raw, points, places, preparer)
        networks[name] = NetworkPoints.of(theirs, inside.nonzero().squeeze(1))
    return with_network_points(sample, networks)


def _places(sample: Sample, raw: RawSample, points: Tensor) -> Tensor:
    """(M,) which of the finite points, whose indices in the frame rise, the sample's points are."""
    return torch.searchsorted(raw.source.to(points.device), sample.source)
