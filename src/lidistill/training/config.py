"""What a training run consists of: its length and portions, its module, its data."""

from collections.abc import Callable, Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Self

import torch
from pydantic import Field, model_validator
from torch import nn

from lidistill.config import Config
from lidistill.distributed.processes import Sharding
from lidistill.training.optimizer import OptimizerConfig
from lidistill.training.precision import Precision
from lidistill.training.schedules import Schedule


class TrainConfig(Config):
    """How long, in what portions, in which precision."""

    epochs: Annotated[float, Field(gt=0, le=1e6)] | None = None
    steps: Annotated[int, Field(ge=1, le=10**9)] | None = None  # optimiser steps, instead of epochs
    batch_size: Annotated[int, Field(ge=1, le=65536)] = 8  # frames of one optimiser step, in all
    micro_batch: Annotated[int, Field(ge=1)] | None = None
    """Frames of one forward pass, in all; None: those of a step. Fewer save memory, and change
    what is learned: BatchNorm takes its statistics from one pass, and the Lovasz loss ranks the
    points of one pass (the gradients of a fine-tuning were 47 % apart at its start)."""
    precision: Precision = "fp32"
    checkpoint_every: Annotated[int, Field(ge=1)] = 1000  # optimiser steps
    keep_checkpoints: Annotated[int, Field(ge=1)] = 2  # the newest
    keep_best: bool = False  # and the one with the lowest loss since the one before it
    max_bad_steps: Annotated[int, Field(ge=1)] = 10
    """Steps in a row whose loss or gradient is not finite; so many end the run."""
    sharding: Sharding = "none"  # full: weights, gradients, optimiser split over processes

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Training:
    """What to train, with what, and where the results go."""

    module: nn.Module
    """``forward(item)`` returns ``{"loss": mean over the item, ...}``, all scalars."""
    prepare: Callable[[Any, torch.device], Any]
    """From a loaded batch to what ``forward`` gets, on the device."""
    weight: Callable[[Any], float]
    """What an item counts in the mean over a step, for example its number of pairs."""
    batches: Callable[[int, int], Generator[list[Any], None, None]]
    """This process's batches of the steps from one to another; one list for each step."""
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
    loss_is_shared: bool = False
    """Whether ``forward`` returns the loss over the items of all processes, as a loss that is no
    mean must; else it returns that of its own item."""
    rate_name: str = "items_per_s"
    """What the sum of the weights a second is called."""
    complete: Callable[[dict[str, Any]], dict[str, Any]] = dict
    """Fills in what the recipe of a run of an older version does not say yet."""
    may_change: frozenset[str] = frozenset()
    """Dotted keys of the recipe that may differ when a run is resumed."""
    may_move: frozenset[str] = frozenset()
    """Keys whose value may differ, but that may not appear or vanish."""
