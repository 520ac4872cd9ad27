"""The frames of every step, and the workers that prepare them.

The order is a function of seed and epoch, a sample one of seed, epoch and frame index. Nothing else
is remembered, so a run can start at any step, and neither the number of workers nor that of the
processes it is dealt to changes anything.
"""

import atexit
import functools
import multiprocessing
import os
import warnings
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from torch.utils.data import DataLoader, Dataset, Sampler

from lidistill.distributed.all_reduce import gather_items
from lidistill.errors import LidistillError
from lidistill.loading.bad_frames import STOP, BadFrame, BadFrameCount, BadFrames, first_made
from lidistill.loading.order import FrameOrder, Key, StepPlan
from lidistill.loading.worker import (
    WorkerDeaths,
    end_workers,
    start_worker,
    watch_workers,
    worker_losses,
)

T = TypeVar("T")


class _Passes(Sampler[list[Key]]):
    """The keys of every forward pass from one step to another."""

    def __init__(self, plan: StepPlan, start: int, stop: int) -> None:
        self._plan, self._start, self._stop = plan, start, stop

    def __iter__(self) -> Iterator[list[Key]]:
        for step in range(self._start, self._stop):
            yield from self._plan.passes(step)

    def __len__(self) -> int:
        return (self._stop - self._start) * self._plan.passes_per_step


@dataclass(frozen=True, slots=True)
class _Sample(Generic[T]):
    """A sample, and the frames before it that could not be read."""

    made: T
    skipped: tuple[BadFrame, ...]


class _Made(Dataset["_Sample[T] | LidistillError"], Generic[T]):
    """Samples by their keys; where a frame cannot be read, what the policy says."""

    def __init__(
        self, make: Callable[[int, int], T], order: FrameOrder, bad_frames: BadFrames
    ) -> None:
        self._make, self._order, self._bad_frames = make, order, bad_frames

    def __getitem__(self, key: Key) -> _Sample[T] | LidistillError:
        # An error that crosses from a worker process would carry that worker's whole traceback.
        try:
            made, skipped = first_made(self._make, self._order, key, self._bad_frames)
        except LidistillError as error:
            return error.with_traceback(None)
        return _Sample(made, tuple(skipped))


def step_batches(
    make: Callable[[int, int], T],
    collate: Callable[[list[T]], object],
    plan: StepPlan,
    *,
    start: int,
    stop: int,
    workers: int,
    bad_frames: BadFrames = STOP,
    pin: bool = False,
) -> Generator[list[object], None, None]:
    """This process's batches of every optimiser step, prepared ahead by worker processes.

    Args:
        make: Prepares the sample of an epoch and a frame index.
        collate: Packs the samples of one forward pass.
        plan: Order of the frames.
        start: First step.
        stop: One past the last step.
        workers: Worker processes; 0 prepares in this one.
        bad_frames: What to do about frames that cannot be read.
        pin: Whether a thread of this process puts each batch into pinned memory, for which it
            calls its ``pin_memory``; a GPU takes it from there while Python goes on.

    Yields:
        The batches of one optimiser step, one for each forward pass.

    Raises:
        LidistillError: What ``make`` raises, also in a worker process.
        FileFormatError: If all processes together have left out too many frames.
    """
    samples, passes = _Made(make, plan.order, bad_frames), _Passes(plan, start, stop)
    with warnings.catch_warnings():
        # The recipe says how many workers; more of them than cores is its business.
        warnings.filterwarnings("ignore", "This DataLoader will create", UserWarning)
        loaded = _loaded(samples, passes, functools.partial(_collate, collate), workers, pin=pin)
    count = BadFrameCount(bad_frames)
    group: list[object] = []
    skipped: list[BadFrame] = []
    for batch in loaded:
        if isinstance(batch, LidistillError):
            raise batch
        packed, left_out = batch
        group.append(packed)
        skipped += left_out
        if len(group) == plan.passes_per_step:
            if bad_frames.policy == "skip":
                count.add(gather_items(skipped))
            yield group
            group, skipped = [], []


def _loaded(
    samples: Dataset[Any], passes: _Passes, collate: Callable[..., Any], workers: int, *, pin: bool
) -> Iterator[Any]:
    """What PyTorch's loader gives, with workers started in the way that is Python's default here.

    That is ``fork`` on Linux up to Python 3.13, ``forkserver`` from 3.14, ``spawn`` on macOS; a
    script may have set another one.
    """
    if not workers:
        return iter(DataLoader(samples, batch_sampler=passes, collate_fn=collate, pin_memory=pin))
    atexit.register(end_workers)  # before what Python does at its end
    method = multiprocessing.get_start_method()
    if method == "forkserver":
        # PyTorch is imported once, by the server, and not by each worker.
        multiprocessing.set_forkserver_preload([__name__])
    loader: DataLoader[Any] = DataLoader(
        samples,
        batch_sampler=passes,
        collate_fn=collate,
        num_workers=workers,
        pin_memory=pin,
        prefetch_factor=4,
        worker_init_fn=functools.partial(start_worker, os.getpid(), method),
        multiprocessing_context=multiprocessing.get_context(method),
    )
    with worker_losses():  # PyTorch's handler is in place before it can be replaced
        batches = iter(loader)
        deaths = watch_workers()
    return _received(batches, len(passes), deaths)


def _received(batches: Iterator[T], count: int, deaths: WorkerDeaths) -> Iterator[T]:
    """Batches as they come; a worker that dies after the last one is not needed any more.

    Raises:
        RunStoppedError: If one dies before.
    """
    try:
        with worker_losses():  # a signal also comes between the two lines of a `with`
            for _ in range(count):
                with deaths.raised():
                    batch = next(batches)
                yield batch
    finally:
        deaths.forget()


def _collate(
    collate: Callable[[list[T]], object], items: list[_Sample[T] | LidistillError]
) -> tuple[object, list[BadFrame]] | LidistillError:
    made: list[T] = []
    skipped: list[BadFrame] = []
    for item in items:
        if isinstance(item, LidistillError):
            return item
        made.append(item.made)
        skipped += item.skipped
    return collate(made), skipped
