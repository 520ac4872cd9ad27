"""Checkpoints: folders that explain themselves, written beside and renamed, read without code.

A checkpoint holds ``weights.safetensors``, ``training.pt`` (optimiser and loss scaler) and
``checkpoint.json`` (format, step, resolved recipe, label names, input statistics, versions).
The random state needs no file: every random choice is a function of seed, epoch, frame and step.
"""

import json
import os
import platform
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

import lidistill
from lidistill.errors import UNREADABLE, CheckpointError, first_line

FORMAT = 1
_FILES = ("weights.safetensors", "checkpoint.json")
_STEP = re.compile(r"step-(\d+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """What one checkpoint folder holds; the training state is read on demand."""

    path: Path
    step: int
    recipe: dict[str, Any]
    """The resolved recipe of the run."""
    meta: dict[str, Any]
    """Label names, input statistics, versions, seed."""
    weights: dict[str, Tensor]

    def training_state(self) -> dict[str, Any]:
        """Optimiser and loss scaler.

        Raises:
            CheckpointError: If they are not there, as in a checkpoint made for inference, or
                cannot be read as plain tensors and numbers; no code in them is run.
        """
        file = self.path / "training.pt"
        if not file.is_file():
            msg = f"{self.path} holds no training state (training.pt), so it cannot be resumed."
            raise CheckpointError(msg)
        try:
            return torch.load(file, map_location="cpu", weights_only=True)
        except UNREADABLE as error:
            msg = (
                f"{file} is not a readable training state ({first_line(error)}); use another "
                "checkpoint."
            )
            raise CheckpointError(msg) from error


def save_checkpoint(
    folder: Path,
    *,
    step: int,
    weights: dict[str, Tensor],
    training: dict[str, Any],
    recipe: dict[str, Any],
    meta: dict[str, Any],
    keep: int,
) -> Path:
    """Write ``folder/step-NNNNNNNN`` whole or not at all, then drop the oldest ones.

    Args:
        folder: The run's ``checkpoints`` folder.
        step: Optimiser steps done.
        weights: State dictionary of all that is trained.
        training: State of the optimiser and the loss scaler.
        recipe: Resolved recipe, as JSON values.
        meta: Label names, input statistics, seed.
        keep: How many of the newest checkpoints stay.
    """
    target = folder / f"step-{step:08d}"
    side = folder / f".writing-step-{step:08d}"
    shutil.rmtree(side, ignore_errors=True)
    side.mkdir(parents=True)
    save_file({k: v.detach().cpu().contiguous() for k, v in weights.items()}, side / _FILES[0])
    torch.save(training, side / "training.pt")
    record = {
        "format": FORMAT,
        "step": step,
        "recipe": recipe,
        "meta": meta,
        "versions": versions(),
    }
    (side / _FILES[1]).write_text(json.dumps(record, indent=1), encoding="utf-8")
    for file in side.iterdir():
        _sync(file)
    _sync(side)
    shutil.rmtree(target, ignore_errors=True)
    side.replace(target)
    _sync(folder)
    for old in _steps(folder)[:-keep]:
        shutil.rmtree(old, ignore_errors=True)
    return target


def load_checkpoint(path: Path) -> Checkpoint:
    """Read a checkpoint, or the newest one of a run folder.

    Args:
        path: A checkpoint folder, a run folder, or a run's ``checkpoints`` folder.

    Raises:
        CheckpointError: If there is none, or it cannot be read.
    """
    folder = _find(path)
    try:
        record = _read_record(folder / _FILES[1])
        weights = load_file(folder / _FILES[0])
    except (OSError, ValueError, SafetensorError) as error:
        msg = f"{folder} is not a readable checkpoint ({error}); use another one of the run."
        raise CheckpointError(msg) from error
    if record.get("format") != FORMAT:
        msg = (
            f"{folder} has checkpoint format {record.get('format')}, this lidistill "
            f"{lidistill.__version__} reads format {FORMAT}; use the version that wrote it."
        )
        raise CheckpointError(msg)
    return Checkpoint(
        path=folder,
        step=record["step"],
        recipe=record["recipe"],
        meta=record["meta"] | {"versions": record.get("versions", {})},
        weights=weights,
    )


def has_checkpoint(run: Path) -> bool:
    """Whether a run folder holds a complete checkpoint."""
    return bool(_steps(run / "checkpoints"))


def load_weights(module: torch.nn.Module, weights: dict[str, Tensor], *, source: Path) -> None:
    """Put weights into a module that must fit them exactly.

    Raises:
        CheckpointError: If a name or a shape differs; the message says which.
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
        found = [*shapes[:1], *(f"{n} is missing" for n in missing[:1])]
        found += [f"{n} is unknown" for n in extra[:1]]
        msg = (
            f"{source} is of another architecture: {'; '.join(found)} "
            f"({len(shapes)} shapes, {len(missing)} missing, {len(extra)} unknown); use the recipe "
            "it was trained with, which lies in the checkpoint."
        )
        raise CheckpointError(msg)
    module.load_state_dict(weights)


def versions() -> dict[str, str]:
    """Versions of what computed a result."""
    return {
        "lidistill": lidistill.__version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
    }


def _read_record(file: Path) -> dict[str, Any]:
    record = json.loads(file.read_text(encoding="utf-8"))
    kinds = {"step": int, "recipe": dict, "meta": dict}
    if not isinstance(record, dict):
        msg = f"{file.name} holds {type(record).__name__}, expected an object"
        raise ValueError(msg)  # noqa: TRY004  load_checkpoint turns it into a CheckpointError
    wrong = [key for key, kind in kinds.items() if not isinstance(record.get(key), kind)]
    if wrong and record.get("format") == FORMAT:
        msg = f"{file.name} has no valid {wrong[0]!r}"
        raise ValueError(msg)
    return record


def _steps(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    named = [(m, p) for p in folder.iterdir() if (m := _STEP.fullmatch(p.name))]
    return [p for m, p in sorted(named, key=lambda pair: int(pair[0][1]))]


def _find(path: Path) -> Path:
    if (path / _FILES[1]).is_file():
        return path
    steps = _steps(path / "checkpoints") or _steps(path)
    if not steps:
        found = "an empty or other folder" if path.is_dir() else "nothing"
        msg = (
            f"no checkpoint at {path} ({found}); give a run folder that `lidistill pretrain` "
            "wrote, or one of the folders in its checkpoints/."
        )
        raise CheckpointError(msg)
    return steps[-1]


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
