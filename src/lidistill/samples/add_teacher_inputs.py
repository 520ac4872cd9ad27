"""What further teachers want of a sample: images of other sizes, points for other 3D networks.

Shape letters: V points after voxelisation, M points of the sample.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lidistill.config import Size
from lidistill.errors import FileFormatError
from lidistill.records import CameraView, Frame, Sample
from lidistill.samples.augmentation import Augmentation, candidate_centers, sphere_crop
from lidistill.samples.pairing import pair_view
from lidistill.samples.point_sample import augment_and_crop
from lidistill.samples.preparer import Preparer
from lidistill.samples.teacher_inputs import (
    NetworkPoints,
    Resized,
    TeacherInputs,
    TeacherRequirements,
    with_network_points,
)


def sample_without_pairs(
    frame: Frame,
    kept: NDArray[np.int64],
    preparer: Preparer,
    *,
    max_points: int,
    centre: float,
    augmentation: Augmentation,
) -> Sample:
    """Sample of the points of a scan, whether a camera sees them or not.

    Args:
        frame: Scan.
        kept: (V,) voxelised points of the frame.
        preparer: Of the backbone.
        max_points: Of the sample.
        centre: In [0, 1): which of the points the limit keeps the surroundings of.
        augmentation: As it was drawn.

    Raises:
        FileFormatError: If no point lies inside the field of view.
    """
    points = frame.points.take(kept, axis=0)
    for place in candidate_centers(centre, len(kept)) if len(kept) else ():
        chosen = kept[sphere_crop(points, place, max_points)]
        sample, inside = augment_and_crop(frame, chosen, augmentation, preparer)
        if inside.any():
            return sample
        if len(chosen) == len(kept):
            break
    raise nothing_inside(frame.frame_id, len(kept))


def nothing_inside(frame_id: str, num_voxels: int) -> FileFormatError:
    """What is wrong with a frame none of whose points the network sees."""
    return FileFormatError(
        f"frame {frame_id}: none of its {num_voxels} voxels lies in the field of view; points are "
        "wanted in metres, in the sensor's own frame. Mend it, or leave the frame out."
    )


def with_sizes(
    sample: Sample,
    frame: Frame,
    kept: NDArray[np.int64],
    views: Sequence[CameraView],
    images: Mapping[Size, Tensor],
    wanted: TeacherRequirements,
) -> Sample:
    """The sample with its images in further sizes, and where its pairs lie in them.

    Args:
        sample: With pairs.
        frame: It is of.
        kept: (V,) voxelised points of the frame.
        views: Of the sample's images.
        images: By their size; absent where none are loaded.
        wanted: What the run's teachers want.
    """
    pairs = sample.pairs
    assert pairs is not None  # noqa: S101  the caller has made them
    points, source = frame.points.take(kept, axis=0), sample.source[pairs.point].numpy()
    resized = {}
    for size in wanted.sizes:
        uv = np.zeros((len(source), 2), dtype=np.float32)
        for number, view in enumerate(views):
            seen = pair_view(points, view, size)
            uv_of = np.zeros((len(frame.points), 2), dtype=np.float32)
            uv_of[kept[seen.index]] = seen.uv
            here = pairs.view.numpy() == number
            uv[here] = uv_of[source[here]]
        resized[size] = Resized(uv=torch.from_numpy(uv), images=images.get(size))
    cameras = tuple(view.name for view in views)
    return replace(sample, for_teachers=TeacherInputs(cameras=cameras, resized=resized))


def with_networks(
    sample: Sample, frame: Frame, augmentation: Augmentation, wanted: TeacherRequirements
) -> Sample:
    """The sample with its points as the 3D networks that teach take them."""
    networks = {}
    for name, preparer in wanted.networks.items():
        theirs, inside = augment_and_crop(frame, sample.source.numpy(), augmentation, preparer)
        networks[name] = NetworkPoints.of(theirs, torch.from_numpy(np.flatnonzero(inside)))
    return with_network_points(sample, networks)
