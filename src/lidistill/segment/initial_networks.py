"""Where training on labels starts from: a checkpoint, random weights, the inputs or the teacher."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from pydantic import TypeAdapter, ValidationError
from torch import nn

from lidistill.atomic_write import sha256
from lidistill.backbones import BackboneConfig, changed
from lidistill.backbones.base import Backbone
from lidistill.config import reason_of
from lidistill.errors import CheckpointError, ConfigError, unknown_name
from lidistill.samples.distillation import SamplingConfig
from lidistill.samples.preparer import Preparer
from lidistill.segment.encoders import BackboneEncoder, Encoder, InputEncoder, TeacherEncoder
from lidistill.teachers import TeacherConfig
from lidistill.teachers.precision import for_run
from lidistill.teachers.target_reader import TargetReader
from lidistill.training.checkpoint import Checkpoint, load_checkpoint, newest_checkpoint
from lidistill.training.checkpoint_record import WEIGHTS
from lidistill.training.config import TrainConfig
from lidistill.training.fitting import (
    backbone_weights,
    build_fitting,
    load_weights,
    part_of,
    stored_config,
)

_DIGEST = "weights "


class InitialNetworksRecipe(Protocol):
    """What of a recipe says where to start."""

    @property
    def checkpoint(self) -> Path | None: ...  # noqa: D102
    @property
    def features(self) -> str: ...  # noqa: D102
    @property
    def seed(self) -> int: ...  # noqa: D102
    @property
    def backbone(self) -> BackboneConfig | None: ...  # noqa: D102
    @property
    def network(self) -> dict[str, Any]: ...  # noqa: D102
    @property
    def teacher(self) -> TeacherConfig | None: ...  # noqa: D102
    @property
    def teacher_name(self) -> str | None: ...  # noqa: D102
    @property
    def teacher_cache(self) -> Path | None: ...  # noqa: D102
    @property
    def sampling(self) -> SamplingConfig: ...  # noqa: D102
    @property
    def train(self) -> TrainConfig: ...  # noqa: D102


@dataclass(frozen=True, slots=True, kw_only=True)
class InitialNetworks:
    """Networks to begin with."""

    backbone: Backbone | None
    encoder: Encoder
    preparer: Preparer
    """Makes the samples' inputs."""
    description: str
    networks: dict[str, Any]
    """Configurations of backbone and teacher (or None), as JSON values."""


def build_initial_networks(recipe: InitialNetworksRecipe, device: torch.device) -> InitialNetworks:
    """Build what a recipe stands on.

    Raises:
        ConfigError: If neither the recipe nor a checkpoint says which network or teacher.
        CheckpointError: If the checkpoint does not fit.
    """
    checkpoint = None
    if recipe.checkpoint is not None and _needs_checkpoint(recipe):
        checkpoint = load_checkpoint(recipe.checkpoint)
    config = _backbone_config(recipe, checkpoint)
    preparer = config.inputs()
    teacher = _teacher_config(recipe, checkpoint)
    backbone: Backbone | None = None
    encoder: Encoder
    if recipe.features == "teacher":
        encoder = _teacher_encoder(recipe, teacher, device)
        description = "teacher's features at the points"
    elif recipe.features == "input":
        encoder, description = InputEncoder(len(preparer.channels)), "input channels"
    else:
        backbone, description = _origin_backbone(recipe, config, checkpoint)
        encoder = BackboneEncoder(backbone.to(device))
    return InitialNetworks(
        backbone=backbone,
        encoder=encoder,
        preparer=preparer,
        description=description,
        networks={
            "backbone": config.model_dump(mode="json"),
            "teacher": None if teacher is None else teacher.model_dump(mode="json"),
        },
    )


def _needs_checkpoint(recipe: InitialNetworksRecipe) -> bool:
    """Whether the recipe itself does not say everything."""
    of_teacher = recipe.features == "teacher" and recipe.teacher is None
    return recipe.features == "backbone" or recipe.backbone is None or of_teacher


def _origin_backbone(
    recipe: InitialNetworksRecipe, config: BackboneConfig, checkpoint: Checkpoint | None
) -> tuple[Backbone, str]:
    torch.manual_seed(recipe.seed)
    if recipe.features == "random":
        return config.build(), f"network with random weights, seed {recipe.seed}"
    if checkpoint is None:
        msg = (
            "features=backbone needs a distilled network: give checkpoint=RUN (a folder that "
            "`lidistill pretrain` wrote), or features=random."
        )
        raise ConfigError(msg)
    weights = backbone_weights(checkpoint)
    backbone = build_fitting(config.build, weights, source=checkpoint.path)
    digest = sha256(checkpoint.path / WEIGHTS)[:12]
    return backbone, f"backbone of {checkpoint.path}, {_DIGEST}{digest}"


def has_changed(start: str, checkpoint: Path) -> bool:
    """Whether a description of ``InitialNetworks`` names other weights than a checkpoint holds now.

    Args:
        start: As ``results.json`` has it; one that names no weights has not changed.
        checkpoint: Run folder or checkpoint.
    """
    digest, path = digest_in(start), newest_checkpoint(checkpoint)
    return bool(digest) and not sha256(path / WEIGHTS).startswith(digest)


