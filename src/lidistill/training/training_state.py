"""The state of optimiser and loss scaler out of a checkpoint, read without running anything."""

from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor

from lidistill.reading.names import shown
from lidistill.reading.plain_pickle import Inert, Name
from lidistill.reading.torch_file import read_torch_file
from lidistill.training.checkpoint_record import check_sum

_RATIO: Final = 4
"""Size it may have, in sizes of the weights; AdamW's has two of them."""
_SLACK: Final = 1 << 26  # bytes beyond that ratio
_MAX_DEPTH: Final = 8
_FORM: Final = {"optimizer": dict, "scaler": dict, "bad_in_a_row": int, "losses": list}


def read_training_state(file: Path, checksum: str | None, *, weights: int) -> dict[str, Any]:
    """A training state in memory of its own, once it is found to have the form of one.

    Args:
        file: As ``torch.save`` wrote it.
        checksum: What it must have, if it is known.
        weights: Bytes of the weights it belongs to.

    Raises:
        OSError: If it cannot be opened.
        ValueError: If it is damaged, something else, or larger than such a state can be.
    """
    limit = _RATIO * weights + _SLACK
    check_sum(file, checksum, max_bytes=limit)
    state = read_torch_file(file, max_bytes=limit)
    for key, kind in _FORM.items():
        if not isinstance(state, dict) or not isinstance(state.get(key, kind()), kind):
            msg = f"it has no valid {key!r}"
            raise ValueError(msg)  # noqa: TRY004  whoever reads a checkpoint catches one error
    return {key: _owned(value, str(key)) for key, value in state.items()}


def check_optimizer(optimizer: torch.optim.Optimizer, state: dict[str, Any]) -> None:
    """Compare the shapes of an optimiser's state with those of what it steps.

    Raises:
        ValueError: If one differs.
    """
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    for index, values in state["state"].items():
        for name, value in values.items():
            if isinstance(value, Tensor) and value.dim() and value.shape != parameters[index].shape:
                found, expected = tuple(value.shape), tuple(parameters[index].shape)
                msg = f"{shown(name)} of parameter {index} is {found}, expected {expected}"
                raise ValueError(msg)


def _owned(value: Any, name: str, depth: int = 0) -> Any:
    """A part of a state, copied out of the file: the file may go while the run trains on."""
    if depth > _MAX_DEPTH or isinstance(value, Inert | Name):
        what = value.what if isinstance(value, Inert) else "nothing to restore"
        msg = f"{shown(name)} is {what}, expected numbers and tensors"
        raise ValueError(msg)
    if isinstance(value, dict):
        return {key: _owned(part, f"{name}.{key}", depth + 1) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_owned(part, name, depth + 1) for part in value)
    return value.clone() if isinstance(value, Tensor) else value
