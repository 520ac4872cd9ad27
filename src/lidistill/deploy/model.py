"""What of a run is needed to use its network, whether it lies in a run or in a model folder."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError
from safetensors.torch import save_file
from torch import Tensor, nn

from lidistill.atomic_write import replace_text, replacing, sha256, sync
from lidistill.backbones import Backbone
from lidistill.datasets.sensors import Sensor
from lidistill.deploy.licences import teacher_licence
from lidistill.deploy.model_config import (
    CONFIG,
    WEIGHTS,
    ClassHead,
    ModelConfig,
    Provenance,
    TeacherHead,
    read_config,
)
from lidistill.distill.heads import build_head
from lidistill.distill.recipe import PretrainRecipe
from lidistill.errors import CheckpointError, LidistillError, first_line
from lidistill.loading.config import SetsConfig
from lidistill.loading.input_statistics import input_statistics, pick_sensor
from lidistill.reading.safetensors_file import read_safetensors
from lidistill.recipes import Recipe, apply_overrides
from lidistill.segment.heads import SegmentationHead
from lidistill.segment.origin import changed_backbone, digest_in, stored_backbone
from lidistill.training.checkpoint import (
    MAX_WEIGHTS,
    Checkpoint,
    load_checkpoint,
    newest_checkpoint,
)
from lidistill.training.checkpoint_record import RECORD, check_sum, read_record
from lidistill.training.checkpoint_record import WEIGHTS as RUN_WEIGHTS
from lidistill.training.fitting import build_fitting

CENTER: Final = "center.mean"
"""What was subtracted from the teacher's features before the student saw them."""
_OUTPUT: Final = ("linear.weight", "linear2.weight")  # the last layer of every kind of head


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """Weights of backbone and head, and how they are used."""

    path: Path
    """Checkpoint or model folder that it was read from."""
    config: ModelConfig
    weights: dict[str, Tensor]
    """By their names in a checkpoint; backbone, head and mean of the teacher alone."""
    data: SetsConfig | None = None
    """Of a run written before checkpoints held statistics: the sets that tell them."""

    def build_backbone(self) -> Backbone:
        """The network, with its weights.

        Raises:
            CheckpointError: If the weights do not fit.
        """
        found = self._part("backbone")
        if not found:
            msg = f"{self.path} holds no backbone; give the run folder of a distillation."
            raise CheckpointError(msg)
        return build_fitting(self.config.backbone.build, found, source=self.path)

    def build_head(self, channels: int) -> nn.Module | None:
        """What follows the backbone, with its weights; None where there is nothing.

        Args:
            channels: C.
        """
        head, names = self.config.head, self.config.class_names
        if head is None:
            return None

        def build() -> nn.Module:
            if isinstance(head, TeacherHead):
                return build_head(head.layers, channels, head.widths)
            return SegmentationHead(channels, len(names))

        return build_fitting(build, self._part("head"), source=self.path)

    @property
    def widths(self) -> tuple[int, ...]:
        """Channels of the head that have a distance of their own; all class scores as one."""
        if isinstance(self.config.head, TeacherHead):
            return self.config.head.widths
        return (len(self.config.class_names),) if self.config.class_names else ()

    def sensor(self, name: str | None, *, source: str) -> Sensor:
        """The lidar that scans come from; see ``pick_sensor``."""
        meta: dict[str, Any] = {"sensors": list(self.config.sensors)}
        if self.data is None:
            meta["intensity"] = [one.model_dump() for one in self.config.intensity]
        return pick_sensor(name, meta, self.data, source=source)

    def _part(self, part: str) -> dict[str, Tensor]:
        return _part(self.weights, part)


def _part(weights: Mapping[str, Tensor], part: str) -> dict[str, Tensor]:
    prefix = f"{part}."
    return {k.removeprefix(prefix): v for k, v in weights.items() if k.startswith(prefix)}


def model_of_run(run: Path) -> Model:
    """What of a run's newest checkpoint is needed to use its network.

    Args:
        run: Run folder of a distillation, a probe or a fine-tuning, or one of its checkpoints.

    Raises:
        CheckpointError: If there is none, it cannot be read, or has no 3D network.
    """
    checkpoint = load_checkpoint(run)
    recipe = apply_overrides(checkpoint.recipe, (), source=f"recipe of {run}")
    meta = checkpoint.meta
    head, names = _head_of(recipe, checkpoint)
    sampling = recipe.data.sampling if isinstance(recipe, PretrainRecipe) else recipe.sampling
    stated = "intensity" in meta
    weights = {
        name: tensor
        for name, tensor in checkpoint.weights.items()
        if name == CENTER or name.startswith(("backbone.", "head."))
    }
    values = {
        "backbone": _backbone_of(recipe, checkpoint).model_dump(mode="json"),
        "head": None if head is None else head.model_dump(mode="json"),
        "class_names": names,
        "voxel_size": sampling.voxel_size,
        "sensors": tuple(meta["sensors"]),
        "intensity": meta["intensity"] if stated else (),
        "teacher": checkpoint.recipe.get("teacher") if isinstance(head, TeacherHead) else None,
        "provenance": _provenance(recipe, checkpoint),
        "versions": {key: str(value) for key, value in meta["versions"].items()},
    }
    try:
        config = ModelConfig.model_validate(values)
    except ValidationError as error:
        msg = (
            f"{checkpoint.path} does not describe a network ({first_line(error)}); use a "
            "checkpoint as lidistill wrote it."
        )
        raise CheckpointError(msg) from error
    return Model(
        path=checkpoint.path, config=config, weights=weights, data=None if stated else recipe.data
    )


