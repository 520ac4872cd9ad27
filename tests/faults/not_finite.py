"""Runs in which a number is not finite, once: in a point, a feature, the loss or a gradient."""

import dataclasses
import shutil
from collections.abc import Callable
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from faults.trials import Tally, World, finish, start, survey

from lidistill.training.run_files import read_log
from lidistill.training.step import Stepper, StepResult

PLACES = ("point", "feature", "loss", "gradient")


def not_finite(world: World, count: int, rng: np.random.Generator) -> Tally:
    """Put NaN or an infinity somewhere into one step; nothing may change by that step."""
    tally = Tally("NaN or inf in a point, feature, loss, gradient")
    for tally.trials in range(1, count + 1):
        run = world.folder / "numbers"
        place = PLACES[tally.trials % len(PLACES)]
        value = float(rng.choice([np.nan, np.inf, -np.inf]))
        at = int(rng.integers(1, 5))
        entered = _watched(place, value, at)
        status, text = finish(
            start(world.arguments(run, "train.steps=6"), lambda entered=entered: entered())
        )
        where = f"{value} in the {place} at step {at}"
        tally.check(good=status == 0, otherwise=f"{where}: ended with {status}: {text[-400:]}")
        if status == 0:
            faults = read_log(run / "faults.jsonl")
            steps = [fault["step"] for fault in faults]
            tally.check(good=steps == [at + 1], otherwise=f"{where}: left out {steps}")
            tally.check(good=bool(faults[0]["frames"]), otherwise=f"{where}: no frame is named")
            tally.check(good=survey(run) == (6, 0), otherwise=f"{where}: no last checkpoint")
        shutil.rmtree(run, ignore_errors=True)
    return tally


def _watched(place: str, value: float, at: int) -> Callable[[], Any]:
    """Something to do in the run's process: it ends with an error if the bad step changes a bit."""

    class Watched(Stepper):
        def __call__(
            self, step: int, group: list[Any], *, signal: Callable[[], int] = lambda: 0
        ) -> StepResult:
            if step != at:
                return super().__call__(step, group, signal=signal)
            before = self._state()
            with _Spoilt(self._training.module, place, value) as spoil:
                result = super().__call__(step, [spoil(group[0]), *group[1:]], signal=signal)
            after = self._state()
            assert result.fault is not None
            assert before.keys() == after.keys()
            for name, x in before.items():
                assert torch.equal(x, after[name]), name
            return result

        def _state(self) -> dict[str, torch.Tensor]:
            tensors = {k: v.clone() for k, v in self._training.module.state_dict().items()}
            for index, values in self._optimizer.state_dict()["state"].items():
                tensors |= {f"{index}.{k}": v.clone() for k, v in values.items()}
            return tensors

    return patch("lidistill.training.loop.Stepper", Watched).start


class _Spoilt:
    """Puts a value into a batch, or into what the module makes of it."""

    def __init__(self, module: torch.nn.Module, place: str, value: float) -> None:
        self._module, self._place, self._value = module, place, value
        self._handles: list[Any] = []

    def __enter__(self) -> Callable[[Any], Any]:
        if self._place == "loss":
            self._handles.append(self._module.register_forward_hook(self._spoil_loss))
        if self._place == "gradient":
            weight = next(p for p in self._module.parameters() if p.requires_grad)
            self._handles.append(weight.register_hook(lambda grad: grad + self._value))
        return self._spoil_batch

    def __exit__(self, *error: object) -> None:
        for handle in self._handles:
            handle.remove()

    def _spoil_loss(self, module: torch.nn.Module, args: Any, out: dict[str, Any]) -> Any:
        del module, args
        return out | {"loss": out["loss"] * self._value}

    def _spoil_batch(self, batch: Any) -> Any:
        if self._place not in {"point", "feature"}:
            return batch
        features = batch.features.clone()
        if self._place == "point":
            features[0, 0] = self._value
        else:
            features[:, -1] = self._value
        return dataclasses.replace(batch, features=features)
