"""What all published checkpoints have in common: wrappers around names, odd weights."""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

import torch
from torch import Tensor

from lidistill.errors import CheckpointError
from lidistill.reading.names import shown
from lidistill.reading.plain_pickle import Inert

_WRAPPERS: Final = (
    *("net", "model_point", "model_points"),
    *("state_dict", "model_state_dict", "model_state", "model"),
)
"""Keys under which training scripts store the weights; ``model_points`` is SLidR's and an early
ScaLR's, ``model_state`` OpenPCDet's."""
_MAX_WRAPPERS: Final = 4  # within one another
_MAX_NAMES: Final = 10_000
_MEAN: Final = "running_mean"
_WRAPPED: Final = re.compile(r"(?<![^.])(?:module|_orig_mod)\.")
"""What DistributedDataParallel and torch.compile put into names, before any part of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedWeights:
    """Weights under the names of this package."""

    backbone: dict[str, Tensor]
    """State of a backbone."""
    head: dict[str, Tensor] = field(default_factory=dict)
    """State of a ``LinearHead``, ``MLPHead`` or ``SegmentationHead``; empty where there is none."""
    left_out: tuple[str, ...] = ()
    """What else stood there, in short: no part of the network."""


def plain_names(state: Mapping[str, object]) -> dict[str, object]:
    """What a file holds in its innermost wrapper, without what DDP and torch.compile put in names.

    Raises:
        CheckpointError: If there are more names than any network has.
    """
    for _ in range(_MAX_WRAPPERS):
        inner = next((state[w] for w in _WRAPPERS if isinstance(state.get(w), Mapping)), None)
        if not isinstance(inner, Mapping):
            break
        state = inner
    if len(state) > _MAX_NAMES:
        msg = f"this checkpoint has {len(state):,} names; a backbone has a few thousand at most."
        raise CheckpointError(msg)
    return {_WRAPPED.sub("", str(name)): value for name, value in state.items()}


def only_prefix(found: Iterable[str]) -> str:
    """What stands before all names of the one network of a file.

    Args:
        found: What stands before names that are of such a network.

    Raises:
        CheckpointError: If these are several networks, or none.
    """
    prefixes = sorted(set(found))
    if not prefixes:
        msg = "this checkpoint holds no network of the kind that was asked for; is it another one?"
        raise CheckpointError(msg)
    before, *more = prefixes
    if more:
        names = ", ".join(shown(name)[1:-1] or "no prefix" for name in (before, *more)[:3])
        msg = f"this checkpoint holds {1 + len(more)} networks ({names}); save one by itself."
        raise CheckpointError(msg)
    return before


@dataclass(frozen=True, slots=True)
class Placed:
    """Where a weight of a file belongs."""

    part: Literal["backbone", "head"]
    name: str
    """Under our names."""
    value: Tensor


def named_weights(
    state: Mapping[str, object],
    *,
    first: re.Pattern[str],
    place: Callable[[str, str, object], Placed | None],
) -> NamedWeights:
    """All weights of a file's one network under our names.

    Args:
        state: What the file holds: the weights, or a dictionary with them under a usual key.
        first: Matches a name that each such network has once; group 1 is what stands before it.
        place: Given a weight's name, the same name within the network (empty where it stands
            beside it) and the value, says where it belongs; None if it is no part of the network.

    Raises:
        CheckpointError: If the file holds several networks; whatever ``place`` raises.
    """
    plain = plain_names(state)
    before = only_prefix(found[1] for name in plain if (found := first.fullmatch(name)))
    parts: dict[str, dict[str, Tensor]] = {"backbone": {}, "head": {}}
    others: Counter[str] = Counter()
    for name, value in plain.items():
        within = name.removeprefix(before) if name.startswith(before) else ""
        placed = place(name, within, value)
        if placed is None:
            others[shown(name.split(".")[0])] += 1
        else:
            parts[placed.part][placed.name] = placed.value
    for part in parts.values():
        for name in [name for name in part if name.endswith(_MEAN)]:
            # Some exports leave these counters out, which no output depends on.
            part.setdefault(f"{name.removesuffix(_MEAN)}num_batches_tracked", torch.tensor(0))
    left_out = (f"{n} ({c} weights)" if c > 1 else n for n, c in others.most_common(20))
    return NamedWeights(**parts, left_out=tuple(left_out))


def check_tensor(name: str, value: object) -> Tensor:
    """The value of a weight that the network needs.

    Raises:
        CheckpointError: If it is no plain tensor of floating point numbers.
    """
    if not isinstance(value, Tensor):
        what = value.what if isinstance(value, Inert) else f"a {type(value).__name__}"
        msg = f"{shown(name)} is {what}, expected a plain tensor; save it as one (x.to_dense())."
        raise CheckpointError(msg)
    if not value.is_floating_point() and not name.endswith("num_batches_tracked"):
        msg = f"{shown(name)} has values of the kind {value.dtype}, expected floating point."
        raise CheckpointError(msg)
    if value.numel() == 0:
        msg = f"{shown(name)} is {tuple(value.shape)}, a tensor without values."
        raise CheckpointError(msg)
    if value.ndim == 0 and not name.endswith("num_batches_tracked"):
        msg = f"{shown(name)} is one number, expected a tensor of more axes than none."
        raise CheckpointError(msg)
    return value
