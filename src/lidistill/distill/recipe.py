"""What a distillation run is made of, as configuration."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from lidistill.backbones import FORMER_KEYS, BackboneConfig
from lidistill.config import Config, MayChange, MayMove
from lidistill.distill.heads import HeadConfig, LinearHeadConfig
from lidistill.distill.losses import LossForm
from lidistill.distill.teacher_config import OneTeacherConfig, TeachersConfig, by_name
from lidistill.loading.config import FORMER_KEYS as FORMER_DATA_KEYS
from lidistill.loading.config import DataConfig
from lidistill.loading.mixture import Concatenation
from lidistill.training.config import RunRecipe
from lidistill.training.optimizer import OptimizerConfig
from lidistill.training.schedules import CosineSchedule, Schedule


class TargetConfig(Config):
    """What is done to the teacher's features before the student sees them."""

    center_batches: Annotated[int, Field(ge=0)] = 0
    """Subtract the mean feature, learned from the first so many forward passes; 0 leaves the
    features raw."""
    spread_batches: Annotated[int, Field(ge=1)] = 50
    """Of several teachers: the spread of each is learned from the first so many forward passes;
    from the first ``center_batches`` where these are not 0."""
    class_token: Annotated[float, Field(ge=0)] = 0.0
    """Weight of matching an image's class token with the mean feature of its points, by a head of
    its own; 0: where the teacher gives one, it is part of the feature of each pixel."""


class FiguresConfig(Config):
    """Figures of the features, written at the end of a run."""

    enabled: bool = True
    frames: tuple[str, ...] = ()
    """Frame ids; the first and the middle frame of the data where empty."""
    point: tuple[float, float, float] | None = None
    """Point of the correlation map, metres in the lidar frame; chosen where None."""


class PretrainRecipe(RunRecipe):
    """A complete distillation run."""

    kind: Literal["pretrain"]
    data: DataConfig
    backbone: BackboneConfig
    head: HeadConfig = LinearHeadConfig()
    init: MayMove[Path | None] = None
    """Run whose weights to start with, for example that of `lidistill import-checkpoint`; random
    where None. A run that goes on no longer needs it."""
    teacher: TeachersConfig
    """One teacher; or several, each under a name of its own, which its head keeps."""
    samples: MayChange[Literal["workers", "device"]] = "workers"
    """Where frames become samples: in the worker processes, or, where these cannot keep up with
    the GPUs, on the device. Samples are equal, but for the last bit of the radius and what the
    backbone's preparer leaves open."""
    teacher_cache: MayMove[Path | None] = None
    """Folder of a cache of teacher features; once it is full no image is decoded any more.
    A cache rounds the features to 16 bits; without one they keep 32."""
    target: TargetConfig = TargetConfig()
    loss: LossForm = "distance"
    optimizer: OptimizerConfig = OptimizerConfig()
    schedule: Schedule = CosineSchedule(warmup_steps=3500)
    figures: MayChange[FiguresConfig] = FiguresConfig()

    @model_validator(mode="after")
    def _one_rate_for_all_layers(self) -> Self:
        if self.optimizer.layer_decay is not None:
            msg = (
                f"optimizer.layer_decay={self.optimizer.layer_decay:g} lets layers learn more "
                "slowly the deeper they lie, for weights that were pretrained; a distillation has "
                "one rate for all: set optimizer.layer_decay=null"
            )
            raise ValueError(msg)
        return self

    @model_validator(mode="after")
    def _colours_are_not_cached(self) -> Self:
        jitter = self.data.sampling.image_augmentation.jitter
        if jitter and self.teacher_cache is not None:
            msg = (
                f"data.sampling.image_augmentation.jitter={jitter:g} gives an image other colours "
                "each time, but a teacher_cache keeps one set of features of it; set "
                "teacher_cache=null, or jitter=0"
            )
            raise ValueError(msg)
        return self

    @property
    def teachers(self) -> dict[str, OneTeacherConfig]:
        """All teachers by name; one without a name is called ``UNNAMED_TEACHER``."""
        return by_name(self.teacher)

    def build_data(self) -> Concatenation:
        """The frames to learn from; where no teacher looks at images, they need none."""
        kinds = {config.kind for config in self.teachers.values()}
        return self.data.build(with_images=kinds != {"lidistill"})

    former: ClassVar[Mapping[str, str]] = {
        **FORMER_KEYS["pretrain"],
        **FORMER_DATA_KEYS,
        "pictures": "figures",
    }
