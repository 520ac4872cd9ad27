"""Heads of published checkpoints: none, one that distils, or one that tells classes apart."""

import copy
from pathlib import Path
from typing import TypeAlias

import torch
from torch import Tensor, nn

from lidistill.distill.heads import LinearHead, MLPHead
from lidistill.errors import CheckpointError
from lidistill.segment.heads import SegmentationHead

Head: TypeAlias = LinearHead | MLPHead | SegmentationHead


def read_head(weights: dict[str, Tensor]) -> Head | None:
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


def _empty_head(weights: dict[str, Tensor]) -> Head:
    if "linear1.weight" in weights or "linear2.weight" in weights:
        hidden, width = weights["linear1.weight"].shape
        return MLPHead(width, len(weights["linear2.weight"]), hidden_channels=hidden)
    outputs, width = weights["linear.weight"].shape
    kind = LinearHead if set(weights) == {"linear.weight", "linear.bias"} else SegmentationHead
    return kind(width, outputs)


def check_width(head: Head | None, width: int, file: Path) -> None:
    """Compare a head's input channels with its network.

    Raises:
        CheckpointError: If they differ.
    """
    if head is None:
        return
    inputs = (head.linear1 if isinstance(head, MLPHead) else head.linear).in_features
    if inputs != width:
        msg = f"{file} has a head over {inputs} channels on a network of {width}; is it one file?"
        raise CheckpointError(msg)


def as_class_head(
    head: Head | None, num_classes: int, file: Path, recipe: str, *, advice: str
) -> SegmentationHead:
    """The head as a ``SegmentationHead``; a bare linear layer gets a BatchNorm that does nothing.

    Args:
        head: As it was read.
        num_classes: Of the recipe.
        file: Where it is from.
        recipe: Which one.
        advice: What else to do with weights that tell no classes apart.

    Raises:
        CheckpointError: If it does not tell the recipe's classes apart.
    """
    found = describe_head(head)
    if isinstance(head, LinearHead):
        plain = head.linear
        head = SegmentationHead(plain.in_features, plain.out_features)
        head.linear.load_state_dict(plain.state_dict())
        head.norm.get_buffer("running_var").fill_(1 - head.norm.eps)
    if not isinstance(head, SegmentationHead) or head.linear.out_features != num_classes:
        msg = (
            f"{file} has the head {found!r}, but recipe {recipe} tells {num_classes} "
            f"classes apart; give the recipe of its own data set{advice}."
        )
        raise CheckpointError(msg)
    return head


def without_ignored(head: Head | None, num_classes: int) -> Head | None:
    """A linear layer without its first output, where that one is for points without a class.

    SLidR's networks are fine-tuned so (``ignore_index: 0``): the first output is never predicted.

    Args:
        head: Of a MinkUNet.
        num_classes: Of the recipe, without that one.
    """
    if not isinstance(head, LinearHead) or head.linear.out_features != num_classes + 1:
        return head
    kept = LinearHead(head.linear.in_features, num_classes)
    kept.load_state_dict(
        {f"linear.{name}": tensor[1:] for name, tensor in head.linear.state_dict().items()}
    )
    return kept


def describe_head(head: nn.Module | None) -> str:
    """``none``, or the kind of a head and how many outputs it has."""
    names = {LinearHead: "linear", MLPHead: "mlp", SegmentationHead: "segmentation"}
    if head is None:
        return "none"
    outputs = [m.out_features for m in head.modules() if isinstance(m, nn.Linear)][-1]
    return f"{names[type(head)]} {outputs}"
