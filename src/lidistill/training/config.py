"""What a training run consists of: its length and portions, its module, its data."""

from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar, Self

import torch
from pydantic import Field, model_validator
from torch import nn

from lidistill.config import Config, MayChange, Precision, Seed, with_defaults, with_moved_keys
from lidistill.distributed.processes import Sharding
from lidistill.training.optimizer import OptimizerConfig
from lidistill.training.schedules import Schedule


class TrainConfig(Config):
    """How long, in what portions, in which precision."""

    epochs: MayChange[Annotated[float, Field(gt=0, le=1e6)] | None] = None
    steps: MayChange[Annotated[int, Field(ge=1, le=10**9)] | None] = (
        None  # optimiser steps, instead of epochs
    )
    batch_size: Annotated[int, Field(ge=1, le=65536)] = 8  # frames of one optimiser step, in all
    micro_batch: Annotated[int, Field(ge=1)] | None = None
    """Frames of one forward pass, in all; None: those of a step. Fewer save memory, and change
    what is learned: BatchNorm takes its statistics from one pass, and the Lovasz loss ranks the
    points of one pass (the gradients of a fine-tuning were 47 % apart at its start). Of several
    teachers, one that sees a part of the pairs alone weighs by all pairs of each pass."""
    precision: Precision = "fp32"
    checkpoint_every: MayChange[Annotated[int, Field(ge=1)]] = 1000  # optimiser steps
    keep_checkpoints: MayChange[Annotated[int, Field(ge=1)]] = 2  # the newest
    keep_best: MayChange[bool] = False  # and the one with the lowest loss since the one before it
    max_bad_steps: MayChange[Annotated[int, Field(ge=1)]] = 10
    """Steps in a row whose loss or gradient is not finite; so many end the run."""
    sharding: MayChange[Sharding] = (
        "none"  # full: weights, gradients, optimiser split over processes
    )

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


class RunRecipe(Config):
    """What the recipes of all runs share: where, on what, how long, at which learning rates."""

    kind: str
    name: MayChange[str]
    output: MayChange[Path]
    """Run folder."""
    seed: Seed = 0
    device: MayChange[str] = "auto"
    optimizer: OptimizerConfig = OptimizerConfig()
    schedule: Schedule
    train: TrainConfig

    former: ClassVar[Mapping[str, str]] = {}
    """Keys of older versions, and what they are called now; see ``config.with_moved_keys``."""

    @model_validator(mode="before")
    @classmethod
    def _present_keys(cls, values: Any) -> Any:
        return with_moved_keys(values, cls.former)

    def as_present(self, stored: dict[str, Any]) -> dict[str, Any]:
        """What an older version stored of a run, in the keys and with the defaults of this one."""
        return with_defaults(type(self), stored)

    def check_length(self, steps_per_epoch: int) -> None:
        """See to it that the schedule fits the length of the run.

        Raises:
            ConfigError: If it does not.
        """
        self.schedule.check(
            total_steps=self.train.total_steps(steps_per_epoch),
            steps_per_epoch=steps_per_epoch,
            lr=self.optimizer.lr,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchSource:
    """What a module is fed with, step by step."""

    batches: Callable[[int, int], Generator[list[Any], None, None]]
    """``batches(start, stop)`` gives a list for each of the steps from start up to, not including,
    stop: the items that this process passes through the module in that step."""
    steps_per_epoch: int
    weight: Callable[[Any], float]
    """What an item counts in the mean over a step, for example its number of pairs."""
    sources: Callable[[Any], tuple[str, ...]] = lambda _: ()
    """What an item was made from, to say where a bad step may come from."""
    source_word: str = "items"
    """What sources are called, in the plural."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Training:
    """What to train, with what, and where the results go."""

    module: nn.Module
    """``forward(item)`` returns ``{"loss": mean over the item, ...}``, all scalars."""
    feed: BatchSource
    recipe: RunRecipe
    device: torch.device
    meta: dict[str, Any]
    """What a checkpoint says beside its recipe. What lies under the feed's ``source_word`` must be
    the same when a run goes on."""
    loss_is_shared: bool = False
    """Whether ``forward`` returns the loss over the items of all processes, as a loss that is no
    mean must; else it returns that of its own item."""
    rate_name: str = "items_per_s"
    """What the sum of the weights a second is called."""

    @property
    def run(self) -> Path:
        """Run folder."""
        return self.recipe.output

    @property
    def values(self) -> dict[str, Any]:
        """The recipe as JSON values."""
        return self.recipe.model_dump(mode="json")

    @property
    def config(self) -> TrainConfig:
        """How long, in what portions, in which precision."""
        return self.recipe.train

    @property
    def total_steps(self) -> int:
        """Optimiser steps of the whole run."""
        return self.config.total_steps(self.feed.steps_per_epoch)
