"""The authors' published checkpoints as checkpoints of this package.

The weights say width, depth, normalisation and head; the rest is what a recipe is for.
"""

import copy
import json
import logging
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn

from lidistill.atomic_write import sha256
from lidistill.backbones.published import NamedWeights, read_published
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

logger = logging.getLogger(__name__)

_Head: TypeAlias = LinearHead | MLPHead | SegmentationHead


@dataclass(frozen=True, slots=True, kw_only=True)
class Imported:
    """What came out of an import."""

    checkpoint: Path
    recipe: str
    """Name of the recipe that the checkpoint carries."""
    width: int
    depth: int
    head: str
    """``none``, ``linear``, ``mlp`` or ``segmentation``, and its outputs."""
    num_parameters: int


def import_checkpoint(file: Path, output: Path, *, recipe: str | None = None) -> Imported:
    """Convert a checkpoint of ScaLR, ScaLR+ or WaffleIron; no code in it is run.

    Args:
        file: A ``.pth``, or the ``.tar.gz`` that it is published in.
        output: Run folder to write.
        recipe: What the network was trained by, a name or a file. It says what weights do not:
            activation, flatten, field of view, classes. Where None, the head tells: an MLP means
            ``pretrain/scalr-plus``, a linear layer of a distillation ``pretrain/scalr``.

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
    named, backbone = read_published(state)
    name = recipe or _recipe_of(named, state, file)
    loaded = load_recipe(name, _overrides(name, named, backbone, output))
    assert loaded.backbone is not None  # noqa: S101  _overrides has set its width
    network = build_fitting(
        loaded.backbone.build, named.backbone, source=file, advice="is the file complete?"
    )
    if named.left_out:
        logger.warning("%s: left out, no part of the network: %s", file, ", ".join(named.left_out))
    head = _head(named.head)
    _check_width(head, network.num_channels, file)
    if isinstance(loaded, PretrainRecipe):
        if isinstance(head, SegmentationHead):
            raise _ambiguous(file, f"a head of {head.linear.out_features} classes")
        meta: dict[str, Any] = {}
    else:
        kind = loaded.data.sets[0].kind
        head = _class_head(head, len(load_label_map(kind).class_names), file, name)
        meta = {"label_names": list(load_label_map(kind).class_names)}
    weights = _prefixed(network, "backbone") | ({} if head is None else _prefixed(head, "head"))
    _check_finite(weights, file)
    source = {"name": file.name, "sha256": sha256(file)}
    networks = {"backbone": loaded.backbone.model_dump(mode="json"), "teacher": None}
    meta |= {"networks": networks, "start": f"published weights, {file.name}", "source": source}
    checkpoint = save_checkpoint(
        folder,
        step=0,
        weights=weights,
        training={},
        recipe=loaded.model_dump(mode="json"),
        meta=meta | input_statistics(loaded.data) | {"seed": loaded.seed},
    )
    return Imported(
        checkpoint=checkpoint,
        recipe=name,
        width=network.num_channels,
        depth=network.num_layers,
        head=_describe(head),
        num_parameters=sum(p.numel() for p in network.parameters()),
    )


def _recipe_of(named: NamedWeights, state: dict[str, Any], file: Path) -> str:
    """The recipe that a checkpoint's own form tells, where it tells one."""
    if "linear1.weight" in named.head:
        return "pretrain/scalr-plus"
    distilled = any(key in state for key in ("model_point", "model_points"))
    if distilled and "linear.weight" in named.head:
        return "pretrain/scalr"
    raise _ambiguous(file, f"a head of the kind {_describe(_head(named.head))!r}")


def _ambiguous(file: Path, found: str) -> CheckpointError:
    fitting = [n for n in recipe_names() if re.fullmatch(r"(probe|finetune)/scalr.*/nuscenes", n)]
    msg = (
        f"{file} has {found}, and weights do not say which activation they were trained with, nor "
        f"which classes they tell apart; give --recipe, for example {', '.join(fitting)}."
    )
    return CheckpointError(msg)


