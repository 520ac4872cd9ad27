"""A data worker is killed at a given line of a run, and the run's main process is told there."""

import contextlib
import gc
import itertools
import multiprocessing
import os
import signal
import sys
import threading
import time

import pytest
from torch.utils.data.dataloader import _MultiProcessingDataLoaderIter

from lidistill.errors import RunStoppedError
from lidistill.loading import loader
from lidistill.loading.loader import step_batches
from lidistill.loading.order import FrameOrder, StepPlan
from lidistill.loading.worker import WorkerDeaths, watch_workers
from lidistill.training import loop
from lidistill.training.checkpoint import load_checkpoint
from lidistill.training.checkpoint_record import step_folders
from lidistill.training.progress import ProgressBar
from lidistill.training.tracking import JsonLinesTracker
from training.test_loop import FIXED, join, losses, make_rows, training

PLAN = StepPlan(order=FrameOrder(sizes=(10,), seed=FIXED["seed"]), batch_size=4, micro_batch=2)


def batches(start, stop, make=make_rows, workers=1):
    return step_batches(make, join, PLAN, start=start, stop=stop, workers=workers)


@pytest.fixture
def others():
    """Processes of earlier tests that are still there: none of them is a worker of this one."""
    gc.collect()  # loaders that were left behind close now, not in the middle
    return frozenset(multiprocessing.active_children())


def kill_a_worker(others):
    """Kill one, and have the signal handled before the next line."""
    for worker in list(set(multiprocessing.active_children()) - others)[:1]:
        os.kill(worker.pid, signal.SIGKILL)
        os.waitid(os.P_PID, worker.pid, os.WEXITED | os.WNOWAIT)
        signal.raise_signal(signal.SIGCHLD)


def nothing(*_):
    """Called and of no effect."""


def before(monkeypatch, others, owner, name, *, at=1):
    """Kill a worker before the call of that number."""
    call, numbers = getattr(owner, name), itertools.count(1)

    def killing(*args, **options):
        if next(numbers) == at:
            kill_a_worker(others)
        return call(*args, **options)

    monkeypatch.setattr(owner, name, killing)


@pytest.mark.parametrize(
    ("owner", "name", "at", "done"),
    [
        (loop, "save_checkpoint", 1, 5),  # after step 5
        (loop, "prune", 1, 5),
        (loop._Run, "step", 4, 4),
        (JsonLinesTracker, "log", 7, 7),
        (ProgressBar, "advance", 1, 1),
        (loop, "save_checkpoint", 3, 12),  # of the last step
        (_MultiProcessingDataLoaderIter, "_shutdown_workers", 1, 12),
    ],
)
def test_a_death_in_any_line_lets_it_finish_and_ends_the_run_at_the_next_batch(
    tmp_path, monkeypatch, others, owner, name, at, done
):
    before(monkeypatch, others, owner, name, at=at)
    run = tmp_path / "run"
    if done == 12:  # nothing was to come from the worker
        loop.train(training(run, batches=batches))
    else:
        with pytest.raises(RunStoppedError, match=r"killed \(.*\(pid \d+\) is killed") as stopped:
            loop.train(training(run, batches=batches))
        assert stopped.value.exit_status == 75
    monkeypatch.undo()
    assert len(losses(run)) == done
    assert [folder.name for folder in step_folders(run / "checkpoints")] == [
        f"step-{step:08d}" for step in ((10, 12) if done == 12 else (5,)) if step <= done
    ]
    loop.train(training(run, batches=batches))
    loop.train(training(tmp_path / "whole"))
    assert losses(run) == losses(tmp_path / "whole")
    assert load_checkpoint(run).step == 12


def test_a_death_while_workers_start_ends_the_run(monkeypatch, others):
    before(monkeypatch, others, _MultiProcessingDataLoaderIter, "_reset")
    with pytest.raises(RunStoppedError, match="a data worker was killed"):
        list(batches(0, 3))


def test_a_death_while_a_batch_is_waited_for_is_told_at_once():
    def killed(epoch, index):
        os.kill(os.getpid(), signal.SIGKILL)

    began = time.monotonic()
    with pytest.raises(RunStoppedError, match="a data worker was killed"):
        list(batches(0, 3, make=killed))
    assert time.monotonic() - began < 4  # PyTorch looks every five seconds


