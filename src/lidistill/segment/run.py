"""Segmentation on top of a backbone: linear probe and fine-tuning, by one code path.

Shape letters: M points, C channels.
"""

import functools
from collections.abc import Callable, Generator
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from lidistill.backbones.base import Backbone
from lidistill.config import InferencePrecision
from lidistill.datasets import FrameDataset
from lidistill.distributed import processes as distributed
from lidistill.distributed.all_reduce import gather_over_ranks
from lidistill.labels import IGNORE
from lidistill.loading.config import (
    SampleMaker,
    sample_batches,
    step_plan,
)
from lidistill.loading.input_statistics import frames_seen, input_statistics
from lidistill.loading.mixture import Concatenation
from lidistill.loading.order import StepPlan
from lidistill.records import Batch, Frame, Sample
from lidistill.samples.distillation import SamplingConfig
from lidistill.samples.labelled import labelled_sample, scan_sample
from lidistill.samples.preparer import Preparer, for_batches_on
from lidistill.segment.encoders import Encoder
from lidistill.segment.feature_bank import LabelledFeatures, bank_batches
from lidistill.segment.heads import SegmentationHead
from lidistill.segment.inference import inference_encoder, settle
from lidistill.segment.initial_networks import build_initial_networks, load_head
from lidistill.segment.losses import cross_entropy_lovasz
from lidistill.segment.recipe import FinetuneRecipe, LabelRecipe, ProbeRecipe
from lidistill.training.config import BatchSource, Training
from lidistill.training.loop import train
from lidistill.training.precision import pick_device

T = TypeVar("T")


