"""Checkpoints: folders that explain themselves, written beside and renamed, read without code.

A checkpoint holds ``weights.safetensors``, ``training.pt`` (optimiser and loss scaler) and
``checkpoint.json`` (format, step, resolved recipe, label names, input statistics, versions, and a
checksum of each file). The random state needs no file: every random choice is a function of seed,
epoch, frame and step.
"""

import json
import platform
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor

import lidistill
from lidistill.atomic_write import replacing, sha256, sync
from lidistill.errors import (
    CheckpointError,
    DatasetNotFoundError,
    FileFormatError,
    TrainingError,
    first_line,
)
from lidistill.reading.safetensors_file import read_safetensors
from lidistill.training.checkpoint_record import (
    FORMAT,
    RECORD,
    TRAINING,
    WEIGHTS,
    Meta,
    check_sum,
    measure_to_minimize,
    read_record,
    record_sum,
    step_folders,
)
from lidistill.training.training_state import read_training_state

MAX_WEIGHTS: Final = 4 * 2**30
"""Bytes of a checkpoint's weights; those of WI-48-768 take 0.25 GB."""
_REPLACED = ".replaced-"
_STALE = (".writing-*", f"{_REPLACED}*", ".removing-*")


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
    sha256: dict[str, str]
    """Checksums of its files, in hexadecimal digits."""

    def training_state(self) -> dict[str, Any]:
        """Optimiser and loss scaler.

        Raises:
            CheckpointError: If they are not there, as in a checkpoint made for inference, or
                cannot be read as plain tensors and numbers; no code in them is run.
        """
        file = self.path / TRAINING
        if not file.is_file():
            msg = f"{self.path} holds no training state ({TRAINING}), so it cannot be resumed."
            raise CheckpointError(msg)
        weights = (self.path / WEIGHTS).stat().st_size
        try:
            return read_training_state(file, self.sha256.get(TRAINING), weights=weights)
        except (OSError, ValueError) as error:
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
    measure: dict[str, float] | None = None,
) -> Path:
    """Write ``folder/step-NNNNNNNN`` whole or not at all; ``prune`` drops old ones.

    Args:
        folder: The run's ``checkpoints`` folder.
        step: Optimiser steps done.
        weights: State dictionary of all that is trained.
        training: State of the optimiser and the loss scaler.
        recipe: Resolved recipe, as JSON values.
        meta: Label names, input statistics, seed.
        measure: How good it is, as one name and number; see ``prune``.

    Raises:
        TrainingError: If a weight or a number of the optimiser is not finite.
        CheckpointError: If it cannot be written; what was there before is left as it was.
    """
    _check_finite(weights | {f"optimiser {name}": x for name, x in _tensors(training)}, step)
    target = folder / f"step-{step:08d}"
    side = folder / f".writing-{target.name}"
    try:
        shutil.rmtree(side, ignore_errors=True)
        if not folder.is_dir():
            folder.mkdir(parents=True)
            sync(folder.parent)
        side.mkdir()
        with replacing(side / WEIGHTS) as file:  # which safetensors would make for its owner alone
            save_file({k: v.detach().cpu().contiguous() for k, v in weights.items()}, file)
        torch.save(training, side / TRAINING)
        record = {"format": FORMAT, "step": step, "recipe": recipe, "meta": meta}
        record |= {"versions": versions(), "measure": measure}
        sums = {name: sha256(side / name) for name in (WEIGHTS, TRAINING)}
        record["sha256"] = sums | {RECORD: record_sum(record)}
        (side / RECORD).write_text(json.dumps(record, indent=1), encoding="utf-8")
        _put_in_place(side, target)
    except (OSError, RuntimeError, SafetensorError) as error:
        shutil.rmtree(side, ignore_errors=True)
        kept = step_folders(folder)
        last = f"{kept[-1].name} is still there" if kept else "there is none before it"
        msg = (
            f"cannot write the checkpoint of step {step} into {folder} ({first_line(error)}); "
            f"{last}. Make room or give the right to write, then run the same command again."
        )
        raise CheckpointError(msg) from error
    return target


