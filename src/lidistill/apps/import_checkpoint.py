"""The authors' published checkpoints as checkpoints of this package.

The weights say width, depth, normalisation and head; the rest is what a recipe is for.
"""

import json
import logging
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from torch import Tensor, nn

from lidistill.apps.published_heads import (
    as_class_head,
    check_width,
    describe_head,
    read_head,
    without_ignored,
)
from lidistill.atomic_write import sha256
from lidistill.backbones import BackboneConfig
from lidistill.backbones.published import KernelOrder, NamedWeights, read_published
from lidistill.distill.heads import LinearHead, MLPHead
from lidistill.distill.recipe import PretrainRecipe
from lidistill.errors import CheckpointError
from lidistill.labels import load_label_map
from lidistill.loading.input_statistics import input_statistics
from lidistill.reading.weight_files import plain_state, weight_file
from lidistill.recipes import load_recipe, recipe_names
from lidistill.segment.heads import SegmentationHead
from lidistill.training.checkpoint import save_checkpoint
from lidistill.training.fitting import build_fitting
from lidistill.training.run_files import write_recipe

logger = logging.getLogger(__name__)

_RECIPES: Final = {"waffleiron": "scalr.*", "minkunet": "minkunet34"}
"""Folder of the recipes that each kind of network was trained by, as a regular expression; where it
is not named here, its own name."""
_DISTILLATIONS: Final = {"waffleiron": "pretrain/scalr", "minkunet": "pretrain/minkunet34"}
"""Recipe that distils into each kind of network; where it is not named here, that of its name."""
_WITHOUT_DISTILLING_HEAD: Final = {"litept", "ptv3"}
"""Kinds that are published with heads of classes only."""
_SLIDR_OUTPUTS: Final = 64
"""Channels that SLidR's family distils into; no data set here has as many classes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Imported:
    """What came out of an import."""

    checkpoint: Path
    recipe: str
    """Name of the recipe that the checkpoint carries."""
    kind: str
    """Of the network."""
    width: int
    depth: int
    head: str
    """``none``, ``linear``, ``mlp`` or ``segmentation``, and its outputs."""
    num_parameters: int


def import_checkpoint(
    file: Path,
    output: Path,
    *,
    recipe: str | None = None,
    kernel_order: KernelOrder | None = None,
) -> Imported:
    """Convert a checkpoint of ScaLR, WaffleIron, SLidR, LitePT or PTv3; no code in it is run.

    Args:
        file: A ``.pth``, or the ``.tar.gz`` that it is published in.
        output: Run folder to write.
        recipe: What the network was trained by, a name or a file. It says what weights do not:
            activation, flatten, field of view, classes. Where None, the head of a WaffleIron
            tells: an MLP means ``pretrain/scalr-plus``, a linear layer of a distillation
            ``pretrain/scalr``. A MinkUNet with the 64 outputs of SLidR's family comes from
            ``pretrain/minkunet34``.
        kernel_order: Of a MinkUNet's kernels, by the library that it was trained with; None: by
            the names of its norms.

    Raises:
        CheckpointError: If the file is not such a checkpoint, or does not fit the recipe, or the
            folder holds a run.
        ConfigError: If there is no such recipe.
    """
    folder = output / "checkpoints"
    if folder.is_dir() and any(folder.iterdir()):
        msg = f"{output} holds a run, whose checkpoints would hide this one; give another folder."
        raise CheckpointError(msg)
    with weight_file(file) as weights_path:
        state = plain_state(weights_path, file)
    named, backbone = read_published(state, kernel_order=kernel_order)
    kind = str(backbone.get("kind", "waffleiron"))
    name = recipe or _recipe_of(named, state, file, kind)
    loaded = load_recipe(name, _overrides(name, named, backbone, output))
    assert loaded.backbone is not None  # noqa: S101  _overrides has set its width
    network = build_fitting(
        loaded.backbone.build, named.backbone, source=file, advice=_advice(kind)
    )
    if named.left_out:
        logger.warning("%s: left out, no part of the network: %s", file, ", ".join(named.left_out))
    head = read_head(named.head)
    check_width(head, network.num_channels, file)
    if isinstance(loaded, PretrainRecipe):
        # Of these families only a MinkUNet is published with a linear head that distils.
        if isinstance(head, SegmentationHead) or (
            head is not None and kind in _WITHOUT_DISTILLING_HEAD
        ):
            raise _ambiguous(file, head, kind, distilled=False)
        meta: dict[str, Any] = {}
    else:
        names = load_label_map(loaded.data.sets[0].kind).class_names
        whole = head
        if kind == "minkunet" and (head := without_ignored(whole, len(names))) is not whole:
            logger.warning(
                "%s: the first of %d outputs is left out, as that of points without a class, which "
                "SLidR's networks have", file, len(names) + 1,
            )  # fmt: skip
        other = f", or, for weights that tell no classes apart, {_distillation(kind)}"
        head = as_class_head(head, len(names), file, name, advice=other)
        meta = {"label_names": list(names)}
    weights = _prefixed(network, "backbone") | ({} if head is None else _prefixed(head, "head"))
    _check_finite(weights, file)
    source = {"name": file.name, "sha256": sha256(file)}
    networks = {"backbone": loaded.backbone.model_dump(mode="json"), "teacher": None}
    meta |= {"networks": networks, "start": f"published weights, {file.name}", "source": source}
    values = loaded.model_dump(mode="json")
    checkpoint = save_checkpoint(
        folder,
        step=0,
        weights=weights,
        training={},
        recipe=values,
        meta=meta | input_statistics(loaded.data) | {"seed": loaded.seed},
    )
    write_recipe(output, values, None)
    return Imported(
        checkpoint=checkpoint,
        recipe=name,
        kind=kind,
        width=network.num_channels,
        depth=network.num_layers,
        head=describe_head(head),
        num_parameters=sum(p.numel() for p in network.parameters()),
    )


def _advice(kind: str) -> str:
    """What to do where shapes differ from the network that the weights themselves tell."""
    if kind == "waffleiron":
        return "is the file complete?"
    return (
        "is the file complete? A first kernel of other input channels wants --recipe with as many "
        "backbone.channels."
    )


def _recipe_of(named: NamedWeights, state: dict[str, Any], file: Path, kind: str) -> str:
    """The recipe that a checkpoint's own form tells, where it tells one."""
    if kind == "waffleiron":
        if "linear1.weight" in named.head:
            return "pretrain/scalr-plus"
        distilled = any(key in state for key in ("model_point", "model_points"))
        if distilled and "linear.weight" in named.head:
            return "pretrain/scalr"
    if kind == "minkunet" and len(named.head.get("linear.weight", ())) == _SLIDR_OUTPUTS:
        return "pretrain/minkunet34"
    head = read_head(named.head)
    may_distil = head is None or (kind == "minkunet" and isinstance(head, LinearHead))
    raise _ambiguous(file, head, kind, distilled=may_distil)


