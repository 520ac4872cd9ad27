"""One optimiser step: forward and backward passes of all processes, checked before it counts."""

import hashlib
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor

from lidistill.distributed.all_reduce import SingleRowError, gather_items, world_size
from lidistill.distributed.processes import gradient_exchange, sum_numbers
from lidistill.tensor_records import to_device_pinned
from lidistill.training.config import Training
from lidistill.training.fault_log import BadStep
from lidistill.training.precision import autocast
from lidistill.training.signals import EXIT_STATUS


@dataclass(frozen=True, slots=True, kw_only=True)
class StepResult:
    """What all processes know after a step."""

    values: dict[str, float]
    """Loss and other parts as means over what the step counts, learning rate, sum of weights."""
    fault: BadStep | None
    """Why the step was not taken; None where it was."""
    signal: int
    """Number of a signal that any process has noticed; 0 for none."""


class Stepper:
    """Takes optimiser steps.

    Args:
        training: What is trained; its module is ``module`` before it was wrapped.
        module: What runs: the module, or what ``distribute_module`` made of it.
        optimizer: Over the module's parameters.
        scaler: Of the loss, for 16-bit floats.
    """

    def __init__(
        self,
        training: Training,
        module: nn.Module,
        optimizer: torch.optim.Optimizer,
        scaler: torch.amp.GradScaler,
    ) -> None:
        self._training, self._module = training, module
        self._optimizer, self._scaler = optimizer, scaler

    def __call__(
        self, step: int, group: list[Any], *, signal: Callable[[], int] = lambda: 0
    ) -> StepResult:
        """Take a step over all items of a group; the loss is the mean over all that they count.

        A step whose loss or gradient is not finite in any process is taken by none: weights,
        optimiser and statistics stay as they were. Where the precision is fp16, a gradient that
        only its scaling made overflow is no such fault: the scaler leaves the step out and scales
        less, and the statistics of BatchNorm, whose forward pass was sound, do move.

        Args:
            step: Steps done before.
            group: This process's items, one for each pass.
            signal: Number of a signal that this process has noticed, or 0; asked after the passes,
                so that one which comes during them ends the run with this step.
        """
        rate = self._set_rate(step)
        torch.manual_seed(step_seed(self._training.recipe.seed, step))
        buffers = [(buffer, buffer.clone()) for buffer in self._training.module.buffers()]
        shares, total = self._shares(group)
        try:
            sums, losses = self._passes(group, shares)
        except SingleRowError as error:  # in one process, so that no other one waits
            _undo(buffers)
            self._optimizer.zero_grad(set_to_none=True)
            alone = BadStep(reason=str(error), sources=self._blame(group, []))
            return StepResult(values={"lr": rate, "weight": total}, fault=alone, signal=signal())
        norm = self._gradient_norm()
        measured = _measure(sums, norm, losses)
        values, noticed = _mean_over_ranks(measured.sums, signal())
        values |= {"lr": rate, "weight": total}
        reason = self._take(values, norm, measured.norm)
        self._optimizer.zero_grad(set_to_none=True)
        fault = None
        if reason is not None:
            _undo(buffers)
            fault = BadStep(reason=reason, sources=self._blame(group, measured.broken))
        return StepResult(values=values, fault=fault, signal=noticed)

    def _set_rate(self, step: int) -> float:
        training = self._training
        lr = training.recipe.optimizer.lr
        rate = lr * training.recipe.schedule.factor(
            step,
            total_steps=training.total_steps,
            steps_per_epoch=training.feed.steps_per_epoch,
            lr=lr,
        )
        for parameters in self._optimizer.param_groups:
            parameters["lr"] = rate * parameters.get("lr_scale", 1.0)
        return rate

    def _shares(self, group: list[Any]) -> tuple[list[float], float]:
        """Factor of each item's loss, and what all items of all processes count.

        Gradients are averaged over the processes, so each process's share is that many times what
        it has of the whole.
        """
        own = [self._training.feed.weight(item) for item in group]
        everywhere = sum_numbers(own)
        total = sum(everywhere)
        if self._training.loss_is_shared:
            return [weight / total for weight in everywhere], total
        return [world_size() * weight / total for weight in own], total

    def _passes(
        self, group: list[Any], shares: list[float]
    ) -> tuple[dict[str, Tensor], list[Tensor]]:
        """Shared-out sums of what the passes return, and the loss of each; all on the device."""
        training = self._training
        sums: dict[str, Tensor] = {}
        losses = []
        for index, (item, share) in enumerate(zip(group, shares, strict=True)):
            last = index == len(group) - 1
            with gradient_exchange(self._module, exchange=last):
                with autocast(training.device, training.config.precision):
                    out = self._module(to_device_pinned(item, training.device))
                self._scaler.scale(out["loss"] * share).backward()
            losses.append(out["loss"].detach())
            for name, value in out.items():
                sums[name] = sums.get(name, 0) + value.detach() * share
        return sums, losses

    def _trained(self) -> list[nn.Parameter]:
        return [p for p in self._training.module.parameters() if p.grad is not None]

    def _gradient_norm(self) -> Tensor:
        """Of the whole gradient, on the device and without the scaler's factor."""
        self._scaler.unscale_(self._optimizer)
        norm = nn.utils.get_total_norm([p.grad for p in self._trained() if p.grad is not None])
        return norm.full_tensor() if isinstance(norm, DTensor) else norm

    def _take(self, values: dict[str, float], norm: Tensor, read_norm: float) -> str | None:
        """Let the optimiser step, unless the numbers are not finite: then the reason."""
        if not math.isfinite(values["loss"]):
            if self._scaler.is_enabled():  # it forgets the gradient, and keeps its factor
                self._scaler.update(self._scaler.get_scale())
            return f"the loss is {values['loss']}"
        clip = self._training.recipe.optimizer.clip_norm
        values["grad_norm"] = read_norm
        # In fp16 an overflow is ordinary: the scaler leaves the step out and scales less.
        if not math.isfinite(read_norm) and not (
            self._scaler.is_enabled() and self._scaler.get_scale() > 1
        ):
            self._scaler.update()
            return f"the gradient's norm is {read_norm}"
        if clip is not None:
            nn.utils.clip_grads_with_norm_(self._trained(), clip, norm)
        self._scaler.step(self._optimizer)
        self._scaler.update()
        return None

    def _blame(self, group: list[Any], broken: list[int]) -> tuple[str, ...]:
        """Sources, in all processes, of items whose loss is not finite, or of all of them."""
        sources = self._training.feed.sources
        own = [(i in broken, name) for i, item in enumerate(group) for name in sources(item)]
        everywhere = gather_items(own)
        guilty = tuple(name for is_broken, name in everywhere if is_broken)
        return guilty or tuple(name for _, name in everywhere)


