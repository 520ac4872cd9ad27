"""Learning-rate factors over the iterations of a run, as pure functions and as configuration."""

import math
from typing import Annotated, Literal

from pydantic import Field

from lidistill.config import Config


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
    """Warm-up and cosine; lengths in optimiser steps or, where given, in epochs."""

    kind: Literal["cosine"] = "cosine"
    warmup_steps: Annotated[int, Field(ge=0)] = 0
    warmup_epochs: Annotated[float, Field(ge=0)] = 0.0
    min_lr: Annotated[float, Field(ge=0)] = 1e-5  # absolute

    def factor(self, step: int, *, total_steps: int, steps_per_epoch: int, lr: float) -> float:
        """Factor of the peak learning rate ``lr`` at a step."""
        warmup = self.warmup_steps or round(self.warmup_epochs * steps_per_epoch)
        return warmup_cosine(
            step, warmup_steps=warmup, total_steps=total_steps, min_factor=self.min_lr / lr
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


Schedule = Annotated[CosineSchedule | ReciprocalSqrtSchedule, Field(discriminator="kind")]
