"""Samples without images: of labelled points to learn from, and of whole scans to be scored.

Shape letters: N points of the scan, M points of the sample.
"""

from dataclasses import replace

import numpy as np
import torch

from lidistill.errors import DatasetNotFoundError, FileFormatError
from lidistill.labels import IGNORE
from lidistill.records import Frame, Sample
from lidistill.samples.augmentation import Augmentation, candidate_centers, sphere_crop
from lidistill.samples.distillation import SamplingConfig, draw
from lidistill.samples.nearest import nearest_index
from lidistill.samples.point_sample import augment_and_crop
from lidistill.samples.preparer import Preparer
from lidistill.samples.voxels import finite_points


def labelled_sample(
    frame: Frame, config: SamplingConfig, preparer: Preparer, rng: np.random.Generator
) -> Sample:
    """Points to learn labels from: a random one of each voxel, limited and augmented.

    Args:
        frame: The scan.
        config: How to sample; what it says of cameras plays no part.
        preparer: Of the backbone: its channels, field of view and inputs.
        rng: Source of all randomness; see ``sample_rng``.

    Raises:
        DatasetNotFoundError: If there are no labels.
        FileFormatError: If no point lies inside the field of view.
    """
    if frame.labels is None:
        msg = (
            f"frame {frame.frame_id} has no labels, which training a segmentation needs; "
            "get its label file, or leave the frame out."
        )
        raise DatasetNotFoundError(msg)
    draws = draw(frame, config, rng)
    kept = config.voxels(frame, draws.permutation)
    for centre in candidate_centers(draws.centre, len(kept)):
        near = sphere_crop(frame.points.take(kept, axis=0), centre, config.max_points)
        sample, _ = augment_and_crop(frame, kept[near], draws.augmentation, preparer)
        if len(sample) or len(near) == len(kept):
            break
    return _seen(sample, frame, preparer)


def scan_sample(
    frame: Frame,
    config: SamplingConfig,
    preparer: Preparer,
    augmentation: Augmentation | None = None,
) -> Sample:
    """The whole scan, the first point of every voxel; nothing is drawn.

    ``inverse`` (N,) leads from every original point to its nearest kept one. Where a point is not
    finite it is 0, and ``full_labels`` (N,) is ``IGNORE``.

    Args:
        frame: The scan, with labels or without.
        config: Says the voxels.
        preparer: Of the backbone: its channels, field of view and inputs.
        augmentation: Of a copy that votes; None: the scan as it is.

    Raises:
        FileFormatError: If no point lies inside the field of view.
    """
    kept = config.voxels(frame)
    sample, _ = augment_and_crop(frame, kept, augmentation or Augmentation(), preparer)
    sample = _seen(sample, frame, preparer)
    finite = finite_points(frame)
    inverse = np.zeros(len(frame.points), dtype=np.int64)
    inverse[finite] = nearest_index(frame.points[finite], frame.points[sample.source.numpy()])
    full_labels = None
    if frame.labels is not None:
        full_labels = torch.full((len(frame.points),), IGNORE)
        full_labels[finite] = torch.from_numpy(frame.labels[finite]).long()
    return replace(sample, inverse=torch.from_numpy(inverse), full_labels=full_labels)


def _seen(sample: Sample, frame: Frame, preparer: Preparer) -> Sample:
    if len(sample):
        return sample
    msg = (
        f"frame {frame.frame_id}: none of its {len(frame.points)} points lies inside the field "
        f"of view {preparer.field_of_view}; set another one, or leave the frame out."
    )
    raise FileFormatError(msg)
