"""Names and shapes of SLidR's MinkUNet checkpoints, to ours.

Kernels are (V, in, out) as ours are, those of one cell (in, out) where ours are linear layers.
"""

import logging
import re
from collections import Counter
from collections.abc import Mapping
from functools import partial
from typing import Any, Final, Literal, TypeAlias

from torch import Tensor

from lidistill.backbones.minkunet.config import BLOCKS, STAGES
from lidistill.backbones.published_names import (
    NamedWeights,
    Placed,
    check_tensor,
    named_weights,
    plain_names,
)
from lidistill.errors import CheckpointError
from lidistill.reading.names import shown
from lidistill.sparse.layout import from_z_fastest

logger = logging.getLogger(__name__)

KernelOrder: TypeAlias = Literal["minkowski", "torchsparse"]
"""How the places of a kernel count. MinkowskiEngine: x fastest. TorchSparse: likewise for odd
kernels, z fastest for even ones; that rests on its source alone, no vectors of it are at hand."""

_DOWN: Final = {f"conv{stage + 1}p{1 << stage}s2": stage for stage in range(4)}
_UP: Final = {f"convtr{stage}p{1 << (8 - stage)}s2": stage for stage in range(4, 8)}
_MOVES: Final = _DOWN | _UP
_NORMS: Final = {f"bn{n}": n - 1 for n in range(1, 5)} | {f"bntr{n}": n for n in range(4, 8)}
_IN_BLOCK: Final = {
    "conv1": "first.conv",
    "norm1": "first.norm",
    "conv2": "second.conv",
    "norm2": "second.norm",
    "downsample.0": "shortcut.linear",
    "downsample.1": "shortcut.norm",
}
_STEM: Final = {"conv0p1s1": "stem.conv", "bn0": "stem.norm"}
_STEMS: Final = {27: 3, 125: 5}  # edge of the first kernel, by its places
_NETWORK: Final = re.compile(r"((?:[^.]+\.)*?)conv0p1s1\.kernel")
_TORCHSPARSE_NORM: Final = re.compile(r"((?:[^.]+\.)*?)bn0\.weight")
_BLOCK: Final = re.compile(r"block([1-8])\.([0-9]{1,3})\.(.+)")
_FAMILY: Final = re.compile(r"(conv(tr)?[0-9]p|bn(tr)?[0-9]\.|block[0-9]+\.|final\.)")
_LEAVES: Final = frozenset(
    {"kernel", "weight", "bias", "running_mean", "running_var", "num_batches_tracked"}
)


def is_minkunet(state: Mapping[str, object]) -> bool:
    """Whether a file holds weights under SLidR's names of a MinkUNet."""
    return any(_NETWORK.fullmatch(name) for name in plain_names(state))


def from_slidr(
    state: Mapping[str, object], *, kernel_order: KernelOrder | None = None
) -> NamedWeights:
    """Weights of a MinkUNet of SLidR's family under our names; ``final`` is a ``LinearHead``.

    Args:
        state: What their file holds: the weights, or a dictionary with them under a usual key.
        kernel_order: Of the library that the network was trained with; None: the names of its norms
            tell, which are ``bn0.bn`` in MinkowskiEngine and ``bn0`` in TorchSparse.

    Raises:
        CheckpointError: If a part of a MinkUNet is unknown, or a weight is no plain tensor.
    """
    told = _order_by_names(state)
    if kernel_order not in (None, told):
        logger.warning(
            "the norms of these weights are named as %s names them, and their kernels are read in "
            "the order of %s: one of the two is wrong unless someone has renamed them",
            told, kernel_order,
        )  # fmt: skip
    place = partial(_place, kernel_order=kernel_order or told)
    return named_weights(state, first=_NETWORK, place=place)


def _order_by_names(state: Mapping[str, object]) -> KernelOrder:
    """Whose network it was, by the name of its first norm."""
    theirs = any(_TORCHSPARSE_NORM.fullmatch(name) for name in plain_names(state))
    return "torchsparse" if theirs else "minkowski"


