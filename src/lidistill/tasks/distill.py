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
from lidistill.config import Config
from lidistill.data.loader import StepPlan
from lidistill.data.pictures import read_picture, resize
from lidistill.data.sampling import distillation_sample
from lidistill.engine.loop import TrainConfig, Training, train
from lidistill.engine.optim import OptimizerConfig
from lidistill.engine.precision import pick_device
from lidistill.engine.schedules import CosineSchedule, Schedule
from lidistill.errors import TrainingError
from lidistill.heads import HeadConfig, LinearHeadConfig
from lidistill.losses import distillation_distances
from lidistill.structures import Batch
from lidistill.tasks.data_config import (
    MAY_CHANGE,
    DataConfig,
    SampleMaker,
    input_statistics,
    sample_batches,
)
from lidistill.teachers import TeacherConfig
from lidistill.teachers.base import Teacher, TeacherMaps
from lidistill.teachers.cache import FeatureCache
from lidistill.teachers.centering import TargetCenter


_CACHE_BYTES = 1 << 30  # of teacher features kept in memory beside the cache on disk


class TargetConfig(Config):
    """What is done to the teacher's features before the student sees them."""

    center_batches: Annotated[int, Field(ge=0)] = 0
    """Subtract the mean feature, learned from this many batches; 0 leaves the features raw."""


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
    seed: int = 0
    device: str = "auto"
    data: DataConfig
    backbone: BackboneConfig
    head: HeadConfig = LinearHeadConfig()
    teacher: TeacherConfig
    teacher_cache: Path | None = None
    """Folder of a cache of teacher features; filled once, then no picture is opened again."""
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
                self.center.update(target_PT)
            target_PT = self.center(target_PT)
        student_PT = self.head(self.backbone(item.batch)[pairs.point]).float()
        distance_P = distillation_distances(student_PT, target_PT)
        with torch.no_grad():
            cosine = 1 - 0.5 * distance_P.square().mean()
        return {"loss": distance_P.mean(), "cosine": cosine}


class TargetReader:
    """Teacher features at the pairs of a batch, from the network or from a cache.

    Args:
        teacher: The frozen network.
        size_hw: Picture size the teacher sees.
        cache: Where its features are kept, or None to compute them from the batch's pictures.
        antialias: How pictures are resized that the cache does not hold yet.
    """

    def __init__(
        self,
        teacher: Teacher,
        size_hw: tuple[int, int],
        *,
        cache: FeatureCache | None = None,
        antialias: bool = True,
    ) -> None:
        teacher.check_size(size_hw)
        self._teacher, self._size_hw, self._cache = teacher, size_hw, cache
        self._antialias = antialias

    def __call__(self, batch: Batch) -> Tensor:
        """(P, T) float32 features at the batch's pairs.

        Raises:
            TrainingError: If the batch has neither pictures nor cached features.
        """
        pairs = batch.pairs
        assert pairs is not None  # noqa: S101  distillation samples always carry pairs
        with torch.no_grad():
            if self._cache is None:
                if batch.images is None:
                    msg = "a batch without pictures needs a teacher cache; set teacher_cache."
                    raise TrainingError(msg)
                maps = self._teacher.maps(batch.images)
                return self._teacher.read(maps, pairs.view, pairs.uv, self._size_hw).float()
            target_PT = torch.empty(len(pairs), self._teacher.num_channels, device=pairs.uv.device)
            for view, path in enumerate(batch.image_paths):
                here = torch.nonzero(pairs.view == view).squeeze(1)
                target_PT[here] = self.at_pixels(path, pairs.uv[here])
            return target_PT

    def at_pixels(self, path: Path, uv_P2: Tensor) -> Tensor:
        """(P, T) float32 features of one picture at (P, 2) pixels of its resized form."""
        with torch.no_grad():
            first = torch.zeros(len(uv_P2), dtype=torch.int64, device=uv_P2.device)
            return self._teacher.read(self._maps(path), first, uv_P2, self._size_hw).float()

    def _maps(self, path: Path) -> TeacherMaps:
        cached = None if self._cache is None else self._cache.find(path)
        if cached is not None:
            return cached
        picture = torch.from_numpy(read_picture(path)).permute(2, 0, 1)
        maps = self._teacher.maps(resize(picture, self._size_hw, self._antialias)[None])
        if self._cache is None:
            return maps
        self._cache.put(path, maps)
        return self._cache.get(path)


def build_distiller(recipe: PretrainRecipe, teacher_channels: int) -> Distiller:
    """The networks of a recipe, with freshly drawn weights."""
    torch.manual_seed(recipe.seed)
    backbone = recipe.backbone.build()
    head = recipe.head.build(backbone.num_channels, teacher_channels)
    batches = recipe.target.center_batches
    center = TargetCenter(teacher_channels, num_batches=batches) if batches else None
    return Distiller(backbone, head, center)


def pretrain(recipe: PretrainRecipe) -> Path:
    """Run a distillation recipe to its end, or from where it was cut.

    Returns:
        The last checkpoint.
    """
    device = pick_device(recipe.device)
    dataset = recipe.data.build()
    teacher = recipe.teacher.build().to(device)
    sampling, size_hw = recipe.data.sampling, recipe.data.sampling.image_size_hw
    cache = None
    if recipe.teacher_cache is not None:
        key = f"{teacher.name}, antialias={sampling.antialias}"
        cache = FeatureCache(recipe.teacher_cache, key, size_hw, max_bytes=_CACHE_BYTES)
    reader = TargetReader(teacher, size_hw, cache=cache, antialias=sampling.antialias)
    plan = StepPlan(
        num_frames=len(dataset),
        batch_size=recipe.train.batch_size,
        micro_batch=recipe.train.micro_batch or recipe.train.batch_size,
        seed=recipe.seed,
    )
    make = functools.partial(
        distillation_sample,
        config=sampling,
        grid=recipe.backbone.grid,
        load_images=cache is None,
    )
    maker = SampleMaker(dataset, make, recipe.seed)

    def prepare(batch: Batch, target_device: torch.device) -> DistillItem:
        moved = batch.to(target_device)
        return DistillItem(batch=moved, target=reader(moved))

    return train(
        Training(
            module=build_distiller(recipe, teacher.num_channels),
            prepare=prepare,
            weight=lambda batch: len(batch.pairs),
            batches=sample_batches(maker, plan, workers=recipe.data.workers),
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
        )
    )
