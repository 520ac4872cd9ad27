"""Names and shapes of the authors' LitePT and Point Transformer V3 checkpoints, to ours and back.

Their sparse convolutions are spconv's: weights (out, kx, ky, kz, in).
"""

import re
from collections.abc import Mapping
from typing import Final

from torch import Tensor

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
    if found is None:
        msg = f"unknown weight {shown(name)}; expected those of a LitePT or a PTv3."
        raise CheckpointError(msg)
    if not found.endswith(".kernel"):
        return found, tensor
    if tensor.ndim != 5:
        msg = f"{shown(name)} is {tuple(tensor.shape)}, expected (out, k, k, k, in)."
        raise CheckpointError(msg)
    return found, from_spconv(tensor)


def state_from_official(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The state of a network of ours out of weights under the authors' names.

    Raises:
        CheckpointError: See ``ours``.
    """
    return dict(ours(name, tensor) for name, tensor in state.items())
