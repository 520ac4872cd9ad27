"""Learning-rate factors over the iterations of a run, as pure functions and as configuration."""

import logging
import math
from typing import Annotated, Final, Literal

from pydantic import Field

from lidistill.config import Config
from lidistill.errors import ConfigError

logger = logging.getLogger(__name__)

_LONGEST_WARMUP: Final = 0.5  # of a run, before it is warned of
_LARGEST_JUMP: Final = 0.1  # of the rate in one step, before it is warned of
_PUBLISHED_WARMUP: Final = 0.02  # ScaLR: 3,500 of 172,175 steps
_PUBLISHED_EPOCHS: Final = 65  # of ScaLR+


def warmup_cosine(step: int, *, warmup_steps: int, total_steps: int, min_factor: float) -> float:
    """Linear warm-up from 0, then half a cosine down to ``min_factor``.

    References:
        ScaLR (CVPR 2024), section 4.1.
    """
    if step < warmup_steps:
        return step / warmup_steps
    if step >= total_steps:
        return min_factor
    progress = (step - warmup_steps) / (total_steps - warmup_steps)
    return min_factor + (1 - min_factor) * 0.5 * (1 + math.cos(math.pi * progress))


def warmup_reciprocal_sqrt_cooldown(
    step: int, *, warmup_steps: int, cooldown_start: int, total_steps: int, timescale: float
) -> float:
    """Linear warm-up, decay as 1/sqrt(1 + t/timescale), linear cool-down to 0 at the last step.

    The cool-down starts from 1/sqrt(1 + cooldown_start/timescale), without the shift by the
    warm-up that the decay has: a jump of about 1% at the join, kept because the published runs
    have it.

    References:
        ScaLR+ recipe (April 2026).
    """
    if step < warmup_steps:
        return step / warmup_steps
    if step <= cooldown_start:
        return 1 / math.sqrt(1 + (step - warmup_steps) / timescale)
    join = 1 / math.sqrt(1 + cooldown_start / timescale)
    last = total_steps - 1
    return join * max(0.0, (last - step) / max(1, last - cooldown_start))


class CosineSchedule(Config):
    """Warm-up and cosine; lengths in optimiser steps or, where those are 0, in epochs."""

    kind: Literal["cosine"] = "cosine"
    warmup_steps: Annotated[int, Field(ge=0)] = 0
    warmup_epochs: Annotated[float, Field(ge=0)] = 0.0
    warmup_share: Annotated[float, Field(ge=0, lt=1)] | None = None
    """Of the run's steps, in place of both other lengths; for runs of any length."""
    min_lr: Annotated[float, Field(ge=0)] = 1e-5  # absolute

    def warmup(self, *, total_steps: int, steps_per_epoch: int) -> int:
        """Steps of the warm-up."""
        if self.warmup_share is not None:
            return round(self.warmup_share * total_steps)
        return self.warmup_steps or round(self.warmup_epochs * steps_per_epoch)

    def factor(self, step: int, *, total_steps: int, steps_per_epoch: int, lr: float) -> float:
        """Factor of the peak learning rate ``lr`` at a step."""
        warmup = self.warmup(total_steps=total_steps, steps_per_epoch=steps_per_epoch)
        return warmup_cosine(
            step, warmup_steps=warmup, total_steps=total_steps, min_factor=self.min_lr / lr
        )

    def check(self, *, total_steps: int, steps_per_epoch: int, lr: float) -> None:
        """Warn of a rate that a run of this length never reaches, or reaches late.

        Raises:
            ConfigError: If the least rate lies above the peak.
        """
        if self.warmup_steps and self.warmup_epochs and self.warmup_share is None:
            logger.warning(
                "schedule.warmup_steps=%d is the length of the warm-up, and warmup_epochs=%g has "
                "no say; set one of them to 0",
                self.warmup_steps,
                self.warmup_epochs,
            )
        if self.min_lr > lr:
            msg = (
                f"schedule.min_lr={self.min_lr:g} lies above optimizer.lr={lr:g}, so the learning "
                "rate would rise to the end; set schedule.min_lr=0 or another one below it."
            )
            raise ConfigError(msg)
        warmup = self.warmup(total_steps=total_steps, steps_per_epoch=steps_per_epoch)
        if warmup <= _LONGEST_WARMUP * total_steps:
            return
        highest = lr * min(1.0, (total_steps - 1) / warmup)
        logger.warning(
            "the warm-up takes %d of this run's %d steps (%d an epoch): the learning rate comes to "
            "%.2g of optimizer.lr=%g; set schedule.warmup_share=%g, the published share of a run, "
            "or train longer.",
            min(warmup, total_steps),
            total_steps,
            steps_per_epoch,
            highest,
            lr,
            _PUBLISHED_WARMUP,
        )


class ReciprocalSqrtSchedule(Config):
    """Warm-up, reciprocal square root, cool-down; lengths in epochs."""

    kind: Literal["reciprocal_sqrt"] = "reciprocal_sqrt"
    warmup_epochs: Annotated[float, Field(ge=0)] = 1.0
    timescale_epochs: Annotated[float, Field(gt=0)] = 0.45
    cooldown_epochs: Annotated[float, Field(ge=0)] = 2.0

    def factor(self, step: int, *, total_steps: int, steps_per_epoch: int, lr: float) -> float:
        """See ``CosineSchedule.factor``."""
        del lr
        return warmup_reciprocal_sqrt_cooldown(
            step,
            warmup_steps=round(self.warmup_epochs * steps_per_epoch),
            cooldown_start=total_steps - round(self.cooldown_epochs * steps_per_epoch),
            total_steps=total_steps,
            timescale=self.timescale_epochs * steps_per_epoch,
        )

    def check(self, *, total_steps: int, steps_per_epoch: int, lr: float) -> None:
        """Warn of a rate that falls in one step where the cool-down begins.

        Raises:
            ConfigError: If the run has no steps between warm-up and cool-down.
        """
        del lr
        warmup = round(self.warmup_epochs * steps_per_epoch)
        cooldown = round(self.cooldown_epochs * steps_per_epoch)
        start, timescale = total_steps - cooldown, self.timescale_epochs * steps_per_epoch
        epochs = total_steps / steps_per_epoch
        remedy = f"train longer, or shorten them with it: {_as_published(epochs)}"
        if start <= warmup:
            msg = (
                f"a run of {total_steps} steps ({epochs:.3g} epochs of {steps_per_epoch}) has no "
                f"room for a warm-up of {warmup} steps and a cool-down of {cooldown}; {remedy}."
            )
            raise ConfigError(msg)
        before = 1 / math.sqrt(1 + (start - warmup) / timescale)
        jump = 1 - 1 / math.sqrt(1 + start / timescale) / before
        if cooldown and jump > _LARGEST_JUMP:
            logger.warning(
                "the learning rate falls by %.0f %% in one step where the cool-down begins, at "
                "step %d of %d: the run is short for a warm-up of %d steps; %s.",
                100 * jump,
                start,
                total_steps,
                warmup,
                remedy,
            )


def _as_published(epochs: float) -> str:
    """Overrides that give a run of so many epochs the shape of the published one."""
    published = ReciprocalSqrtSchedule()
    return " ".join(
        f"schedule.{name}={getattr(published, name) * epochs / _PUBLISHED_EPOCHS:.4g}"
        for name in ("warmup_epochs", "timescale_epochs", "cooldown_epochs")
    )


Schedule = Annotated[CosineSchedule | ReciprocalSqrtSchedule, Field(discriminator="kind")]
