"""Names and shapes of the authors' WaffleIron checkpoints, to ours and back.

The authors' tensors are channel-major, so their linear layers are convolutions with kernels of
size 1: weights (out, in, 1) or (out, in, 1, 1) against our (out, in).
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from torch import Tensor

from lidistill.errors import CheckpointError

_EMBED = {
    "norm": "feature_norm",
    "conv1": "point",
    "conv2.0": "difference_norm",
    "conv2.1": "difference",
    "conv2.2": "hidden_norm",
    "conv2.4": "neighbor",
    "final": "merge",
}
_MIX = {
    "spatial_mix": {"norm": "norm", "ffn.0": "conv1", "ffn.2": "conv2", "scale": "scale"},
    "channel_mix": {"norm": "norm", "mlp.0": "linear1", "mlp.2": "linear2", "scale": "scale"},
}
_MIX_NAME = {"spatial_mix": "spatial", "channel_mix": "channel"}
_WRAPPERS = ("net", "model_point", "model_points", "state_dict", "model")
"""Keys under which training scripts store the weights; ``model_points`` is an early ScaLR's."""
_NORM_BUFFERS = ("running_mean", "running_var", "num_batches_tracked")


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedWeights:
    """Weights under the names of this package."""

    backbone: dict[str, Tensor]
    """State of a ``WaffleIron``."""
    head: dict[str, Tensor] = field(default_factory=dict)
    """State of a ``LinearHead``, ``MLPHead`` or ``SegmentationHead``; empty where there is none."""


def from_official(state: Mapping[str, object]) -> NamedWeights:
    """Weights of an authors' checkpoint under our names.

    Args:
        state: What their file holds: the weights, or a dictionary with the weights under one of
            ``_WRAPPERS``; names may begin with ``module.``.

    Raises:
        CheckpointError: If there are no WaffleIron weights, or a name is unknown.
    """
    weights = _unwrap(state)
    named = NamedWeights(backbone={}, head={})
    head_names = _head_names(weights)
    for name, tensor in weights.items():
        if name.startswith("classif."):
            base, leaf = name.rsplit(".", 1)
            if base not in head_names:
                raise _unknown(name)
            named.head[f"{head_names[base]}.{leaf}"] = _squeeze(tensor, leaf)
        else:
            ours = _backbone_name(name)
            named.backbone[ours] = _squeeze(tensor, name.rsplit(".", 1)[1], name=ours)
    return named


def to_official(weights: NamedWeights) -> dict[str, Tensor]:
    """Weights under the authors' names and in their shapes; undoes ``from_official``.

    Raises:
        CheckpointError: If a name is unknown.
    """
    official = {}
    for name, tensor in weights.backbone.items():
        theirs = _official_name(name)
        extra = 0
        if name.endswith(".scale"):
            extra = 2
        elif tensor.ndim == 2:
            extra = 2 if theirs.startswith("embed.conv2.") else 1
        official[theirs] = tensor.reshape((*tensor.shape, *[1] * extra))
    numbers = {"linear1": "0.", "linear2": "2.", "norm": "0."}
    numbers["linear"] = "1." if "norm.weight" in weights.head else ""
    for name, tensor in weights.head.items():
        base, leaf = name.split(".")
        if base not in numbers:
            raise _unknown(name)
        shape = (*tensor.shape, 1) if tensor.ndim == 2 else tensor.shape
        official[f"classif.{numbers[base]}{leaf}"] = tensor.reshape(shape)
    return official


def _unwrap(state: Mapping[str, object]) -> dict[str, Tensor]:
    for wrapper in _WRAPPERS:
        inner = state.get(wrapper)
        if isinstance(inner, Mapping):
            state = inner
            break
    weights = {
        str(name).removeprefix("module."): tensor
        for name, tensor in state.items()
        if isinstance(tensor, Tensor)
    }
    if not any(name.startswith("waffleiron.") for name in weights):
        found = ", ".join(sorted(map(str, state))[:3]) or "nothing"
        msg = (
            f"no WaffleIron weights in this checkpoint (it holds {found} ...); expected names "
            "such as waffleiron.channel_mix.0.norm.weight. Is it a checkpoint of ScaLR?"
        )
        raise CheckpointError(msg)
    return weights


def _head_names(weights: Mapping[str, Tensor]) -> dict[str, str]:
    if "classif.0.running_mean" in weights:
        return {"classif.0": "norm", "classif.1": "linear"}
    if "classif.2.weight" in weights:
        return {"classif.0": "linear1", "classif.2": "linear2"}
    return {"classif": "linear"}


def _backbone_name(name: str) -> str:
    embed = re.fullmatch(r"embed\.(.+)\.(\w+)", name)
    if embed and embed[1] in _EMBED:
        return f"embed.{_EMBED[embed[1]]}.{embed[2]}"
    mix = re.fullmatch(r"waffleiron\.(\w+)\.(\d+)\.(.+)\.(\w+)", name)
    if mix and mix[3] in _MIX.get(mix[1], {}):
        part = _MIX[mix[1]][mix[3]]
        leaf = "" if part == "scale" else f".{mix[4]}"
        return f"layers.{mix[2]}.{_MIX_NAME[mix[1]]}.{part}{leaf}"
    raise _unknown(name)


def _official_name(name: str) -> str:
    embed = re.fullmatch(r"embed\.(\w+)\.(\w+)", name)
    theirs = {ours: theirs for theirs, ours in _EMBED.items()}
    if embed and embed[1] in theirs:
        return f"embed.{theirs[embed[1]]}.{embed[2]}"
    layer = re.fullmatch(r"layers\.(\d+)\.(\w+)\.(\w+)(?:\.(\w+))?", name)
    for mix, parts in _MIX.items():
        back = {ours: theirs for theirs, ours in parts.items()}
        if layer and layer[2] == _MIX_NAME[mix] and layer[3] in back:
            return f"waffleiron.{mix}.{layer[1]}.{back[layer[3]]}.{layer[4] or 'weight'}"
    raise _unknown(name)


def _squeeze(tensor: Tensor, leaf: str, *, name: str = "") -> Tensor:
    if leaf in _NORM_BUFFERS:
        single = leaf == "num_batches_tracked" and tensor.numel() == 1
        return tensor.reshape(()) if single else tensor
    if name.endswith(".scale"):
        return tensor.flatten()
    if leaf == "weight" and tensor.ndim > 2 and tensor.shape[2:].numel() == 1:
        return tensor.flatten(1)
    return tensor


def _unknown(name: str) -> CheckpointError:
    msg = f"unknown weight {name!r}; expected those of a WaffleIron with its head, nothing else."
    return CheckpointError(msg)