def _ambiguous(
    file: Path, head: nn.Module | None, kind: str, *, distilled: bool
) -> CheckpointError:
    unsaid = "activation they were trained with" if kind == "waffleiron" else "channels they expect"
    other = f", or, if they tell none, {_distillation(kind)}" if distilled else ""
    msg = (
        f"{file} has a head of the kind {describe_head(head)!r}, and weights do not say which "
        f"{unsaid}, nor which classes they tell apart; give --recipe, for example "
        f"{_fitting(kind)}{other}."
    )
    return CheckpointError(msg)


def _distillation(kind: str) -> str:
    """Name of a recipe that distils into such a network."""
    return _DISTILLATIONS.get(kind, f"pretrain/{kind}")


def _fitting(kind: str) -> str:
    """Names of recipes that train such a network on one set."""
    folder = _RECIPES.get(kind, kind)
    fitting = [n for n in recipe_names() if re.fullmatch(rf"(probe|finetune)/{folder}/nuscenes", n)]
    return ", ".join(fitting)


def _overrides(
    recipe: str, named: NamedWeights, backbone: dict[str, Any], output: Path
) -> tuple[str, ...]:
    """Changes to a recipe that make it the one of these weights."""
    named_recipe = load_recipe(recipe)
    settings = _without_known_heads(backbone, named_recipe.backbone, recipe)
    changes = [
        f"output={json.dumps(str(output))}",
        *(f"backbone.{key}={value}" for key, value in settings.items()),
    ]
    head = read_head(named.head)
    theirs = backbone.get("kind", "waffleiron")
    trained = theirs if named_recipe.backbone is None else named_recipe.backbone.kind
    if trained != theirs and (better := _fitting(theirs)):
        msg = (
            f"these are weights of a {theirs}, and recipe {recipe} trains a {trained}; give one "
            f"for it, for example {better}."
        )
        raise CheckpointError(msg)
    if isinstance(named_recipe, PretrainRecipe):
        wanted: str = named_recipe.head.kind
        if theirs == "minkunet" and isinstance(head, LinearHead):
            # SLidR's; a recipe that distils another network of this kind by two layers fits, too.
            wanted = "linear"
            changes.append("head.kind=linear")
        kind = {LinearHead: "linear", MLPHead: "mlp"}.get(type(head), wanted)
        if kind != wanted and theirs not in _WITHOUT_DISTILLING_HEAD:
            msg = (
                f"this file has a head of the kind {kind!r}, recipe {recipe} distils with one of "
                f"the kind {wanted!r}; give the recipe that it was trained by."
            )
            raise CheckpointError(msg)
        if isinstance(head, MLPHead):
            changes.append(f"head.hidden_channels={head.linear1.out_features}")
    else:
        changes.append("checkpoint=null")
    return tuple(changes)


def _without_known_heads(
    found: dict[str, Any], known: BackboneConfig | None, recipe: str
) -> dict[str, Any]:
    """What weights say of a network, without the attention heads, which they do not tell.

    Those of the recipe count where its network has the same shape; else they are guessed from the
    channels that a head has in every published size, which is said.
    """
    heads = {key: value for key, value in found.items() if key.endswith("heads")}
    if not heads:
        return found
    shape = {key: value for key, value in found.items() if key not in heads}
    values = {} if known is None else known.model_dump(mode="json")
    if all(values.get(key) == value for key, value in shape.items()):
        return shape
    guess = ", ".join(f"backbone.{key}={value}" for key, value in heads.items())
    logger.info(
        "weights do not tell how many attention heads there are, and recipe %s has a network of "
        "another shape: %s, as many channels a head as in every published size. If it was trained "
        "with others, give a recipe with this network's shape and heads.",
        recipe, guess,
    )  # fmt: skip
    return found


def _check_finite(weights: dict[str, Tensor], file: Path) -> None:
    broken = [name for name, tensor in weights.items() if not bool(tensor.isfinite().all())]
    if broken:
        msg = f"{file}: {broken[0]} is not finite; get the file from its authors again."
        raise CheckpointError(msg)


def _prefixed(module: nn.Module, prefix: str) -> dict[str, Tensor]:
    return {f"{prefix}.{name}": tensor for name, tensor in module.state_dict().items()}
