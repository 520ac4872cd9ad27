"""The frames of every step, and the workers that prepare them.

The order is a function of seed and epoch, a sample one of seed, epoch and frame index. Nothing else
is remembered, so a run can start at any step and the number of workers changes nothing.
"""

import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

import torch
from torch.utils.data import DataLoader, Dataset, Sampler

from lidistill.data.order import FrameOrder, Key
from lidistill.errors import LidistillError

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class StepPlan:
    """Which frames every optimiser step sees.

    An epoch has ``order.num_frames // batch_size`` steps; what is left over is dropped, as in the
    papers. A set smaller than one batch gives one step an epoch, in which frames repeat.
    """

    order: FrameOrder
    batch_size: int
    """Frames of one optimiser step."""
    micro_batch: int
    """Frames of one forward pass; the gradients of a step are accumulated."""

    @property
    def steps_per_epoch(self) -> int:
        """Optimiser steps of an epoch."""
        return max(1, self.order.num_frames // self.batch_size)

    @property
    def passes_per_step(self) -> int:
        """Forward passes of an optimiser step."""
        return -(-self.batch_size // self.micro_batch)

    def keys(self, step: int) -> list[Key]:
        """Epoch and frame index of every sample of a step."""
        epoch, within = divmod(step, self.steps_per_epoch)
        start = within * self.batch_size
        chosen = range(start, start + self.batch_size)
        keys = self.order.epoch(epoch).take(chosen, axis=0, mode="wrap")
        return [(passes, index) for passes, index in keys.tolist()]


class _Passes(Sampler[list[Key]]):
    """The keys of every forward pass from one step to another."""

    def __init__(self, plan: StepPlan, start: int, stop: int) -> None:
        self._plan, self._start, self._stop = plan, start, stop

    def __iter__(self) -> Iterator[list[Key]]:
        size = self._plan.micro_batch
        for step in range(self._start, self._stop):
            keys = self._plan.keys(step)
            for first in range(0, len(keys), size):
                yield keys[first : first + size]

    def __len__(self) -> int:
        return (self._stop - self._start) * self._plan.passes_per_step


class _Made(Dataset[T | LidistillError], Generic[T]):
    def __init__(self, make: Callable[[int, int], T]) -> None:
        self._make = make

    def __getitem__(self, key: Key) -> T | LidistillError:
        # An error that crosses from a worker process would carry that worker's whole traceback.
        try:
            return self._make(*key)
        except LidistillError as error:
            return error


def step_batches(
    make: Callable[[int, int], T],
    collate: Callable[[list[T]], object],
    plan: StepPlan,
    *,
    start: int,
    stop: int,
    workers: int,
) -> Iterator[list[object]]:
    """Batches of every optimiser step, prepared ahead by worker processes.

    Args:
        make: Prepares the sample of an epoch and a frame index.
        collate: Packs the samples of one forward pass.
        plan: Order of the frames.
        start: First step.
        stop: One past the last step.
        workers: Worker processes; 0 prepares in this one.

    Yields:
        The batches of one optimiser step, one for each forward pass.

    Raises:
        LidistillError: What ``make`` raises, also in a worker process.
    """
    loader = DataLoader(
        _Made(make),
        batch_sampler=_Passes(plan, start, stop),
        collate_fn=functools.partial(_collate, collate),
        num_workers=workers,
        prefetch_factor=4 if workers else None,
        worker_init_fn=_one_thread if workers else None,
    )
    group: list[object] = []
    for batch in loader:
        if isinstance(batch, LidistillError):
            raise batch
        group.append(batch)
        if len(group) == plan.passes_per_step:
            yield group
            group = []


def _collate(
    collate: Callable[[list[T]], object], items: list[T | LidistillError]
) -> object | LidistillError:
    made: list[T] = []
    for item in items:
        if isinstance(item, LidistillError):
            return item
        made.append(item)
    return collate(made)


def _one_thread(_worker: int) -> None:
    torch.set_num_threads(1)
