"""Distillation: points learn the teacher's feature of their pixel.

Shape letters: M points, P pairs, C student channels, T teacher channels.
"""

import functools
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from lidistill.backbones import BackboneConfig
from lidistill.backbones.base import Backbone
from lidistill.config import Config, Seed, with_defaults
from lidistill.datasets import FrameDataset
from lidistill.distill.device_samples import DeviceSamples
from lidistill.distill.heads import HeadConfig, LinearHeadConfig, build_head
from lidistill.distill.initial_weights import load_initial
from lidistill.distill.losses import LossForm, distillation_loss
from lidistill.distill.matching import Matching, mean_by_view
from lidistill.distributed import processes as distributed
from lidistill.distributed.all_reduce import sum_over_ranks
from lidistill.loading.config import (
    MAY_CHANGE,
    MAY_MOVE,
    Batches,
    DataConfig,
    SampleMaker,
    sample_batches,
    step_plan,
)
from lidistill.loading.input_statistics import frames_seen, input_statistics
from lidistill.loading.loader import StepPlan
from lidistill.records import Batch
from lidistill.samples.distillation import distillation_sample
from lidistill.teachers import ChannelGroup, TeacherConfig
from lidistill.teachers.centering import TargetCenter
from lidistill.teachers.target_reader import TargetReader
from lidistill.training.checkpoint import has_checkpoint
from lidistill.training.loop import TrainConfig, Training, train
from lidistill.training.optimizer import OptimizerConfig
from lidistill.training.precision import log_paths, pick_device
from lidistill.training.schedules import CosineSchedule, Schedule


class TargetConfig(Config):
    """What is done to the teacher's features before the student sees them."""

    center_batches: Annotated[int, Field(ge=0)] = 0
    """Subtract the mean feature, learned from the first so many forward passes; 0 leaves the
    features raw."""
    class_token: Annotated[float, Field(ge=0)] = 0.0
    """Weight of matching a picture's class token with the mean feature of its points, by a head of
    its own; 0: where the teacher gives one, it is part of the feature of each pixel."""


class PicturesConfig(Config):
    """Pictures of the features, written at the end of a run."""

    enabled: bool = True
    frames: tuple[str, ...] = ()
    """Frame ids; the first and the middle frame of the data where empty."""
    point: tuple[float, float, float] | None = None
    """Point of the correlation map, metres in the lidar frame; chosen where None."""


class PretrainRecipe(Config):
    """A complete distillation run."""

    kind: Literal["pretrain"]
    name: str
    output: Path
    """Run folder."""
    seed: Seed = 0
    device: str = "auto"
    data: DataConfig
    backbone: BackboneConfig
    head: HeadConfig = LinearHeadConfig()
    init: Path | None = None
    """Run whose weights to start with, for example that of `lidistill import-checkpoint`; random
    where None. A run that goes on no longer needs it."""
    teacher: TeacherConfig
    samples: Literal["workers", "device"] = "workers"
    """Where frames become samples: in the worker processes, or, where these cannot keep up with
    the GPUs, on the device. Samples are equal, but for the order of neighbours on the same distance
    and the last bit of the radius. On the device a frame without a pair ends the run, whatever
    ``data.bad_frames`` says."""
    teacher_cache: Path | None = None
    """Folder of a cache of teacher features; once it is full no picture is decoded any more."""
    target: TargetConfig = TargetConfig()
    loss: LossForm = "distance"
    optimizer: OptimizerConfig = OptimizerConfig()
    schedule: Schedule = CosineSchedule(warmup_steps=3500)
    train: TrainConfig
    pictures: PicturesConfig = PicturesConfig()


@dataclass(frozen=True, slots=True, kw_only=True)
class DistillItem:
    """Points and the teacher's features at their pixels."""

    batch: Batch
    target: Tensor
    """(P, T) float32."""