def _backbone_of(recipe: Recipe, checkpoint: Checkpoint) -> Any:
    if isinstance(recipe, PretrainRecipe):
        return recipe.backbone
    if recipe.features in {"input", "teacher"}:
        msg = (
            f"{checkpoint.path} is a probe with features={recipe.features}, which has no 3D "
            "network; give a distillation, a fine-tuning, or a probe with features=backbone."
        )
        raise CheckpointError(msg)
    stored = stored_backbone(checkpoint.meta["networks"].get("backbone"), checkpoint)
    return changed_backbone(stored, recipe.network)


def _head_of(
    recipe: Recipe, checkpoint: Checkpoint
) -> tuple[TeacherHead | ClassHead | None, tuple[str, ...]]:
    """Head and class names; the weights tell the widths of a distillation's head."""
    weights = _part(checkpoint.weights, "head")
    if not isinstance(recipe, PretrainRecipe):
        names = tuple(checkpoint.meta["label_names"])
        return (ClassHead() if weights else None), names if weights else ()
    # Of several heads side by side: heads.0.linear.weight, heads.1.linear.weight, …
    last = [name for name in weights if name.endswith(_OUTPUT)]
    last.sort(key=lambda name: (len(name), name))  # 10 after 9
    widths = tuple(len(weights[name]) for name in last)
    return (TeacherHead(layers=recipe.head, widths=widths) if widths else None), ()


def _provenance(recipe: Recipe, checkpoint: Checkpoint) -> Provenance:
    begun = digest_in(str(checkpoint.meta.get("start", "")))
    origin = None if isinstance(recipe, PretrainRecipe) else _origin(recipe.checkpoint, begun)
    distilled = checkpoint.recipe if isinstance(recipe, PretrainRecipe) else (origin or {})
    teacher: dict[str, Any] | None = distilled.get("teacher")
    frames = checkpoint.meta.get("frames", {})
    kinds = [one.kind for one in recipe.data.sets]
    kinds += [str(one["kind"]) for one in distilled.get("data", {}).get("sets", ())]
    return Provenance(
        run=recipe.kind,
        recipe=recipe.name,
        step=checkpoint.step,
        teacher=str(checkpoint.meta.get("teacher", "") or _teacher_name(teacher)),
        teacher_licence=teacher_licence(teacher),
        data=tuple(dict.fromkeys(kinds)),
        num_frames=frames.get("number"),
        weights=checkpoint.sha256.get(RUN_WEIGHTS, ""),
        begun_with=begun,
    )


def _teacher_name(config: dict[str, Any] | None) -> str:
    return "" if config is None else str(config.get("model", config.get("kind", "")))


def _origin(run: Path | None, begun: str) -> dict[str, Any] | None:
    """Recipe of the distillation that a probe began with, where it still lies there unchanged."""
    if run is None or not begun:
        return None
    try:
        folder = newest_checkpoint(run)
        record = read_record(folder / RECORD)
    except (OSError, ValueError, LidistillError):
        return None
    same = str(record.get("sha256", {}).get(RUN_WEIGHTS, "")).startswith(begun)
    return dict(record["recipe"]) if same and record["recipe"].get("kind") == "pretrain" else None


def read_model_folder(folder: Path) -> Model:
    """A model that ``write_model_folder`` wrote.

    Raises:
        CheckpointError: If it is damaged or of a newer format.
    """
    config = read_config(folder)
    file = folder / WEIGHTS
    try:
        weights = read_safetensors(file, max_bytes=MAX_WEIGHTS)
        check_sum(file, config.sha256 or None, max_bytes=MAX_WEIGHTS)
    except (OSError, ValueError, LidistillError) as error:
        msg = f"{folder} has no readable weights ({first_line(error)}); get the folder again."
        raise CheckpointError(msg) from error
    return Model(path=folder, config=config, weights=weights)


def write_model_folder(model: Model, folder: Path) -> ModelConfig:
    """Write ``model.safetensors`` and ``config.json`` into a folder that is there.

    Returns:
        The configuration as it was written, with the checksum of the weights.
    """
    with replacing(folder / WEIGHTS) as file:
        save_file(
            {name: tensor.detach().cpu().contiguous() for name, tensor in model.weights.items()},
            file,
            metadata={"format": "pt"},
        )
        sync(file)
    changes: dict[str, Any] = {"sha256": sha256(folder / WEIGHTS)}
    if model.data is not None:  # a checkpoint that is older than its statistics
        changes["intensity"] = input_statistics(model.data)["intensity"]
    config = ModelConfig.model_validate(model.config.to_json() | changes)
    replace_text(folder / CONFIG, json.dumps(config.to_json(), indent=1) + "\n")
    return config
