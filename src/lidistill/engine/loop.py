"""The training loop: one code path, explicit, resumable at any step."""

import contextlib
import hashlib
import logging
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Protocol, Self

import torch
import yaml
from pydantic import Field, model_validator
from torch import Tensor, nn

from lidistill.config import Config
from lidistill.engine.checkpoint import (
    has_checkpoint,
    load_checkpoint,
    load_weights,
    save_checkpoint,
)
from lidistill.engine.optim import OptimizerConfig
from lidistill.engine.precision import Precision, autocast, make_scaler
from lidistill.engine.progress import ProgressBar
from lidistill.engine.schedules import Schedule
from lidistill.engine.tracking import JsonLinesTracker, TensorBoardTracker, Trackers
from lidistill.errors import CheckpointError, TrainingError

logger = logging.getLogger(__name__)


class TrainConfig(Config):
    """How long, in what portions, in which precision."""

    epochs: Annotated[float, Field(gt=0)] | None = None
    steps: Annotated[int, Field(ge=1)] | None = None  # optimiser steps, instead of epochs
    batch_size: Annotated[int, Field(ge=1)] = 8  # frames of one optimiser step, in all
    micro_batch: Annotated[int, Field(ge=1)] | None = None  # frames of one forward pass
    precision: Precision = "fp32"
    checkpoint_every: Annotated[int, Field(ge=1)] = 1000  # optimiser steps
    keep_checkpoints: Annotated[int, Field(ge=1)] = 2

    @model_validator(mode="after")
    def _one_length(self) -> Self:
        if (self.epochs is None) == (self.steps is None):
            msg = "give the length of training as epochs or as steps, one of the two"
            raise ValueError(msg)
        return self

    def total_steps(self, steps_per_epoch: int) -> int:
        """Optimiser steps of the whole run."""
        if self.steps is not None:
            return self.steps
        assert self.epochs is not None  # noqa: S101  checked by _one_length
        return max(1, round(self.epochs * steps_per_epoch))