class Distiller(nn.Module):
    """Backbone and head under the distillation loss; all that is trained, and nothing else.

    Args:
        backbone: The 3D network.
        head: From its channels to those of the teacher that points are compared with.
        center: Mean of the teacher's features, or None to leave them raw.
        matching: Which channels of the teacher are compared with what.
        class_head: From the backbone's channels to those that pictures are compared with.
    """

    def __init__(
        self,
        backbone: Backbone,
        head: nn.Module,
        center: TargetCenter | None,
        *,
        matching: Matching,
        class_head: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = head
        self.center = center
        self.matching = matching
        self.class_head = class_head

    def forward(self, item: DistillItem) -> dict[str, Tensor]:
        """Loss and mean cosine over the pairs of an item, and over its pictures.

        References:
            ScaLR (CVPR 2024), equation 1. Several layers with a head each, class tokens and the
            cosine instead of the distance after HilDA (ECCV 2026), where the class token has a
            learned token of the student as its counterpart; here that is the mean over points.
        """
        pairs = item.batch.pairs
        assert pairs is not None  # noqa: S101  distillation samples always carry pairs
        target_PT = item.target
        if self.center is not None:
            if self.training:
                self.center.update(target_PT, sum_over_ranks)
            target_PT = self.center(target_PT)
        target_PD, target_PE = self.matching.separate(target_PT)
        features_PC = self.backbone(item.batch)[pairs.point]
        loss, cosine = distillation_loss(
            self.head(features_PC),
            target_PD,
            widths=self.matching.widths(by_picture=False),
            form=self.matching.loss,
        )
        if self.class_head is None:
            return {"loss": loss, "cosine": cosine}
        # Pictures weigh as many points as they show, so cutting a batch in parts changes nothing.
        features_VC, count_V = mean_by_view(features_PC, pairs.view)
        class_loss, class_cosine = distillation_loss(
            self.class_head(features_VC),
            mean_by_view(target_PE, pairs.view)[0],
            widths=self.matching.widths(by_picture=True),
            form=self.matching.loss,
            weight_P=count_V,
        )
        loss = loss + self.matching.class_token * class_loss
        return {"loss": loss, "cosine": cosine, "class_cosine": class_cosine}


def build_distiller(recipe: PretrainRecipe, groups: tuple[ChannelGroup, ...]) -> Distiller:
    """The networks of a recipe, with freshly drawn weights.

    Args:
        recipe: The run.
        groups: What the teacher's channels are.

    Raises:
        ConfigError: If the teacher does not give what the recipe wants to match.
    """
    matching = Matching(
        groups=groups,
        per_layer=recipe.head.per_layer,
        class_token=recipe.target.class_token,
        loss=recipe.loss,
    )
    torch.manual_seed(recipe.seed)
    backbone = recipe.backbone.build()
    channels = backbone.num_channels
    head = build_head(recipe.head, channels, matching.widths(by_picture=False))
    by_picture = matching.widths(by_picture=True)
    class_head = build_head(recipe.head, channels, by_picture) if by_picture else None
    batches, num_channels = recipe.target.center_batches, sum(g.num_channels for g in groups)
    center = TargetCenter(num_channels, num_batches=batches) if batches else None
    return Distiller(backbone, head, center, matching=matching, class_head=class_head)


def _batches(
    recipe: PretrainRecipe, dataset: FrameDataset, plan: StepPlan, device: torch.device
) -> Batches:
    """The batches of every step, with samples from where the recipe wants them made."""
    grid, load_images = recipe.backbone.grid, recipe.teacher_cache is None
    if recipe.samples == "device":
        return DeviceSamples(
            dataset=dataset,
            data=recipe.data,
            grid=grid,
            seed=recipe.seed,
            load_images=load_images,
            device=device,
        ).batches(plan)
    make = functools.partial(
        distillation_sample, config=recipe.data.sampling, grid=grid, load_images=load_images
    )
    return sample_batches(
        SampleMaker(dataset, make, recipe.seed),
        plan,
        workers=recipe.data.workers,
        bad_frames=recipe.data.bad_frames,
    )


def pretrain(recipe: PretrainRecipe) -> Path:
    """Run a distillation recipe to its end, or from where it was cut.

    Returns:
        The last checkpoint.
    """
    device = pick_device(recipe.device)
    distributed.start(device)
    dataset = recipe.data.build()
    plan = step_plan(recipe.data.order(dataset, recipe.seed), recipe)
    teacher = recipe.teacher.build().to(device)
    sampling = recipe.data.sampling
    reader = TargetReader(teacher, sampling, recipe.teacher_cache)
    if distributed.is_first():
        log_paths([teacher], device, recipe.train.precision)
    distiller = build_distiller(recipe, teacher.groups)
    meta = input_statistics(recipe.data, recipe.backbone.grid) | {
        "teacher": teacher.name,
        "frames": frames_seen(recipe.data, dataset),
    }
    if recipe.init is not None and not has_checkpoint(recipe.output):
        meta["init"] = load_initial(
            distiller.backbone, distiller.head, run=recipe.init, teacher=teacher.name
        )

    def prepare(batch: Batch, target_device: torch.device) -> DistillItem:
        moved = batch.to(target_device)
        return DistillItem(batch=moved, target=reader(moved))

    return train(
        Training(
            module=distiller,
            prepare=prepare,
            weight=lambda batch: len(batch.pairs),
            batches=_batches(recipe, dataset, plan, device),
            run=recipe.output,
            config=recipe.train,
            optimizer=recipe.optimizer,
            schedule=recipe.schedule,
            steps_per_epoch=plan.steps_per_epoch,
            device=device,
            seed=recipe.seed,
            recipe=recipe.model_dump(mode="json"),
            meta=meta,
            rate_name="pairs_per_s",
            complete=functools.partial(with_defaults, PretrainRecipe),
            may_change=MAY_CHANGE,
            may_move=MAY_MOVE,
        )
    )
