"""Chosen points of a frame as a network takes them: augmented, cropped, with channels, inputs."""

import numpy as np
import torch
from numpy.typing import NDArray

from lidistill.records import Frame, Sample
from lidistill.samples.augmentation import Augmentation, crop_mask
from lidistill.samples.channels import measured, stack_channels
from lidistill.samples.preparer import Preparer


def augment_and_crop(
    frame: Frame,
    chosen: NDArray[np.int64],
    augmentation: Augmentation,
    preparer: Preparer,
) -> tuple[Sample, NDArray[np.bool_]]:
    """Sample of (C,) chosen points inside the field of view, and (C,) which of them those are.

    Augmented, with features, labels and the backbone's inputs; without images and pairs.
    """
    augmented = augmentation.apply(frame.points.take(chosen, axis=0))
    places = np.flatnonzero(inside := crop_mask(augmented.coords, preparer.field_of_view))
    source, coords = chosen[places], augmented.coords.take(places, axis=0)
    values = measured(frame, source, preparer.channels, augmentation.factor)
    spatial = augmented.channels.take(places, axis=0)
    features = stack_channels(preparer.channels, values, spatial)
    labels = None if frame.labels is None else torch.from_numpy(frame.labels[source]).long()
    sample = Sample(
        frame_id=frame.frame_id,
        coords=torch.from_numpy(coords.astype(np.float32, copy=False)),
        features=torch.from_numpy(features),
        inputs=preparer.prepare(coords, features),
        source=torch.from_numpy(source),
        labels=labels,
    )
    return sample, inside