def test_a_death_in_an_object_that_is_dropped_while_a_batch_is_waited_for_is_not_lost(
    monkeypatch, others
):
    class Dropped:
        def __del__(self):
            kill_a_worker(others)  # an error in here is swallowed by Python

    taken = _MultiProcessingDataLoaderIter._next_data
    dropped = [Dropped()]

    def dropping(self):
        if dropped:
            dropped.clear()
        return taken(self)

    steps = batches(0, 3)
    next(steps)
    monkeypatch.setattr(_MultiProcessingDataLoaderIter, "_next_data", dropping)
    monkeypatch.setattr("sys.unraisablehook", nothing)
    with pytest.raises(RunStoppedError, match="a data worker was killed"):
        list(steps)


@pytest.mark.parametrize("error", [ConnectionResetError(104, "reset by peer"), EOFError()])
def test_a_worker_that_dies_while_it_sends_a_batch_is_called_dead(monkeypatch, error):
    def broken(self):
        raise error

    monkeypatch.setattr(_MultiProcessingDataLoaderIter, "_next_data", broken)
    with pytest.raises(RunStoppedError, match="a data worker was killed"):
        list(batches(0, 1))


def test_another_error_of_a_handler_and_of_a_sample_stay_what_they_are():
    def failing(number, frame):
        raise RuntimeError("another")

    with pytest.raises(RuntimeError, match="another"):
        WorkerDeaths(failing)(signal.SIGCHLD, None)

    def broken(epoch, index):
        raise ConnectionError("the disk is far away")

    with pytest.raises(ConnectionError, match=r"Caught ConnectionError in DataLoader worker"):
        list(batches(0, 1, make=broken))


def test_the_handler_is_set_once_and_beside_the_main_thread_not_at_all():
    there = signal.signal(signal.SIGCHLD, nothing)
    try:
        found = []
        thread = threading.Thread(target=lambda: found.append(watch_workers()))
        thread.start()
        thread.join()
        assert signal.getsignal(signal.SIGCHLD) is not found[0]
        first = watch_workers()
        assert watch_workers() is first is signal.getsignal(signal.SIGCHLD)
    finally:
        signal.signal(signal.SIGCHLD, there)


def test_a_death_is_raised_once_and_not_again_while_it_is_handled():
    def raising(number, frame):
        raise RuntimeError("DataLoader worker (pid 7) is killed by signal: Killed.")

    deaths = WorkerDeaths(raising)

    def twice():
        with contextlib.ExitStack() as stack, deaths.raised():
            stack.callback(deaths, signal.SIGCHLD, None)  # while the first is on its way
            deaths(signal.SIGCHLD, None)

    def none():
        with deaths.raised():
            pass

    for step in (twice, none):
        with pytest.raises(RunStoppedError, match="pid 7"):
            step()
        deaths(signal.SIGCHLD, None)
    deaths.forget()
    none()


def test_a_death_at_any_moment_is_told_in_one_line_or_keeps_for_the_next_batch():
    def death(number, frame):
        raise RuntimeError("DataLoader worker (pid 7) is killed by signal: Killed.")

    def received(moment):
        deaths, count = WorkerDeaths(death), itertools.count()

        def trace(frame, event, argument):
            watched = frame.f_code.co_filename in (loader.__file__, contextlib.__file__)
            frame.f_trace_opcodes = watched
            if watched and event == "opcode" and next(count) == moment:
                deaths(signal.SIGCHLD, frame)
            return trace

        before = sys.gettrace()
        sys.settrace(trace)
        try:
            found = list(loader._received(iter("abc"), 3, deaths))
        finally:
            sys.settrace(before)
        return found, next(count)

    _, moments = received(-1)
    ends = []
    for moment in range(moments):
        try:
            ends.append(received(moment)[0])
        except RunStoppedError as error:
            ends.append(str(error))
    assert moments > 100
    told = [end for end in ends if end != list("abc")]
    assert told
    assert all("a data worker was killed" in end for end in told)
