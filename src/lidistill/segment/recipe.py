"""Recipes of training on labels: the linear probe, and fine-tuning."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self, TypeAlias

from pydantic import Field, ValidationInfo, field_validator, model_validator

from lidistill.backbones import FORMER_KEYS, BackboneConfig, is_legacy_default, network_changes
from lidistill.config import InferencePrecision, MayChange, MayMove, Workers, with_moved_keys
from lidistill.loading.config import FORMER_KEYS as FORMER_DATA_KEYS
from lidistill.loading.config import ScoredSetsConfig, TrainSetsConfig
from lidistill.samples.distillation import SamplingConfig
from lidistill.segment.test_time_augmentation import TtaConfig
from lidistill.teachers import TeacherConfig
from lidistill.training.config import RunRecipe
from lidistill.training.optimizer import OptimizerConfig
from lidistill.training.schedules import CosineSchedule, Schedule


class _LabelRecipe(RunRecipe):
    """What a linear probe and fine-tuning share."""

    checkpoint: Path | None = None
    """Run folder or checkpoint of a distillation, or of ``lidistill import-checkpoint``."""
    features: str = "backbone"
    backbone: BackboneConfig | None = None
    """Network where no checkpoint says it."""
    network: dict[str, Any] = Field(default_factory=dict)
    """Keys of the network's configuration in place of its own, for example another field of view;
    its weights must fit. null: as the network has it."""
    data: TrainSetsConfig
    evaluation: MayChange[ScoredSetsConfig]
    votes: MayChange[TtaConfig] = TtaConfig()
    sampling: SamplingConfig = SamplingConfig()
    workers: MayChange[Workers] = 0
    inference: MayChange[InferencePrecision] = "fp32"
    """Arithmetic of the network where it does not learn: for scores, and for a probe's features
    that are computed once. ``auto``: see ``lidistill.backbones.checked``."""
    lovasz_weight: Annotated[float, Field(ge=0)] = 1.0
    schedule: Schedule = CosineSchedule(warmup_epochs=2)

    former: ClassVar[Mapping[str, str]] = {**FORMER_KEYS["probe"], **FORMER_DATA_KEYS}
    changes: ClassVar[dict[str, Any]] = {}
    """To the network, where the recipe says nothing of them."""

    @model_validator(mode="before")
    @classmethod
    def _present_keys(cls, values: Any) -> Any:
        values = with_moved_keys(values, cls.former)
        if not isinstance(values, dict):
            return values
        given = values.get("network")
        if not isinstance(given, dict | None):
            return values
        said = {k: v for k, v in (given or {}).items() if v is not None or k in cls.changes}
        return values | {"network": cls.changes | said}

    @field_validator("network")
    @classmethod
    def _fits_a_network(cls, values: dict[str, Any], info: ValidationInfo) -> dict[str, Any]:
        return network_changes(values, info.data.get("backbone"))

    def as_present(self, stored: dict[str, Any]) -> dict[str, Any]:
        """See ``RunRecipe.as_present``."""
        values = super().as_present(stored)
        network = {
            key: value
            for key, value in values.get("network", {}).items()
            if key in self.network or not is_legacy_default(key, value)
        }
        return values | {"network": network}


class ProbeRecipe(_LabelRecipe):
    """A complete run of a linear probe: a BatchNorm and a linear layer learn, nothing else."""

    kind: Literal["probe"]
    features: Literal["backbone", "random", "input", "teacher"] = "backbone"
    """What the probe stands on: the checkpoint's backbone, the same network with random weights,
    the input channels, or the checkpoint's teacher read at the points."""
    teacher_name: str | None = None
    """Which teacher of a checkpoint that learned from several."""
    teacher: TeacherConfig | None = None
    """Teacher where no checkpoint says it."""
    teacher_cache: MayMove[Path | None] = None
    cache_features: bool = False
    """Compute the frozen features once, without augmentation; many times faster."""
    optimizer: OptimizerConfig = OptimizerConfig(lr=1e-3, weight_decay=3e-3)

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.cache_features and self.sampling.augmentation.kind != "none":
            msg = "cache_features=true leaves no room for sampling.augmentation; set its kind: none"
            raise ValueError(msg)
        if self.data.corruption is not None and (
            self.cache_features or self.features in {"input", "teacher"}
        ):
            msg = (
                "data.corruption needs samples that are made anew at each step: set "
                "cache_features=false and features=backbone or random, or leave it out"
            )
            raise ValueError(msg)
        return self


class FinetuneRecipe(_LabelRecipe):
    """A complete run in which backbone and head learn from labels.

    References:
        ScaLR (CVPR 2024), fine-tuning: layer-wise learning rates, stochastic depth 0.2. A. Kumar
        et al., "Fine-tuning can distort pretrained features", ICLR 2022: first the head alone.
    """

    kind: Literal["finetune"]
    features: Literal["backbone", "random"] = "backbone"
    """Where the backbone starts: the checkpoint's weights, or random ones (from scratch)."""
    head: Literal["zero", "checkpoint"] = "zero"
    """Where the head starts: at zero, as in the paper, or where the checkpoint's own ended, which
    is then that of a probe (or of another fine-tuning) of the same classes."""
    optimizer: OptimizerConfig = OptimizerConfig(lr=2e-3, weight_decay=0, layer_decay=0.99)

    former: ClassVar[Mapping[str, str]] = {**FORMER_KEYS["finetune"], **FORMER_DATA_KEYS}
    changes: ClassVar[dict[str, Any]] = {"drop_path": 0.2}

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.head == "checkpoint" and (self.checkpoint is None or self.features == "random"):
            msg = "head=checkpoint needs checkpoint=RUN, a probe's, and features=backbone"
            raise ValueError(msg)
        return self

    @property
    def teacher(self) -> None:
        """Labels teach."""
        return None

    @property
    def teacher_name(self) -> None:
        """Labels teach."""
        return None

    @property
    def teacher_cache(self) -> None:
        """Labels teach."""
        return None


LabelRecipe: TypeAlias = ProbeRecipe | FinetuneRecipe
"""Any run that learns from labels."""