class Segmenter(nn.Module):
    """A backbone (or none) under a BatchNorm and a linear layer.

    Args:
        backbone: The 3D network; None where features come from elsewhere.
        head: From features to classes.
        train_backbone: Whether the backbone learns; else it stays in evaluation mode.
        lovasz_weight: Weight of the Lovasz-softmax term.
    """

    def __init__(
        self,
        backbone: Backbone | None,
        head: SegmentationHead,
        *,
        train_backbone: bool,
        lovasz_weight: float,
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = head
        self._train_backbone = train_backbone
        self._lovasz_weight = lovasz_weight
        if backbone is not None:
            backbone.requires_grad_(train_backbone)

    @property
    def num_layers(self) -> int:
        """See ``training.optimizer.Layered``."""
        return 0 if self.backbone is None else self.backbone.num_layers

    def layer_of(self, parameter_name: str) -> int:
        """See ``training.optimizer.Layered``."""
        part, _, name = parameter_name.partition(".")
        if part == "backbone" and self.backbone is not None:
            return self.backbone.layer_of(name)
        return self.num_layers + 1

    def train(self, mode: bool = True) -> "Segmenter":  # noqa: FBT001  torch's signature
        """Switch the head, and the backbone only if it learns."""
        super().train(mode)
        if self.backbone is not None and not self._train_backbone:
            self.backbone.eval()
        return self

    def logits(self, item: Batch | LabelledFeatures) -> Tensor:
        """(M, classes) scores."""
        if isinstance(item, LabelledFeatures):
            return self.head(item.features)
        assert self.backbone is not None  # noqa: S101  only LabelledFeatures come without
        with torch.set_grad_enabled(self._train_backbone and torch.is_grad_enabled()):
            features_MC = self.backbone(item)
        return self.head(features_MC)

    def forward(self, item: Batch | LabelledFeatures) -> dict[str, Tensor]:
        """Cross-entropy plus Lovasz-softmax, and the share of points that are right."""
        labels_M = item.labels
        assert labels_M is not None  # noqa: S101  made by labelled samples only
        # The Lovász loss is no mean over points, so it needs those of all processes.
        logits = gather_over_ranks(self.logits(item).float())
        labels_M = gather_over_ranks(labels_M)
        loss = cross_entropy_lovasz(logits, labels_M, lovasz_weight=self._lovasz_weight)
        with torch.no_grad():
            counted = labels_M != IGNORE
            right = (logits.argmax(1) == labels_M) & counted
            accuracy = right.sum() / counted.sum().clamp(min=1)
        return {"loss": loss, "accuracy": accuracy}


@dataclass(frozen=True, slots=True, kw_only=True)
class Segmentation:
    """A trained segmenter with all that is needed to use it."""

    segmenter: Segmenter
    encoder: Encoder
    """Features of a frame, where they do not come from the segmenter's own backbone."""
    preparer: Preparer
    """Makes the samples' inputs."""
    description: str
    """What the features come from."""
    networks: dict[str, Any]
    """Configurations of backbone and teacher, as JSON values."""

    def for_scores(
        self, precision: InferencePrecision, frames: FrameDataset, sampling: SamplingConfig
    ) -> "Segmentation":
        """The same, with its network as it computes in a precision.

        Args:
            precision: Of the products. ``auto`` looks at the classes of the first frames.
            frames: What will be scored, the same in every process.
            sampling: How a frame becomes a sample.
        """
        encoder = inference_encoder(self.encoder, precision, self.segmenter.head.eval())
        samples = (scan_sample(frames[i], sampling, self.preparer) for i in range(len(frames)))
        settle(encoder, samples, len(frames))
        return replace(self, encoder=encoder)

    def predict(self, frame: Frame, sample: Sample) -> tuple[Tensor, Tensor]:
        """(M,) classes of a sample, and (M,) whether a point has features."""
        scores, valid = self.class_scores(frame, sample)
        return scores.argmax(1), valid

    @torch.no_grad()
    def class_scores(self, frame: Frame, sample: Sample) -> tuple[Tensor, Tensor]:
        """(M, classes) probabilities, and (M,) whether a point has features."""
        self.segmenter.eval()
        encoded = self.encoder(frame, sample)
        device = next(self.segmenter.parameters()).device
        item = LabelledFeatures(
            features=encoded.features, labels=torch.empty(0), frame_ids=(frame.frame_id,)
        ).to(device)
        with torch.autocast(device.type, enabled=False):  # whatever the caller is in
            return self.segmenter.logits(item).float().softmax(1).cpu(), encoded.valid


def build_segmentation(recipe: LabelRecipe, num_classes: int, device: torch.device) -> Segmentation:
    """The networks of a recipe, before training."""
    origin = build_initial_networks(recipe, device)
    torch.manual_seed(recipe.seed)
    segmenter = Segmenter(
        origin.backbone,
        SegmentationHead(origin.encoder.num_channels, num_classes),
        train_backbone=isinstance(recipe, FinetuneRecipe),
        lovasz_weight=recipe.lovasz_weight,
    )
    return Segmentation(
        segmenter=segmenter,
        encoder=origin.encoder,
        preparer=origin.preparer,
        description=origin.description,
        networks=origin.networks,
    )


def train_on_labels(recipe: LabelRecipe, dataset: Concatenation) -> Segmentation:
    """Train a linear probe, or backbone and head.

    Args:
        recipe: The run.
        dataset: Its frames.
    """
    device = pick_device(recipe.device)
    distributed.join_group(device)
    label_names = dataset.label_map.class_names
    segmentation = build_segmentation(recipe, len(label_names), device)
    if isinstance(recipe, FinetuneRecipe) and recipe.head == "checkpoint":
        load_head(segmentation.segmenter.head, recipe.checkpoint, label_names)
    plan = step_plan(
        recipe.data.order(dataset, recipe.seed), recipe.train.batch_size, recipe.train.micro_batch
    )
    recipe.check_length(plan.steps_per_epoch)
    if isinstance(recipe, ProbeRecipe) and (
        recipe.cache_features or segmentation.segmenter.backbone is None
    ):
        batches = bank_batches(recipe, dataset, segmentation.encoder, segmentation.preparer, plan)
    else:
        preparer = for_batches_on(device, segmentation.preparer)
        batches = _point_batches(recipe, dataset, preparer, plan, device)
    train(
        Training(
            module=segmentation.segmenter,
            feed=BatchSource(
                batches=batches,
                steps_per_epoch=plan.steps_per_epoch,
                weight=lambda item: max(1, int((item.labels != IGNORE).sum())),
                sources=lambda item: item.frame_ids,
                source_word="frames",
            ),
            recipe=recipe,
            device=device,
            meta=input_statistics(recipe.data)
            | {
                "label_names": list(label_names),
                "start": segmentation.description,
                "networks": segmentation.networks,
                "frames": frames_seen(recipe.data, dataset),
            },
            loss_is_shared=True,
            rate_name="points_per_s",
        )
    )
    return segmentation


def _point_batches(
    recipe: LabelRecipe,
    dataset: FrameDataset,
    preparer: Preparer,
    plan: StepPlan,
    device: torch.device,
) -> Callable[[int, int], Generator[list[Any], None, None]]:
    make = functools.partial(labelled_sample, config=recipe.sampling, preparer=preparer)
    return sample_batches(
        SampleMaker(dataset, make, recipe.seed, recipe.data.corruption),
        plan,
        workers=recipe.workers,
        bad_frames=recipe.data.bad_frames,
        device=device,
    )
