"""Weights and the module they are for: compared by names and shapes before one meets the other."""

from collections.abc import Callable
from pathlib import Path
from typing import Final, TypeVar

import torch
from pydantic import TypeAdapter, ValidationError
from torch import Tensor

from lidistill.config import reason_of
from lidistill.errors import CheckpointError
from lidistill.reading.names import shown
from lidistill.training.checkpoint import Checkpoint

M = TypeVar("M", bound=torch.nn.Module)
T = TypeVar("T")
_RECIPE_ADVICE: Final = "use the recipe it was trained with, which lies in the checkpoint."


def load_weights(
    module: torch.nn.Module,
    weights: dict[str, Tensor],
    *,
    source: Path,
    advice: str = _RECIPE_ADVICE,
) -> None:
    """Put weights into a module that must fit them exactly.

    A module on the device "meta" is compared, and left without values.

    Raises:
        CheckpointError: If a name or a shape differs; it says which, and gives the advice.
    """
    own = module.state_dict()
    missing = sorted(own.keys() - weights.keys())
    extra = sorted(weights.keys() - own.keys())
    shapes = [
        f"{name} is {tuple(weights[name].shape)}, expected {tuple(own[name].shape)}"
        for name in sorted(own.keys() & weights.keys())
        if own[name].shape != weights[name].shape
    ]
    if missing or extra or shapes:
        found = [*shapes[:1], *(f"{shown(n)[1:-1]} is missing" for n in missing[:1])]
        found += [f"{shown(n)[1:-1]} is unknown" for n in extra[:1]]
        msg = (
            f"{source} is of another architecture: {'; '.join(found)} "
            f"({len(shapes)} shapes, {len(missing)} missing, {len(extra)} unknown); {advice}"
        )
        raise CheckpointError(msg)
    if not any(tensor.is_meta for tensor in own.values()):
        module.load_state_dict(weights)


def check_fits(
    build: Callable[[], torch.nn.Module], weights: dict[str, Tensor], *, source: Path
) -> None:
    """Compare weights with a module that is not built yet, so that it takes no memory.

    Raises:
        CheckpointError: See ``load_weights``.
    """
    with torch.device("meta"):
        load_weights(build(), weights, source=source)


def build_fitting(
    build: Callable[[], M],
    weights: dict[str, Tensor],
    *,
    source: Path,
    advice: str = _RECIPE_ADVICE,
) -> M:
    """Build a module and put weights into it; shapes are compared before it takes any memory.

    Raises:
        CheckpointError: See ``load_weights``.
    """
    with torch.device("meta"):
        load_weights(build(), weights, source=source, advice=advice)
    module = build()
    load_weights(module, weights, source=source, advice=advice)
    return module


def part_of(checkpoint: Checkpoint, part: str) -> dict[str, Tensor]:
    """The weights of one part of a checkpoint, under their names in it; empty where it has none."""
    prefix = f"{part}."
    return {
        k.removeprefix(prefix): v for k, v in checkpoint.weights.items() if k.startswith(prefix)
    }


def backbone_weights(checkpoint: Checkpoint) -> dict[str, Tensor]:
    """The backbone's part of a checkpoint.

    Raises:
        CheckpointError: If it holds none.
    """
    found = part_of(checkpoint, "backbone")
    if not found:
        msg = f"{checkpoint.path} holds no backbone; give the run folder of a distillation."
        raise CheckpointError(msg)
    return found


def stored_config(form: TypeAdapter[T], values: object, checkpoint: Checkpoint, what: str) -> T:
    """The configuration of a network that a checkpoint says it had.

    Args:
        form: What it must be.
        values: As stored.
        checkpoint: For the error.
        what: What it is of.

    Raises:
        CheckpointError: If it is none.
    """
    try:
        return form.validate_python(values)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, (what, *first["loc"])))
        msg = (
            f"{checkpoint.path} says what is no network of this lidistill: {shown(where)}: "
            f"{reason_of(first['msg'])[:200]}. Use a checkpoint as lidistill wrote it."
        )
        raise CheckpointError(msg) from error