def digest_in(start: str) -> str:
    """First digits of the weights' checksum in a description of ``InitialNetworks``, or ""."""
    return start.partition(_DIGEST)[2]


def load_head(head: nn.Module, run: Path | None, label_names: Sequence[str]) -> None:
    """Start a segmentation head with what that of another run has learned.

    Args:
        head: Changed.
        run: Run folder or checkpoint of a probe or a fine-tuning.
        label_names: The classes that are to be learned.

    Raises:
        CheckpointError: If the run learned no classes, or others.
    """
    assert run is not None  # noqa: S101  checked by the recipe
    checkpoint = load_checkpoint(run)
    learned = checkpoint.meta.get("label_names")
    if learned != list(label_names):
        what = f"the {len(learned)} classes {', '.join(learned)}" if learned else "no classes"
        msg = (
            f"head=checkpoint: {checkpoint.path} has learned {what}, this run learns "
            f"{', '.join(label_names)}; give a probe of the same classes, or head=zero."
        )
        raise CheckpointError(msg)
    load_weights(head, part_of(checkpoint, "head"), source=checkpoint.path)


def _backbone_config(
    recipe: InitialNetworksRecipe, checkpoint: Checkpoint | None
) -> BackboneConfig:
    config = recipe.backbone
    if config is None:
        stored = _stored(checkpoint, "backbone")
        if stored is None:
            msg = "which network? Give checkpoint=RUN, or a backbone in the recipe."
            raise ConfigError(msg)
        assert checkpoint is not None  # noqa: S101  it holds what is stored
        config = stored_backbone(stored, checkpoint)
    return changed_backbone(config, recipe.network)


def _teacher_config(
    recipe: InitialNetworksRecipe, checkpoint: Checkpoint | None
) -> TeacherConfig | None:
    stored = _stored(checkpoint, "teacher")
    if recipe.teacher is not None or stored is None:
        return recipe.teacher
    assert checkpoint is not None  # noqa: S101  it holds what is stored
    if "kind" not in stored:  # several, by name
        stored = _one_of(stored, recipe, checkpoint)
    elif recipe.teacher_name is not None:
        msg = f"{checkpoint.path} learned from one teacher, without a name; leave out teacher_name."
        raise ConfigError(msg)
    if stored is not None and stored.get("kind") == "lidistill":
        if recipe.features != "teacher":
            return None
        msg = (
            f"the teacher of {checkpoint.path} is the network of {stored.get('run')}; probe that "
            "run itself: checkpoint=THAT features=backbone."
        )
        raise ConfigError(msg)
    return None if stored is None else stored_teacher(stored, checkpoint)


def _one_of(
    stored: dict[str, Any], recipe: InitialNetworksRecipe, checkpoint: Checkpoint
) -> dict[str, Any] | None:
    """The one of several teachers that a recipe names; None where it has no use for one."""
    if recipe.features != "teacher":
        return None
    if recipe.teacher_name is None:
        msg = (
            f"{checkpoint.path} learned from several teachers ({', '.join(stored)}); say whose "
            "features are probed: teacher_name=NAME."
        )
        raise ConfigError(msg)
    if recipe.teacher_name not in stored:
        raise unknown_name("teacher", recipe.teacher_name, stored)
    one: dict[str, Any] = stored[recipe.teacher_name]
    return one


def stored_backbone(values: object, checkpoint: Checkpoint) -> BackboneConfig:
    """The network that a checkpoint says it is of.

    Raises:
        CheckpointError: If it is none.
    """
    return stored_config(TypeAdapter(BackboneConfig), values, checkpoint, "backbone")


def changed_backbone(config: BackboneConfig, changes: dict[str, Any]) -> BackboneConfig:
    """A network's configuration with a recipe's changes.

    Raises:
        ConfigError: If the network has no such key, or not that value of it.
    """
    try:
        return changed(config, changes)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, ("network", *first["loc"])))
        msg = (
            f"{where}: {reason_of(first['msg'])[:200]}; these are changes to a network of the "
            f"kind {config.kind!r}. {where}=null leaves it as it is."
        )
        raise ConfigError(msg) from error


def stored_teacher(values: object, checkpoint: Checkpoint) -> TeacherConfig:
    """The teacher that a checkpoint says it had.

    Raises:
        CheckpointError: If it is none.
    """
    return stored_config(TypeAdapter(TeacherConfig), values, checkpoint, "teacher")


def _teacher_encoder(
    recipe: InitialNetworksRecipe, config: TeacherConfig | None, device: torch.device
) -> TeacherEncoder:
    if config is None:
        msg = "which teacher? Give checkpoint=RUN, or a teacher in the recipe."
        raise ConfigError(msg)
    teacher = for_run(config, device, recipe.train.precision).build().to(device)
    reader = TargetReader(teacher, recipe.sampling, recipe.teacher_cache, settings=config)
    return TeacherEncoder(reader, device)


def _stored(checkpoint: Checkpoint | None, key: str) -> dict[str, Any] | None:
    """Configuration of a network: in the recipe of a distillation, beside what a probe built."""
    if checkpoint is None:
        return None
    return checkpoint.recipe.get(key) or checkpoint.meta.get("networks", {}).get(key)
