"""The training loop: one code path, explicit, resumable at any step."""

import contextlib
import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from torch import nn

from lidistill.atomic_write import sync
from lidistill.distributed.lost_processes import process_losses
from lidistill.distributed.processes import (
    distribute_module,
    is_rank_zero,
    join_group,
    on_rank_zero,
    unsharded,
)
from lidistill.errors import TrainingError
from lidistill.training.checkpoint import clean_stale, newest_checkpoint, prune, save_checkpoint
from lidistill.training.config import Training
from lidistill.training.fault_log import FaultLog
from lidistill.training.precision import log_paths, make_scaler, warn_if_slow
from lidistill.training.progress import ProgressBar
from lidistill.training.resume import Resumed, resume
from lidistill.training.run_files import check_there, write_recipe
from lidistill.training.run_lock import RunLock
from lidistill.training.signals import StopSignals, stopped
from lidistill.training.step import Stepper, StepResult
from lidistill.training.tracking import JsonLinesTracker, TensorBoardTracker, Tracker, Trackers

logger = logging.getLogger(__name__)

_LOG = "log.jsonl"


def train(training: Training) -> Path:
    """Train to the end, from the newest checkpoint of the run folder where there is one.

    Returns:
        The last checkpoint.

    Raises:
        TrainingError: If too many steps in a row had no finite loss or gradient, or another run
            has the folder.
        CheckpointError: If the run folder holds a run of another recipe, or cannot be written.
        RunStoppedError: If a signal ended the run, after it has saved; or a process is gone that it
            cannot go on without.
    """
    join_group(training.device)
    with process_losses(), contextlib.ExitStack() as stack:
        on_rank_zero(lambda: _open(training, stack))
        if is_rank_zero():
            warn_if_slow(training.device, training.config.precision, key="train.precision")
            log_paths(training.module.modules(), training.device, training.config.precision)
            _say_portions(training)
        training.module.to(training.device)
        begin = resume(training)
        on_rank_zero(lambda: write_recipe(training.run, training.values, begin.recipe))
        run = _Run(training, begin)
        total = training.total_steps
        signals = stack.enter_context(StopSignals())
        bar = stack.enter_context(ProgressBar("training", total=total, done=begin.step))
        tracker = stack.enter_context(contextlib.closing(_trackers(training.run, begin.step)))
        groups = stack.enter_context(contextlib.closing(training.feed.batches(begin.step, total)))
        clock = time.monotonic()
        for step, group in enumerate(groups, start=begin.step):
            result = run.step(step, group, signal=lambda: signals.received or 0)
            values = dict(result.values)
            now = time.monotonic()
            values[training.rate_name] = values.pop("weight") / max(now - clock, 1e-9)
            clock = now
            if result.fault is None:
                tracker.log(step + 1, values)
            bar.advance(_text(values))
            if step + 1 == total and not (begin.step or run.num_taken):
                msg = (
                    f"none of the {total} steps could be taken, so nothing was learned: "
                    f"{'' if result.fault is None else result.fault.reason}."
                )
                raise TrainingError(msg)
            due = (step + 1) % training.config.checkpoint_every == 0 or step + 1 == total
            if due or result.signal:
                run.save(step + 1, measured=due)
            if result.signal:
                raise stopped(result.signal, step + 1)
    return on_rank_zero(lambda: newest_checkpoint(training.run))


class _Run:
    """A module in training: what steps it, and what of it is saved.

    Args:
        training: What is trained.
        begin: Where it goes on.
    """

    def __init__(self, training: Training, begin: Resumed) -> None:
        config = training.config
        self._training = training
        self._module: nn.Module = training.module.train()
        wrapped = distribute_module(self._module, training.device, config.sharding)
        self._optimizer = training.recipe.optimizer.build(self._module)
        self._scaler = make_scaler(training.device, config.precision)
        begin.restore(self._optimizer, self._scaler)
        self._stepper = Stepper(training, wrapped, self._optimizer, self._scaler)
        self._faults = FaultLog(
            training.run / "faults.jsonl" if is_rank_zero() else None,
            word=training.feed.source_word,
            in_a_row=begin.bad_in_a_row,
            limit=config.max_bad_steps,
            resume_step=begin.step,
        )
        self._losses = list(begin.losses)
        self.num_taken = 0

    def step(self, step: int, group: list[Any], *, signal: Callable[[], int]) -> StepResult:
        """Take a step, or note why it could not be taken."""
        result = self._stepper(step, group, signal=signal)
        if result.fault is not None:
            self._faults.bad(step, result.fault)
        else:
            self._faults.good()
            self._losses.append(result.values["loss"])
            self.num_taken += 1
        return result

    def save(self, step: int, *, measured: bool) -> None:
        """Write a checkpoint; every process calls this, the first one writes.

        Args:
            step: Steps that are done.
            measured: Whether the mean loss since the checkpoint before is its measure. One that a
                signal asks for has too few steps to be compared; the next one counts them, too.
        """
        weights = unsharded(self._module.state_dict())
        measure = None
        if measured and self._losses:
            measure = {"loss": sum(self._losses) / len(self._losses)}
        if measured:
            self._losses = []
        state = {
            "optimizer": unsharded(self._optimizer.state_dict()),
            "scaler": self._scaler.state_dict(),
            "bad_in_a_row": self._faults.in_a_row,
            "losses": self._losses,
        }
        training, config = self._training, self._training.config

        def write() -> None:
            check_there(training.run, training.run / _LOG)
            sync(training.run / _LOG)  # the log never ends before the checkpoint
            save_checkpoint(
                training.run / "checkpoints",
                step=step,
                weights=weights,
                training=state,
                recipe=training.values,
                meta=training.meta | {"seed": training.recipe.seed},
                measure=measure,
            )
            prune(training.run / "checkpoints", keep=config.keep_checkpoints, best=config.keep_best)

        on_rank_zero(write)


def _say_portions(training: Training) -> None:
    """Say what passes smaller than a step change, where they do."""
    config = training.config
    normed = any(isinstance(m, nn.modules.batchnorm._BatchNorm) for m in training.module.modules())
    if normed and config.micro_batch is not None and config.micro_batch < config.batch_size:
        logger.info(
            "train.micro_batch=%d of train.batch_size=%d: BatchNorm%s sees the frames of "
            "one pass only, so what is learned differs from that of whole batches",
            config.micro_batch, config.batch_size,
            " (and the Lovasz loss)" if training.loss_is_shared else "",
        )  # fmt: skip


def _open(training: Training, stack: contextlib.ExitStack) -> None:
    """Take the run folder, and clear what a killed run has left in it."""
    stack.enter_context(RunLock(training.run))
    clean_stale(training.run)


def _trackers(run: Path, step: int) -> Tracker:
    if not is_rank_zero():
        return Trackers()
    return Trackers(
        JsonLinesTracker(run / _LOG, resume_step=step),
        TensorBoardTracker(run / "tensorboard", resume_step=step),
    )


def _text(values: dict[str, float]) -> str:
    shown = [f"{name} {value:.4g}" for name, value in values.items() if name != "grad_norm"]
    return "  ".join(shown)
