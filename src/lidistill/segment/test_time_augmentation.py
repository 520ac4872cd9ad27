"""Test-time augmentation: class scores averaged over turned, flipped and scaled copies of a scan.

Shape letters: N points of a frame, M points of its sample, C classes.
"""

import zlib
from collections.abc import Callable
from typing import Annotated, TypeAlias

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from lidistill.config import Config, Seed
from lidistill.errors import FileFormatError
from lidistill.records import Frame, Sample
from lidistill.samples.augmentation import AugmentationConfig
from lidistill.samples.distillation import SamplingConfig, sample_rng
from lidistill.samples.labelled import scan_sample
from lidistill.samples.preparer import Preparer

ClassScores: TypeAlias = Callable[[Frame, Sample], tuple[Tensor, Tensor]]
"""(M, C) probabilities of a sample's points, and (M,) whether a point has any."""
Predict: TypeAlias = Callable[[Frame, Sample], tuple[Tensor, Tensor]]
"""(M,) predicted classes of a sample, and (M,) whether a point can be predicted at all."""


class TtaConfig(Config):
    """How many copies of a scan vote; one is the scan as it is, and no augmentation.

    Features are computed after the copy is augmented, as in distillation.
    """

    num_votes: Annotated[int, Field(ge=1)] = 1
    seed: Seed = 0
    max_angle: Annotated[float, Field(ge=0)] = float(np.pi)  # radians about z, to both sides
    flip_probability: Annotated[float, Field(ge=0, le=1)] = 2 / 3  # of x or y, never both
    scale_range: Annotated[float, Field(ge=0, lt=1)] = 0.1  # factors 1 - range to 1 + range

    def augmentation(self) -> AugmentationConfig:
        """What every vote but the first is drawn from."""
        return AugmentationConfig(
            kind="distill",
            max_angle=self.max_angle,
            flip_probability=self.flip_probability,
            scale_range=self.scale_range,
        )


def predict_with_tta(
    class_scores: ClassScores,
    votes: TtaConfig,
    sampling: SamplingConfig,
    preparer: Preparer,
) -> Predict:
    """Predictions from the mean probability of all votes.

    The first vote is the sample itself. One copy is in memory at a time, and what is drawn depends
    on the seed, the frame and the vote only. A copy says nothing about points that its rotation or
    scale takes out of the field of view.

    Args:
        class_scores: Of one sample.
        votes: How many copies, and how different.
        sampling: How a frame becomes a sample.
        preparer: Of the backbone.
    """
    augmentation = votes.augmentation()

    def predict(frame: Frame, sample: Sample) -> tuple[Tensor, Tensor]:
        total, valid = class_scores(frame, sample)
        for vote in range(1, votes.num_votes):
            rng = sample_rng(votes.seed, vote, _frame_number(frame.frame_id))
            try:
                copy = scan_sample(frame, sampling, preparer, augmentation=augmentation.draw(rng))
            except FileFormatError:  # all of its points have left the field of view
                continue
            scores, copy_valid = class_scores(frame, copy)
            rows = _rows_of(copy, sample, len(frame.points))
            use = (rows >= 0) & copy_valid
            total.index_add_(0, rows[use], scores[use])
        return total.argmax(1), valid

    return predict


def _rows_of(copy: Sample, sample: Sample, num_points: int) -> Tensor:
    """Row in the sample of each point of a copy; -1 where the sample lacks it."""
    row_of_point = torch.full((num_points,), -1)
    row_of_point[sample.source] = torch.arange(len(sample))
    return row_of_point[copy.source]


def _frame_number(frame_id: str) -> int:
    """A number that depends on the name alone."""
    return zlib.crc32(frame_id.encode())
