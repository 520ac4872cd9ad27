"""Names and shapes of the authors' LitePT and Point Transformer V3 checkpoints, to ours and back.

Their sparse convolutions are spconv's: weights (out, kx, ky, kz, in).
"""

import re
from collections import Counter
from collections.abc import Mapping
from typing import Any, Final

from torch import Tensor

from lidistill.backbones.published_names import (
    NamedWeights,
    Placed,
    check_tensor,
    named_weights,
    plain_names,
)
from lidistill.errors import CheckpointError
from lidistill.reading.names import shown
from lidistill.sparse.layout import from_spconv

_STEM: Final = {"stem.conv": "conv", "stem.norm": "norm"}
_DOWN: Final = {"proj": "proj", "norm.0": "norm"}
_UP: Final = {
    "proj.0": "coarse",
    "proj.1": "coarse_norm",
    "proj_skip.0": "skip",
    "proj_skip.1": "skip_norm",
}
_LOCAL: Final = {"0": "local.conv", "1": "local.linear", "2": "local.norm"}
_BLOCK: Final = {
    **{f"conv.{number}": ours for number, ours in _LOCAL.items()},  # LitePT
    **{f"cpe.{number}": ours for number, ours in _LOCAL.items()},  # Point Transformer V3
    "norm0.0": "entry_norm",
    "norm1.0": "patch.attention_norm",
    "attn.qkv": "patch.attention.qkv",
    "attn.proj": "patch.attention.out",
    "norm2.0": "patch.mlp_norm",
    "mlp.0.fc1": "patch.mlp_wide",
    "mlp.0.fc2": "patch.mlp_narrow",
}
_LEVEL: Final = re.compile(r"(enc|dec)\.\1([0-9]{1,3})\.(down|up|block([0-9]{1,3}))\.(.+)")


_FIRST: Final = "embedding.stem.conv.weight"
_NETWORK: Final = re.compile(rf"((?:[^.]+\.)*?){re.escape(_FIRST)}")
_FAMILY: Final = ("embedding.", "enc.", "dec.")
_HEAD: Final = re.compile(r"(?:[^.]+\.)*seg_head\.(weight|bias)")
_LEAVES: Final = frozenset({"weight", "bias", "running_mean", "running_var", "num_batches_tracked"})
_HEAD_CHANNELS: Final = {"litept": 18, "ptv3": 16}  # of every published size


def is_serialized(state: Mapping[str, object]) -> bool:
    """Whether a file holds weights under the authors' names of a LitePT or a PTv3."""
    return any(_NETWORK.fullmatch(name) for name in plain_names(state))


def from_pointcept(state: Mapping[str, object]) -> NamedWeights:
    """Weights of a LitePT or a Point Transformer V3 under our names.

    Args:
        state: What their file holds: the weights, or a dictionary with them under a usual key.
            ``seg_head``, which tells classes apart, becomes a ``LinearHead``.

    Raises:
        CheckpointError: If a part of such a network is unknown, or a weight is no plain tensor.
    """
    return named_weights(state, first=_NETWORK, place=_place)


def architecture(weights: dict[str, Tensor]) -> dict[str, Any]:
    """Configuration of the network as far as shapes tell it; heads are those of published sizes.

    Args:
        weights: State of a network of serialised attention.

    Raises:
        CheckpointError: If a part of it is missing.
    """
    kind = "litept" if any(".entry_norm." in name for name in weights) else "ptv3"
    up, down = _widths(weights, "decoder", "skip"), _widths(weights, "encoder", "proj")
    widths = [weights["stem.conv.kernel"].shape[-1], *down]
    depths, back = _depths(weights, "encoder"), _depths(weights, "decoder")
    if len(depths) != len(widths) or len(up) != len(widths) - 1:
        msg = (
            f"these weights have {len(widths)} widths, blocks of {len(depths)} levels and "
            f"{len(up)} ways back; is the file complete?"
        )
        raise CheckpointError(msg)
    attending = _attending(weights, "encoder")
    found = {
        "kind": kind,
        "widths": widths,
        "depths": depths,
        "decoder_widths": up,
        "heads": [max(1, widths[level] // _HEAD_CHANNELS[kind]) for level in attending],
    }
    if kind == "ptv3":
        found["decoder_depths"] = back
        found["decoder_heads"] = [max(1, width // _HEAD_CHANNELS[kind]) for width in up]
    return found


def _place(name: str, within: str, value: object) -> Placed | None:
    if within.startswith(_FAMILY):
        return Placed("backbone", *ours(within, check_tensor(name, value)))
    head = _HEAD.fullmatch(name)
    return Placed("head", f"linear.{head[1]}", check_tensor(name, value)) if head else None


def _widths(weights: dict[str, Tensor], stages: str, entry: str) -> list[int]:
    """Widths behind the way into each level that has one."""
    numbered = re.compile(rf"{stages}\.([0-9]+)\.entry\.{entry}\.weight")
    found = {
        int(m[1]): w.shape[0] for name, w in weights.items() if (m := numbered.fullmatch(name))
    }
    return [found[level] for level in sorted(found)]


def _depths(weights: dict[str, Tensor], stages: str) -> list[int]:
    """How many blocks each level has that has any."""
    numbered = re.compile(rf"{stages}\.([0-9]+)\.blocks\.([0-9]+)\..*")
    blocks = {(int(m[1]), int(m[2])) for name in weights if (m := numbered.fullmatch(name))}
    counts = Counter(level for level, _ in blocks)
    return [counts[level] for level in sorted(counts)]


def _attending(weights: dict[str, Tensor], stages: str) -> list[int]:
    """The levels whose first block has attention."""
    numbered = re.compile(rf"{stages}\.([0-9]+)\.blocks\.0\.patch\.attention\.qkv\.weight")
    return sorted(int(m[1]) for name in weights if (m := numbered.fullmatch(name)))


def our_name(name: str) -> str | None:
    """Our name of a weight of theirs; None where these networks have no such weight."""
    base, _, leaf = name.rpartition(".")
    ours = _module(base)
    if ours is None:
        return None
    is_kernel = leaf == "weight" and ours.endswith(("stem.conv", "local.conv"))
    return f"{ours}.{'kernel' if is_kernel else leaf}"


def _module(base: str) -> str | None:
    if base.startswith("embedding."):
        part = _STEM.get(base.removeprefix("embedding."))
        return None if part is None else f"stem.{part}"
    found = _LEVEL.fullmatch(base)
    if found is None:
        return None
    stage = "encoder" if found[1] == "enc" else "decoder"
    if found[4] is not None:
        part = _BLOCK.get(found[5])
        return None if part is None else f"{stage}.{int(found[2])}.blocks.{int(found[4])}.{part}"
    part = {"down": _DOWN, "up": _UP}[found[3]].get(found[5])
    return None if part is None else f"{stage}.{int(found[2])}.entry.{part}"


def ours(name: str, tensor: Tensor) -> tuple[str, Tensor]:
    """Our name of a weight of theirs, and the weight in our shape.

    Raises:
        CheckpointError: If these networks have no such weight, or it is no kernel of spconv.
    """
    found = our_name(name)
    if found is None or name.rpartition(".")[2] not in _LEAVES:
        msg = f"unknown weight {shown(name)}; expected those of a LitePT or a PTv3."
        raise CheckpointError(msg)
    if not found.endswith(".kernel"):
        return found, tensor
    if tensor.ndim != 5 or len(set(tensor.shape[1:4])) > 1:
        msg = f"{shown(name)} is {tuple(tensor.shape)}, expected (out, k, k, k, in)."
        raise CheckpointError(msg)
    return found, from_spconv(tensor)