class Item(Protocol):
    """What one forward pass gets; it can move to a device."""

    def to(self, device: torch.device) -> Self:
        """Copy on another device."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Training:
    """What to train, with what, and where the results go."""

    module: nn.Module
    """``forward(item)`` returns ``{"loss": mean over the item, ...}``, all scalars."""
    prepare: Callable[[Any, torch.device], Any]
    """From a loaded batch to what ``forward`` gets, on the device."""
    weight: Callable[[Any], float]
    """What an item counts in the mean over a step, for example its number of pairs."""
    batches: Callable[[int, int], Iterator[list[Any]]]
    """Batches of the steps from one to another; one list for each step."""
    run: Path
    """Run folder."""
    config: TrainConfig
    optimizer: OptimizerConfig
    schedule: Schedule
    steps_per_epoch: int
    device: torch.device
    seed: int
    recipe: dict[str, Any]
    meta: dict[str, Any]
    rate_name: str = "items_per_s"
    """What the sum of the weights a second is called."""
    may_change: frozenset[str] = frozenset()
    """Dotted keys of the recipe that may differ when a run is resumed."""
    may_move: frozenset[str] = frozenset()
    """Keys whose value may differ, but that may not appear or vanish."""


def train(training: Training) -> Path:
    """Train to the end, from the newest checkpoint of the run folder where there is one.

    Returns:
        The last checkpoint.

    Raises:
        TrainingError: If the loss is no longer finite.
        CheckpointError: If the run folder holds a run of another recipe.
    """
    config = training.config
    total = config.total_steps(training.steps_per_epoch)
    module = training.module.to(training.device)
    optimizer = training.optimizer.build(module)
    scaler = make_scaler(training.device, config.precision)
    start = _resume(training, optimizer, scaler)
    text = yaml.safe_dump(training.recipe, sort_keys=False)
    training.run.mkdir(parents=True, exist_ok=True)
    (training.run / "recipe.yaml").write_text(text, encoding="utf-8")
    trackers = Trackers(
        JsonLinesTracker(training.run / "log.jsonl", resume_step=start),
        TensorBoardTracker(training.run / "tensorboard", resume_step=start),
    )

    def save(step: int) -> Path:
        return save_checkpoint(
            training.run / "checkpoints",
            step=step,
            weights=module.state_dict(),
            training={"optimizer": optimizer.state_dict(), "scaler": scaler.state_dict()},
            recipe=training.recipe,
            meta=training.meta | {"seed": training.seed},
            keep=config.keep_checkpoints,
        )

    module.train()
    bar = ProgressBar("training", total=total, done=start)
    with contextlib.closing(trackers), bar:
        clock = time.monotonic()
        for step, group in enumerate(training.batches(start, total), start=start):
            values = _step(training, step, group, optimizer, scaler)
            now = time.monotonic()
            values[training.rate_name] = values.pop("weight") / max(now - clock, 1e-9)
            clock = now
            trackers.log(step + 1, values)
            bar.advance(_text(values))
            if (step + 1) % config.checkpoint_every == 0 and step + 1 < total:
                save(step + 1)
    if start < total:
        return save(total)
    return load_checkpoint(training.run).path


def step_seed(seed: int, step: int) -> int:
    """Seed of everything random inside the networks in one step, so that a step can be repeated."""
    digest = hashlib.sha256(f"{seed}/{step}".encode()).digest()
    return int.from_bytes(digest[:7], "big")


def _step(
    training: Training,
    step: int,
    group: list[Any],
    optimizer: torch.optim.Optimizer,
    scaler: torch.amp.GradScaler,
) -> dict[str, float]:
    """One optimiser step over all items of a group; the loss is the mean over all they count."""
    lr = training.optimizer.lr
    total_steps = training.config.total_steps(training.steps_per_epoch)
    factor = training.schedule.factor(
        step, total_steps=total_steps, steps_per_epoch=training.steps_per_epoch, lr=lr
    )
    for parameters in optimizer.param_groups:
        parameters["lr"] = lr * factor
    torch.manual_seed(step_seed(training.seed, step))
    total = sum(training.weight(item) for item in group)
    sums: dict[str, Tensor] = {}
    for item in group:
        share = training.weight(item) / total
        with autocast(training.device, training.config.precision):
            out = training.module(training.prepare(item, training.device))
        scaler.scale(out["loss"] * share).backward()
        for name, value in out.items():
            sums[name] = sums.get(name, 0) + value.detach() * share
    values = {name: float(value) for name, value in sums.items()}
    if not math.isfinite(values["loss"]):
        names = [name for item in group for name in getattr(item, "frame_ids", ())]
        msg = (
            f"the loss is {values['loss']} at step {step} (frames {', '.join(names)}); lower "
            "optimizer.lr, set optimizer.clip_norm, or look at these frames."
        )
        raise TrainingError(msg)
    scaler.unscale_(optimizer)
    if training.optimizer.clip_norm is not None:
        trained = [p for p in training.module.parameters() if p.grad is not None]
        norm = nn.utils.clip_grad_norm_(trained, training.optimizer.clip_norm)
        values["grad_norm"] = float(norm)
    scaler.step(optimizer)
    scaler.update()
    optimizer.zero_grad(set_to_none=True)
    return values | {"lr": lr * factor, "weight": total}


def _resume(
    training: Training, optimizer: torch.optim.Optimizer, scaler: torch.amp.GradScaler
) -> int:
    if not has_checkpoint(training.run):
        return 0
    checkpoint = load_checkpoint(training.run)
    before, now = _flat(checkpoint.recipe), _flat(training.recipe)
    changed = sorted(
        key
        for key in before.keys() | now.keys()
        if before.get(key) != now.get(key)
        and not _below(key, training.may_change)
        and not (key in training.may_move and before.get(key) and now.get(key))
    )
    if changed:
        msg = (
            f"{training.run} holds a run of another recipe (different: {', '.join(changed)}); "
            "give another output=FOLDER, or delete that one to start anew."
        )
        raise CheckpointError(msg)
    load_weights(training.module, checkpoint.weights, source=checkpoint.path)
    state = checkpoint.training_state()
    optimizer.load_state_dict(state["optimizer"])
    scaler.load_state_dict(state["scaler"])
    logger.info("resuming %s at step %d", training.run, checkpoint.step)
    return checkpoint.step


def _flat(values: Any, prefix: str = "") -> dict[str, Any]:
    """Nested values as dotted keys."""
    if isinstance(values, dict):
        items: Any = values.items()
    elif isinstance(values, list) and values:
        items = enumerate(values)
    else:
        return {prefix: values}
    flat: dict[str, Any] = {}
    for key, value in items:
        flat |= _flat(value, f"{prefix}.{key}" if prefix else str(key))
    return flat


def _below(key: str, parents: frozenset[str]) -> bool:
    return any(key == parent or key.startswith(f"{parent}.") for parent in parents)


def _text(values: dict[str, float]) -> str:
    shown = [f"{name} {value:.4g}" for name, value in values.items() if name != "grad_norm"]
    return "  ".join(shown)