class _Measured(NamedTuple):
    """Numbers of a step in this process."""

    sums: dict[str, float]
    norm: float
    """Of the gradient, over all processes."""
    broken: list[int]
    """Items whose loss is not finite."""


def _measure(sums: dict[str, Tensor], norm: Tensor, losses: list[Tensor]) -> _Measured:
    """Read all numbers of a step from the device at once.

    The one time in a step that Python waits for a GPU. It has to know before the optimiser steps:
    one number that is not finite in any process, and none of them may.
    """
    names, device = sorted(sums), losses[-1].device
    scalars = [*(sums[name] for name in names), norm, *losses]
    numbers = torch.stack([x.detach().double().to(device) for x in scalars]).cpu().tolist()
    values, (read_norm, *read_losses) = numbers[: len(names)], numbers[len(names) :]
    return _Measured(
        sums=dict(zip(names, values, strict=True)),
        norm=read_norm,
        broken=[i for i, loss in enumerate(read_losses) if not math.isfinite(loss)],
    )


def _mean_over_ranks(sums: dict[str, float], received: int) -> tuple[dict[str, float], int]:
    """Means of numbers over all processes, and a signal that one of them has noticed, or 0."""
    signals = [float(received == number) for number in EXIT_STATUS]
    everywhere = sum_numbers([*signals, *sums.values()])
    counts, totals = everywhere[: len(signals)], everywhere[len(signals) :]
    noticed = [number for number, count in zip(EXIT_STATUS, counts, strict=True) if count]
    means = {name: total / world_size() for name, total in zip(sums, totals, strict=True)}
    return means, noticed[0] if noticed else 0


def _undo(buffers: list[tuple[Tensor, Tensor]]) -> None:
    """Give buffers what they held before the step."""
    for buffer, before in buffers:
        buffer.copy_(before)


def step_seed(seed: int, step: int) -> int:
    """Seed of everything random inside the networks in one step, so that a step can be repeated."""
    digest = hashlib.sha256(f"{seed}/{step}".encode()).digest()
    return int.from_bytes(digest[:7], "big")
