"""Distillation: points learn the teacher's feature of their pixel.

Shape letters: M points, P pairs, C student channels, T teacher channels.
"""

import functools
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from lidistill.backbones import BackboneConfig
from lidistill.backbones.base import Backbone
from lidistill.collective import sum_over_ranks
from lidistill.config import Config, Seed
from lidistill.data import FrameDataset
from lidistill.data.device_sample import build_sample, raw_sample
from lidistill.data.loader import StepPlan
from lidistill.data.sampling import distillation_sample
from lidistill.engine import distributed
from lidistill.engine.loop import TrainConfig, Training, train
from lidistill.engine.optim import OptimizerConfig
from lidistill.engine.precision import pick_device
from lidistill.engine.schedules import CosineSchedule, Schedule
from lidistill.heads import HeadConfig, LinearHeadConfig
from lidistill.losses import distillation_distances
from lidistill.structures import Batch, collate
from lidistill.tasks.data_config import (
    MAY_CHANGE,
    MAY_MOVE,
    Batches,
    DataConfig,
    SampleMaker,
    input_statistics,
    sample_batches,
    step_plan,
)
from lidistill.tasks.targets import TargetReader
from lidistill.teachers import TeacherConfig
from lidistill.teachers.centering import TargetCenter


class TargetConfig(Config):
    """What is done to the teacher's features before the student sees them."""

    center_batches: Annotated[int, Field(ge=0)] = 0
    """Subtract the mean feature, learned from the first so many forward passes; 0 leaves the
    features raw."""


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
    teacher: TeacherConfig
    samples: Literal["workers", "device"] = "workers"
    """Where frames become samples: in the worker processes, or, where these cannot keep up with
    the GPUs, on the device. Samples are equal, but for the order of neighbours on the same distance
    and the last bit of the radius. On the device a frame without a pair ends the run, whatever
    ``data.bad_frames`` says."""
    teacher_cache: Path | None = None
    """Folder of a cache of teacher features; once it is full no picture is decoded any more."""
    target: TargetConfig = TargetConfig()
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
        head: From its channels to the teacher's.
        center: Mean of the teacher's features, or None to leave them raw.
    """

    def __init__(self, backbone: Backbone, head: nn.Module, center: TargetCenter | None) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = head
        self.center = center

    def forward(self, item: DistillItem) -> dict[str, Tensor]:
        """Mean distance and cosine over the pairs of an item.

        References:
            ScaLR (CVPR 2024), equation 1.
        """
        pairs = item.batch.pairs
        assert pairs is not None  # noqa: S101  distillation samples always carry pairs
        target_PT = item.target
        if self.center is not None:
            if self.training:
                self.center.update(target_PT, sum_over_ranks)
            target_PT = self.center(target_PT)
        student_PT = self.head(self.backbone(item.batch)[pairs.point])
        distance_P = distillation_distances(student_PT, target_PT)
        with torch.no_grad():
            cosine = 1 - 0.5 * distance_P.square().mean()
        return {"loss": distance_P.mean(), "cosine": cosine}


def build_distiller(recipe: PretrainRecipe, teacher_channels: int) -> Distiller:
    """The networks of a recipe, with freshly drawn weights."""
    torch.manual_seed(recipe.seed)
    backbone = recipe.backbone.build()
    head = recipe.head.build(backbone.num_channels, teacher_channels)
    batches = recipe.target.center_batches
    center = TargetCenter(teacher_channels, num_batches=batches) if batches else None
    return Distiller(backbone, head, center)


def _batches(
    recipe: PretrainRecipe, dataset: FrameDataset, plan: StepPlan, device: torch.device
) -> Batches:
    """The batches of every step, with samples from where the recipe wants them made."""
    sampling, grid = recipe.data.sampling, recipe.backbone.grid
    load_images = recipe.teacher_cache is None
    workers, bad_frames = recipe.data.workers, recipe.data.bad_frames
    if recipe.samples == "workers":
        make = functools.partial(
            distillation_sample, config=sampling, grid=grid, load_images=load_images
        )
        maker = SampleMaker(dataset, make, recipe.seed)
        return sample_batches(maker, plan, workers=workers, bad_frames=bad_frames)
    read = functools.partial(raw_sample, config=sampling, load_images=load_images)
    reader = SampleMaker(dataset, read, recipe.seed)
    raw = sample_batches(reader, plan, workers=workers, bad_frames=bad_frames, pack=list)

    def on_device(start: int, stop: int) -> Generator[list[Batch], None, None]:
        for group in raw(start, stop):
            passes = [[build_sample(one, sampling, grid, device) for one in part] for part in group]
            yield [collate(samples).to(device) for samples in passes]

    return on_device


def pretrain(recipe: PretrainRecipe) -> Path:
    """Run a distillation recipe to its end, or from where it was cut.

    Returns:
        The last checkpoint.
    """
    device = pick_device(recipe.device)
    distributed.start(device)
    dataset = recipe.data.build()
    teacher = recipe.teacher.build().to(device)
    sampling = recipe.data.sampling
    reader = TargetReader(teacher, sampling, recipe.teacher_cache)
    plan = step_plan(recipe.data.order(dataset, recipe.seed), recipe.train)

    def prepare(batch: Batch, target_device: torch.device) -> DistillItem:
        moved = batch.to(target_device)
        return DistillItem(batch=moved, target=reader(moved))

    return train(
        Training(
            module=build_distiller(recipe, teacher.num_channels),
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
            meta=input_statistics(recipe.data, recipe.backbone.grid) | {"teacher": teacher.name},
            rate_name="pairs_per_s",
            may_change=MAY_CHANGE,
            may_move=MAY_MOVE,
        )
    )