def _overrides(
    recipe: str, named: NamedWeights, backbone: dict[str, Any], output: Path
) -> tuple[str, ...]:
    """Changes to a recipe that make it the one of these weights."""
    changes = [
        f"output={json.dumps(str(output))}",
        *(f"backbone.{key}={value}" for key, value in backbone.items()),
    ]
    head = _head(named.head)
    named_recipe = load_recipe(recipe)
    if isinstance(named_recipe, PretrainRecipe):
        kind = {LinearHead: "linear", MLPHead: "mlp"}.get(type(head), named_recipe.head.kind)
        if kind != named_recipe.head.kind:
            msg = (
                f"this file has a head of the kind {kind!r}, recipe {recipe} distils with one of "
                f"the kind {named_recipe.head.kind!r}; give the recipe that it was trained by."
            )
            raise CheckpointError(msg)
        if isinstance(head, MLPHead):
            changes.append(f"head.hidden_channels={head.linear1.out_features}")
    else:
        changes.append("checkpoint=null")
    return tuple(changes)


def _head(weights: dict[str, Tensor]) -> _Head | None:
    """The head that a file holds, with its weights.

    Raises:
        CheckpointError: If its weights are none of the three heads that there are.
    """
    if not weights:
        return None
    try:
        with torch.device("meta"):  # shapes are compared before there is memory for them
            head = _empty_head(weights)
        head.load_state_dict(weights, assign=True)
        head = copy.deepcopy(head).float()
    except (KeyError, ValueError, RuntimeError) as error:
        found = ", ".join(f"{name} {tuple(tensor.shape)}" for name, tensor in weights.items())
        msg = (
            f"these weights have a head that is not whole, found {found}; expected one linear "
            "layer, two, or a BatchNorm and one. Is the file complete?"
        )
        raise CheckpointError(msg) from error
    return head


def _empty_head(weights: dict[str, Tensor]) -> _Head:
    if "linear1.weight" in weights or "linear2.weight" in weights:
        hidden, width = weights["linear1.weight"].shape
        return MLPHead(width, len(weights["linear2.weight"]), hidden_channels=hidden)
    outputs, width = weights["linear.weight"].shape
    kind = LinearHead if set(weights) == {"linear.weight", "linear.bias"} else SegmentationHead
    return kind(width, outputs)


def _check_finite(weights: dict[str, Tensor], file: Path) -> None:
    broken = [name for name, tensor in weights.items() if not bool(tensor.isfinite().all())]
    if broken:
        msg = f"{file}: {broken[0]} is not finite; get the file from its authors again."
        raise CheckpointError(msg)


def _check_width(head: _Head | None, width: int, file: Path) -> None:
    if head is None:
        return
    inputs = (head.linear1 if isinstance(head, MLPHead) else head.linear).in_features
    if inputs != width:
        msg = f"{file} has a head over {inputs} channels on a network of {width}; is it one file?"
        raise CheckpointError(msg)


def _class_head(head: _Head | None, num_classes: int, file: Path, recipe: str) -> SegmentationHead:
    """The head as a ``SegmentationHead``; a bare linear layer gets a BatchNorm that does nothing.

    Raises:
        CheckpointError: If it does not tell the recipe's classes apart.
    """
    if isinstance(head, LinearHead):
        plain = head.linear
        head = SegmentationHead(plain.in_features, plain.out_features)
        head.linear.load_state_dict(plain.state_dict())
        head.norm.get_buffer("running_var").fill_(1 - head.norm.eps)
    if not isinstance(head, SegmentationHead) or head.linear.out_features != num_classes:
        msg = (
            f"{file} has the head {_describe(head)!r}, but recipe {recipe} tells {num_classes} "
            "classes apart; give the recipe of its own data set."
        )
        raise CheckpointError(msg)
    return head


def _describe(head: nn.Module | None) -> str:
    names = {LinearHead: "linear", MLPHead: "mlp", SegmentationHead: "segmentation"}
    if head is None:
        return "none"
    outputs = [m.out_features for m in head.modules() if isinstance(m, nn.Linear)][-1]
    return f"{names[type(head)]} {outputs}"


def _prefixed(module: nn.Module, prefix: str) -> dict[str, Tensor]:
    return {f"{prefix}.{name}": tensor for name, tensor in module.state_dict().items()}