def prune(folder: Path, *, keep: int, best: bool) -> None:
    """Drop all but the newest checkpoints, and keep the best one where that is wanted.

    The best has the lowest measure called ``loss``, or the highest of another name. The link
    ``best`` beside the checkpoints leads to it.
    """
    steps = step_folders(folder)
    measured = [(value, path) for path in steps if (value := measure_to_minimize(path)) is not None]
    kept = set(steps[-keep:])
    if best and measured:
        winner = min(measured, key=lambda pair: pair[0])[1]
        kept.add(winner)
        side = folder / ".writing-best"
        side.unlink(missing_ok=True)
        side.symlink_to(winner.name)
        side.replace(folder / "best")
    for old in steps:
        if old not in kept:
            # Whatever is found under its own name is whole, even while it is being removed.
            shutil.rmtree(old.replace(old.with_name(f".removing-{old.name}")), ignore_errors=True)


def clean_stale(run: Path) -> None:
    """Remove what a run that was killed while it wrote has left behind.

    A checkpoint that was moved away for another that never came gets its name back.
    """
    for away in (run / "checkpoints").glob(f"{_REPLACED}step-*"):
        target = away.with_name(away.name.removeprefix(_REPLACED))
        if not target.exists():
            away.replace(target)
    for folder in (run, run / "checkpoints"):
        for pattern in _STALE:
            for stale in folder.glob(pattern):
                if stale.is_dir() and not stale.is_symlink():
                    shutil.rmtree(stale, ignore_errors=True)
                else:
                    stale.unlink(missing_ok=True)


def load_checkpoint(path: Path) -> Checkpoint:
    """Read a checkpoint, or the newest one of a run folder.

    Args:
        path: A checkpoint folder, a run folder, or a run's ``checkpoints`` folder.

    Raises:
        CheckpointError: If there is none, or it cannot be read.
    """
    folder = newest_checkpoint(path)
    try:
        record = read_record(folder / RECORD)
        sums: dict[str, str] = record.get("sha256", {})
        weights = read_safetensors(folder / WEIGHTS, max_bytes=MAX_WEIGHTS)
        check_sum(folder / WEIGHTS, sums.get(WEIGHTS), max_bytes=MAX_WEIGHTS)
    except (OSError, ValueError, FileFormatError, DatasetNotFoundError) as error:
        msg = (
            f"{folder} is not a readable checkpoint ({first_line(error)}); use another one of the "
            "run, or delete it to go on from the one before."
        )
        raise CheckpointError(msg) from error
    return Checkpoint(
        path=folder,
        step=record["step"],
        recipe=record["recipe"],
        meta=Meta(record["meta"] | {"versions": record.get("versions", {})}, folder),
        weights=weights,
        sha256=sums,
    )


def has_checkpoint(run: Path) -> bool:
    """Whether a run folder holds a complete checkpoint."""
    return bool(step_folders(run / "checkpoints"))


def versions() -> dict[str, str]:
    """Versions of what computed a result."""
    return {
        "lidistill": lidistill.__version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
    }


def _put_in_place(side: Path, target: Path) -> None:
    """Give a written folder its name, once it is on the disk."""
    for file in side.iterdir():
        sync(file)
    sync(side)
    replaced = target.with_name(f"{_REPLACED}{target.name}")
    if target.exists():
        target.replace(replaced)
    side.replace(target)
    sync(target.parent)
    shutil.rmtree(replaced, ignore_errors=True)


def _tensors(state: Any, name: str = "") -> Iterator[tuple[str, Tensor]]:
    """Every tensor in nested dictionaries and lists, with the keys that lead to it."""
    if isinstance(state, Tensor):
        yield name, state
    elif isinstance(state, dict | list):
        for key, value in state.items() if isinstance(state, dict) else enumerate(state):
            yield from _tensors(value, f"{name}.{key}".lstrip("."))


def _check_finite(tensors: dict[str, Tensor], step: int) -> None:
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            msg = (
                f"{name} is not finite after step {step}, so no checkpoint is written; resume "
                "from the last one with a lower optimizer.lr or with optimizer.clip_norm."
            )
            raise TrainingError(msg)


def newest_checkpoint(path: Path) -> Path:
    """Folder of a checkpoint, or of the newest one of a run.

    Raises:
        CheckpointError: If there is none.
    """
    if (path / RECORD).is_file():
        return path
    steps = step_folders(path / "checkpoints") or step_folders(path)
    if not steps:
        found = "an empty or other folder" if path.is_dir() else "nothing"
        msg = (
            f"no checkpoint at {path} ({found}); give a run folder that `lidistill pretrain` "
            "wrote, or one of the folders in its checkpoints/."
        )
        raise CheckpointError(msg)
    return steps[-1]
