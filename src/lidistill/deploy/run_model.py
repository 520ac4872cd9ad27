"""What of a run is needed to use its network, read from its newest checkpoint."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError
from torch import Tensor

from lidistill.deploy.licences import teacher_licence
from lidistill.deploy.model import CENTER, Model, weights_below
from lidistill.deploy.model_config import ClassHead, ModelConfig, Provenance, TeacherHead
from lidistill.distill.recipe import PretrainRecipe
from lidistill.distill.teacher_config import UNNAMED_TEACHER, part_name
from lidistill.errors import CheckpointError, ConfigError, LidistillError, first_line, unknown_name
from lidistill.reading.names import shown
from lidistill.recipes import Recipe, apply_overrides
from lidistill.segment.initial_networks import changed_backbone, digest_in, stored_backbone
from lidistill.training.checkpoint import Checkpoint, load_checkpoint, newest_checkpoint
from lidistill.training.checkpoint_record import RECORD, WEIGHTS, read_record

_OUTPUT: Final = ("linear.weight", "linear2.weight")  # the last layer of every kind of head


def model_of_run(run: Path, *, head_name: str | None = None) -> Model:
    """What of a run's newest checkpoint is needed to use its network.

    Args:
        run: Run folder of a distillation, a probe or a fine-tuning, or one of its checkpoints.
        head_name: Of a run with several teachers: whose head is kept; None: no one's.

    Raises:
        CheckpointError: If there is none, it cannot be read, or has no 3D network.
        ConfigError: If a head is named, and the run has one alone.
        UnknownNameError: If the run has no head of that name.
    """
    checkpoint = load_checkpoint(run)
    recipe = apply_overrides(checkpoint.recipe, (), source=f"recipe of {run}")
    meta = checkpoint.meta
    several = head_names_of(recipe)
    check_head_name(head_name, several, source=str(run))
    kept = None if several and head_name is None else head_name or UNNAMED_TEACHER
    head, names = _head_of(recipe, checkpoint, kept)
    sampling = recipe.data.sampling if isinstance(recipe, PretrainRecipe) else recipe.sampling
    stated = "intensity" in meta
    weights = _kept_weights(checkpoint, kept)
    values = {
        "backbone": _backbone_of(recipe, checkpoint).model_dump(mode="json"),
        "head": None if head is None else head.model_dump(mode="json"),
        "class_names": names,
        "voxel_size": sampling.voxel_size,
        "sensors": tuple(meta["sensors"]),
        "intensity": meta["intensity"] if stated else (),
        "teacher": _teacher_config(checkpoint, kept) if isinstance(head, TeacherHead) else None,
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
        path=checkpoint.path,
        config=config,
        weights=weights,
        head_names=several,
        head_name=head_name,
        data=None if stated else recipe.data,
    )


def _kept_weights(checkpoint: Checkpoint, teacher: str | None) -> dict[str, Tensor]:
    """Backbone, and head and mean of one teacher under the names they have where it is alone."""
    kept = {f"backbone.{k}": v for k, v in weights_below(checkpoint.weights, "backbone").items()}
    if teacher is None:
        return kept
    found = weights_below(checkpoint.weights, part_name("head", teacher))
    kept |= {f"head.{name}": tensor for name, tensor in found.items()}
    center = f"{part_name('center', teacher)}.mean"
    return kept | ({CENTER: checkpoint.weights[center]} if center in checkpoint.weights else {})


def _teacher_config(checkpoint: Checkpoint, teacher: str | None) -> dict[str, Any] | None:
    """What the recipe says about one teacher, or about the only one, as JSON values."""
    stored: dict[str, Any] | None = checkpoint.recipe.get("teacher")
    return stored if stored is None or not teacher else stored.get(teacher)


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
    recipe: Recipe, checkpoint: Checkpoint, teacher: str | None
) -> tuple[TeacherHead | ClassHead | None, tuple[str, ...]]:
    """Head and class names; the weights tell the widths of a distillation's head."""
    if teacher is None:
        return None, ()
    weights = weights_below(checkpoint.weights, part_name("head", teacher))
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
    teachers = teachers_in(distilled)
    learned = dict(checkpoint.meta.get("teachers", {}))
    named = [str(learned.get(name) or _teacher_name(one)) for name, one in teachers.items()]
    frames = checkpoint.meta.get("frames", {})
    kinds = [one.kind for one in recipe.data.sets]
    kinds += [str(one["kind"]) for one in distilled.get("data", {}).get("sets", ())]
    return Provenance(
        run=recipe.kind,
        recipe=recipe.name,
        step=checkpoint.step,
        teacher=str(checkpoint.meta.get("teacher", "") or " + ".join(named)),
        teacher_licence=" + ".join(
            dict.fromkeys(licence for one in teachers.values() if (licence := teacher_licence(one)))
        ),
        data=tuple(dict.fromkeys(kinds)),
        num_frames=frames.get("number"),
        weights=checkpoint.sha256.get(WEIGHTS, ""),
        begun_with=begun,
    )


def _teacher_name(config: dict[str, Any]) -> str:
    return str(config.get("model", config.get("run", config.get("kind", ""))))


def _origin(run: Path | None, begun: str) -> dict[str, Any] | None:
    """Recipe of the distillation that a probe began with, where it still lies there unchanged."""
    if run is None or not begun:
        return None
    try:
        folder = newest_checkpoint(run)
        record = read_record(folder / RECORD)
    except (OSError, ValueError, LidistillError):
        return None
    same = str(record.get("sha256", {}).get(WEIGHTS, "")).startswith(begun)
    return dict(record["recipe"]) if same and record["recipe"].get("kind") == "pretrain" else None


def teachers_in(recipe: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Teachers of a stored recipe, by name; none where it has none."""
    stored = recipe.get("teacher")
    if not isinstance(stored, dict):
        return {}
    return {UNNAMED_TEACHER: stored} if "kind" in stored else stored


def head_names_of(recipe: Recipe) -> tuple[str, ...]:
    """Names of the heads of a run, which are its teachers'; none where it has one alone."""
    if not isinstance(recipe, PretrainRecipe):
        return ()
    return tuple(name for name in recipe.teachers if name != UNNAMED_TEACHER)


def check_head_name(name: str | None, known: Sequence[str], *, source: str) -> None:
    """See to it that a head has that name.

    Raises:
        ConfigError: If there are no names.
        UnknownNameError: If there is none of this name.
    """
    if name is None:
        return
    if not known:
        msg = (
            f"{source} has one head at most, so none can be chosen by a name, such as "
            f"{shown(name)}; leave the name out."
        )
        raise ConfigError(msg)
    if name not in known:
        raise unknown_name("head", name, known)


def which_head(names: Sequence[str], *, source: object, option: str) -> ConfigError:
    """What to say where one of several heads is needed, and none is named."""
    return ConfigError(
        f"{source} learned from several teachers, and has a head for each: {', '.join(names)}; "
        f"say whose with {option}."
    )
