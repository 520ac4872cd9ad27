"""Names and shapes of the authors' WaffleIron checkpoints, to ours and back.

The authors' tensors are channel-major, so their linear layers are convolutions with kernels of
size 1: weights (out, in, 1) or (out, in, 1, 1) against our (out, in).
"""

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from torch import Tensor

from lidistill.backbones.published_names import NamedWeights, check_tensor, only_prefix, plain_names
from lidistill.errors import CheckpointError
from lidistill.reading.names import shown

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
_MAX_GROUPS = 20
_NETWORK = re.compile(r"((?:[^.]+\.)*?)waffleiron\.")
_OURS = ("waffleiron.", "embed.", "classif.")
_NORM_BUFFERS = ("running_mean", "running_var", "num_batches_tracked")
_LEAVES = frozenset({"weight", "bias", *_NORM_BUFFERS})


def from_official(state: Mapping[str, object]) -> NamedWeights:
    """Weights of an authors' checkpoint under our names.

    Args:
        state: What their file holds: the weights, or a dictionary with the weights under a usual
            key. What DDP, torch.compile or a module around it put into names is dropped.

    Raises:
        CheckpointError: If there are no WaffleIron weights, a part of a WaffleIron is unknown, or
            a weight is no plain tensor.
    """
    weights, others = _names_within(state)
    named = NamedWeights(backbone={}, head={})
    head_names = _head_names(weights)
    for name, value in weights.items():
        base, _, leaf = name.rpartition(".")
        ours = _our_name(base, head_names)
        if ours is None:
            if name.startswith(_OURS):
                raise _unknown(name)
            others.append(name)
        elif leaf not in _LEAVES:
            others.append(name)
        else:
            part = named.head if base.startswith("classif") else named.backbone
            ours = ours if ours.endswith(".scale") else f"{ours}.{leaf}"
            part[ours] = _squeeze(check_tensor(name, value), leaf, name=ours)
    return replace(named, left_out=_groups_of(others))


def architecture(weights: dict[str, Tensor]) -> dict[str, Any]:
    """Configuration of the network as far as shapes tell it.

    Args:
        weights: State of a ``WaffleIron``.

    Raises:
        CheckpointError: If a part of it is missing.
    """
    point = weights.get("embed.point.weight")
    layers = {int(name.split(".")[1]) for name in weights if name.startswith("layers.")}
    if point is None or point.ndim != 2 or not layers:
        msg = "these weights have no embedding or no layer of a WaffleIron; is the file complete?"
        raise CheckpointError(msg)
    if max(layers) != len(layers) - 1:
        msg = f"these weights have {len(layers)} layers, the last one of the number {max(layers)}; "
        raise CheckpointError(f"{msg}is the file complete?")
    return {
        "width": point.shape[0],
        "depth": max(layers) + 1,
        "norm": "batch" if "layers.0.spatial.norm.running_mean" in weights else "layer",
    }


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


def _names_within(state: Mapping[str, object]) -> tuple[dict[str, object], list[str]]:
    """What stands beside and below ``waffleiron``, without what wrappers put before it; the rest.

    Raises:
        CheckpointError: If there is no such network, or more than one.
    """
    plain = plain_names(state)
    prefixes = {found[1] for name in plain if (found := _NETWORK.match(name))}
    if not prefixes:
        names = ", ".join(shown(n)[1:-1] for n in sorted(plain)[:3])
        msg = (
            f"no network that is known here in this checkpoint (it holds {names or 'nothing'} "
            "...); expected names such as waffleiron.channel_mix.0.norm.weight (ScaLR), "
            "conv0p1s1.kernel (MinkUNet of SLidR) or embedding.stem.conv.weight (LitePT, PTv3)."
        )
        raise CheckpointError(msg)
    before = only_prefix(prefixes)
    ours = {n.removeprefix(before): v for n, v in plain.items() if n.startswith(before)}
    return ours, [name for name in plain if not name.startswith(before)]


def _groups_of(names: list[str]) -> tuple[str, ...]:
    """Names that were left out, in short: each, or what many of them begin with.

    Raises:
        CheckpointError: If they are of more kinds than anybody would want to hear of.
    """
    counts = Counter(name if name.startswith(_OURS) else name.split(".")[0] for name in names)
    if len(counts) > _MAX_GROUPS:
        raise _unknown(next(iter(names)), len(names))
    return tuple(f"{shown(n)} ({c} weights)" if c > 1 else shown(n) for n, c in counts.items())


def _head_names(weights: Mapping[str, object]) -> dict[str, str]:
    if "classif.0.running_mean" in weights:
        return {"classif.0": "norm", "classif.1": "linear"}
    if "classif.2.weight" in weights:
        return {"classif.0": "linear1", "classif.2": "linear2"}
    return {"classif": "linear"}


def _our_name(base: str, head_names: Mapping[str, str]) -> str | None:
    """Our name of a module of theirs; None where a WaffleIron has no such module."""
    if base in head_names:
        return head_names[base]
    if base.startswith("embed."):
        inner = _EMBED.get(base.removeprefix("embed."))
        return None if inner is None else f"embed.{inner}"
    mix = re.fullmatch(r"waffleiron\.(\w+)\.([0-9]{1,7})\.(.+)", base)
    part = _MIX.get(mix[1], {}).get(mix[3]) if mix else None
    return f"layers.{int(mix[2])}.{_MIX_NAME[mix[1]]}.{part}" if mix and part else None


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


def _unknown(name: str, number: int = 1) -> CheckpointError:
    more = f" and {number - 1:,} more" if number > 1 else ""
    msg = f"unknown weight {shown(name)}{more}; expected those of a WaffleIron with its head."
    return CheckpointError(msg)
