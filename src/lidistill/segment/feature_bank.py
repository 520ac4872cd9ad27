"""Features of a probe's frames, computed once and kept with their labels.

Shape letters: M points, C channels.
"""

import functools
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import Tensor

from lidistill.datasets import FrameDataset
from lidistill.errors import LidistillError
from lidistill.labels import IGNORE
from lidistill.loading.config import sample_batches
from lidistill.loading.order import StepPlan
from lidistill.loading.prefetch import prefetch
from lidistill.records import Frame, Sample
from lidistill.samples.distillation import sample_rng
from lidistill.samples.labelled import scan_sample
from lidistill.samples.preparer import Preparer
from lidistill.segment.encoders import Encoder, InputEncoder
from lidistill.segment.evaluate import labels_of
from lidistill.segment.inference import inference_encoder, settle
from lidistill.segment.recipe import LabelRecipe
from lidistill.tensor_records import to_device
from lidistill.training.progress import track

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelledFeatures:
    """Frozen features with their labels, in place of a batch of points."""

    features: Tensor
    """(M, C) float32."""
    labels: Tensor
    """(M,) int64."""
    frame_ids: tuple[str, ...]

    def to(self, device: torch.device) -> "LabelledFeatures":
        """Copy on another device."""
        return to_device(self, device)


def bank_batches(
    recipe: LabelRecipe,
    dataset: FrameDataset,
    encoder: Encoder,
    preparer: Preparer,
    plan: StepPlan,
) -> Callable[[int, int], Generator[list[Any], None, None]]:
    """Features of every frame computed once; each step draws ``max_points`` of them a frame.

    Args:
        recipe: The run.
        dataset: Its frames.
        encoder: Gives features.
        preparer: Of the backbone.
        plan: Order of the frames.
    """
    skips = recipe.data.bad_frames.policy == "skip"

    def made(make: Callable[[], T]) -> T | LidistillError:
        try:
            return make()
        except LidistillError as error:
            if not skips:
                raise
            return error

    def read(index: int) -> tuple[Frame, Sample]:
        frame = dataset[index]
        labels_of(frame)
        return frame, scan_sample(frame, recipe.sampling, preparer)

    def first_samples() -> Iterator[Sample]:
        for index in range(len(dataset)):
            found = made(functools.partial(read, index))
            if not isinstance(found, LidistillError):
                yield found[1]

    def encoded(found: tuple[Frame, Sample] | LidistillError) -> LabelledFeatures | LidistillError:
        if isinstance(found, LidistillError):
            return found
        return made(lambda: _encode(encoder, *found))

    encoder = inference_encoder(encoder, recipe.inference, None)
    settle(encoder, first_samples(), len(dataset))
    frames = prefetch(lambda index: made(lambda: read(index)), range(len(dataset)))
    bank = [encoded(found) for found in track(frames, "features", total=len(dataset))]

    def draw(epoch: int, index: int) -> LabelledFeatures:
        item = bank[index]
        if isinstance(item, LidistillError):
            raise item
        rng = sample_rng(recipe.seed, epoch, index)
        size = min(recipe.sampling.max_points, len(item.labels))
        chosen = torch.from_numpy(rng.choice(len(item.labels), size=size, replace=False))
        return LabelledFeatures(
            features=item.features[chosen].float(),
            labels=item.labels[chosen],
            frame_ids=item.frame_ids,
        )

    return sample_batches(draw, plan, workers=0, bad_frames=recipe.data.bad_frames, join=_join)


def _encode(encoder: Encoder, frame: Frame, sample: Sample) -> LabelledFeatures:
    """Features of the labelled points of a frame that have any; in 16 bits where they fit."""
    encoded = encoder(frame, sample)
    assert sample.labels is not None  # noqa: S101  labels_of has seen them
    keep = encoded.valid & (sample.labels != IGNORE)
    features = encoded.features[keep]
    low = features.half()
    exact = isinstance(encoder, InputEncoder) or not bool(low.isfinite().all())
    return LabelledFeatures(
        features=features if exact else low,
        labels=sample.labels[keep],
        frame_ids=(frame.frame_id,),
    )


def _join(items: list[LabelledFeatures]) -> LabelledFeatures:
    return LabelledFeatures(
        features=torch.cat([item.features for item in items]),
        labels=torch.cat([item.labels for item in items]),
        frame_ids=tuple(name for item in items for name in item.frame_ids),
    )