def architecture(weights: dict[str, Tensor]) -> dict[str, Any]:
    """Configuration of the network as far as shapes tell it; what its channels are, they do not.

    Args:
        weights: State of a ``MinkUNet``.

    Raises:
        CheckpointError: If it is none of the sizes that there are, or of another library.
    """
    stem = weights["stem.conv.kernel"]
    if stem.ndim != 3 or len(stem) not in _STEMS:
        msg = (
            f"the first kernel (conv0p1s1) is {tuple(stem.shape)}, expected (27, in, out) or "
            "(125, in, out), as SLidR's MinkUNets have it."
        )
        raise CheckpointError(msg)
    width = stem.shape[-1]
    firsts = [weights.get(f"stages.{stage}.blocks.0.first.conv.kernel") for stage in range(8)]
    found = Counter(
        int(name.split(".")[1]) for name in weights if name.endswith(".first.conv.kernel")
    )
    blocks = tuple(found[stage] for stage in range(8))
    depth = next((depth for depth, known in BLOCKS.items() if known == blocks), None)
    if depth is None:
        known = ", ".join(f"{'-'.join(map(str, b))} (depth {d})" for d, b in BLOCKS.items())
        msg = (
            f"these weights have {'-'.join(map(str, blocks))} blocks in their stages; expected "
            f"{known}. Is the file complete?"
        )
        raise CheckpointError(msg)
    factors = tuple(0 if first is None else first.shape[-1] // width for first in firsts)
    name = next((name for name, known in STAGES.items() if known == factors), None)
    return {
        "kind": "minkunet",
        "depth": depth,
        "width": width,
        "stages": list(factors) if name is None else name,
        "kernel_size": _STEMS[len(stem)],
    }


def _place(name: str, within: str, value: object, *, kernel_order: KernelOrder) -> Placed | None:
    if not _FAMILY.match(within):
        return None
    base, _, leaf = within.rpartition(".")
    ours = "linear" if base == "final" else _our_name(base)
    if ours is None or leaf not in _LEAVES:
        msg = f"unknown weight {shown(name)}; expected those of a MinkUNet of SLidR."
        raise CheckpointError(msg)
    tensor = _as_ours(check_tensor(name, value), ours, leaf, kernel_order)
    part: Literal["head", "backbone"] = "head" if base == "final" else "backbone"
    return Placed(part, f"{ours}.{_our_leaf(ours, leaf)}", tensor)


def _our_name(base: str) -> str | None:
    """Our name of a module of theirs; None where a MinkUNet has no such module.

    MinkowskiEngine's norms hold one of PyTorch, ``bn0.bn``; TorchSparse's are one, ``bn0``.
    """
    base = base.removesuffix(".bn")
    if base in _STEM:
        return _STEM[base]
    if base in _MOVES:
        return f"stages.{_MOVES[base]}.move.conv"
    if base in _NORMS:
        return f"stages.{_NORMS[base]}.move.norm"
    block = _BLOCK.fullmatch(base)
    part = _IN_BLOCK.get(block[3]) if block else None
    return f"stages.{int(block[1]) - 1}.blocks.{block[2]}.{part}" if block and part else None


def _our_leaf(ours: str, leaf: str) -> str:
    return "weight" if leaf == "kernel" and ours.endswith("linear") else leaf


def _as_ours(tensor: Tensor, ours: str, leaf: str, kernel_order: KernelOrder) -> Tensor:
    if leaf == "kernel" and ours.endswith("linear"):
        return tensor.reshape(tensor.shape[-2:]).t() if tensor.ndim >= 2 else tensor
    if ours == "linear" and leaf == "bias":
        return tensor.flatten()
    even = leaf == "kernel" and ".move." in ours and tensor.ndim == 3 and len(tensor) == 8
    return from_z_fastest(tensor) if even and kernel_order == "torchsparse" else tensor
