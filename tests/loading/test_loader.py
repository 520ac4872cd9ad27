import logging
import os
import platform
import signal
import subprocess
import sys

import numpy as np
import pytest
import torch
from fakes.processes import together
from hypothesis import given, settings
from hypothesis import strategies as st

from lidistill.errors import ConfigError, FileFormatError
from lidistill.loading.bad_frames import BadFrames
from lidistill.loading.loader import step_batches
from lidistill.loading.order import FrameOrder, StepPlan
from lidistill.loading.worker import start_worker


def plan(num_frames=10, batch_size=4, micro_batch=4, seed=0, **ranks):
    order = FrameOrder(sizes=(num_frames,), seed=seed)
    return StepPlan(order=order, batch_size=batch_size, micro_batch=micro_batch, **ranks)


def test_an_epoch_shows_every_frame_at_most_once():
    for epoch in range(3):
        keys = plan().keys(2 * epoch) + plan().keys(2 * epoch + 1)
        assert {key[0] for key in keys} == {epoch}
        assert len({key[1] for key in keys}) == 8


def test_epochs_are_shuffled_differently_and_seeds_too():
    first, second = plan().keys(0), plan().keys(2)
    assert [i for _, i in first] != [i for _, i in second]
    assert plan(seed=1).keys(0) != first


def test_the_papers_mixture_has_6887_steps_an_epoch():
    assert plan(num_frames=55_100, batch_size=8).steps_per_epoch == 6887


def test_a_set_smaller_than_a_batch_repeats_its_frames():
    small = plan(num_frames=3)
    assert small.steps_per_epoch == 1
    assert sorted({i for _, i in small.keys(0)}) == [0, 1, 2]
    assert len(small.keys(0)) == 4


@pytest.mark.parametrize("workers", [0, pytest.param(2, marks=pytest.mark.slow)])
def test_batches_are_the_same_whatever_the_workers_and_wherever_one_starts(workers):
    def make(epoch, index):
        return (epoch, index, np.random.default_rng([epoch, index]).random())

    def run(start):
        return list(
            step_batches(make, tuple, plan(micro_batch=3), start=start, stop=5, workers=workers)
        )

    whole = run(0)
    assert [len(group) for group in whole] == [2] * 5
    assert [len(batch) for batch in whole[0]] == [2, 2]
    assert run(2) == whole[2:]
    expected = [[make(*key)[2] for key in plan().keys(step)] for step in range(5)]
    assert [[item[2] for batch in group for item in batch] for group in whole] == expected


@settings(deadline=None)
@given(
    st.integers(1, 24), st.integers(1, 24), st.integers(1, 6), st.integers(0, 5), st.integers(1, 40)
)
def test_processes_share_a_step_without_gap_or_repeat(batch, micro, ranks, step, num_frames):
    ranks = min(ranks, batch)
    order = FrameOrder(sizes=(num_frames,), seed=0)
    plans = [
        StepPlan(order=order, batch_size=batch, micro_batch=micro, rank=r, world_size=ranks)
        for r in range(ranks)
    ]
    passes = [one.passes(step) for one in plans]
    assert {len(own) for own in passes} == {plans[0].passes_per_step}
    assert all(part for own in passes for part in own)
    dealt = [key for together in zip(*passes, strict=True) for part in together for key in part]
    assert dealt == plans[0].keys(step)
    if ranks <= micro and batch // ranks >= -(-batch // micro):
        assert max(sum(map(len, together)) for together in zip(*passes, strict=True)) <= micro


def test_more_processes_than_frames_of_a_step_are_refused():
    order = FrameOrder(sizes=(10,), seed=0)
    with pytest.raises(ConfigError, match=r"8 processes cannot share steps of 4 frames"):
        StepPlan(order=order, batch_size=4, micro_batch=4, world_size=8)


def test_an_epoch_goes_on_with_each_frame_once_on_another_number_of_processes():
    order = FrameOrder(sizes=(12,), seed=1)

    def seen(step, ranks):
        plans = [
            StepPlan(order=order, batch_size=4, micro_batch=4, rank=r, world_size=ranks)
            for r in range(ranks)
        ]
        return [index for one in plans for part in one.passes(step) for _, index in part]

    assert sorted(seen(0, 4) + seen(1, 1) + seen(2, 3)) == list(range(12))


def reader(bad):
    def make(epoch, index):
        if index in bad:
            msg = f"frame {index} is broken"
            raise FileFormatError(msg)
        return (epoch, index)

    return make


def read(bad, bad_frames, *, start=0, workers=0, **ranks):
    make, frames = reader(bad), plan(**ranks)
    return list(
        step_batches(
            make, tuple, frames, start=start, stop=4, workers=workers, bad_frames=bad_frames
        )
    )


def test_a_bad_frame_stops_the_run_unless_the_recipe_says_else():
    with pytest.raises(FileFormatError, match=r"frame 3 is broken .*bad_frames\.policy=skip"):
        read({3}, BadFrames())


@pytest.mark.parametrize("workers", [0, pytest.param(2, marks=pytest.mark.slow)])
def test_a_bad_frame_is_replaced_by_the_same_one_wherever_the_run_starts(caplog, workers):
    skip = BadFrames(policy="skip")
    with caplog.at_level(logging.WARNING):
        whole = read({3, 5}, skip, workers=workers)
    assert caplog.text.count("frame 3 is broken") == 1
    assert read({3, 5}, skip, start=2) == whole[2:]
    sound = read(set(), skip)
    changed = [
        (a, b)
        for old, new in zip(sound, whole, strict=True)
        for a, b in zip(old[0], new[0], strict=True)
        if a != b
    ]
    assert {key[1] for key, _ in changed} == {3, 5}
    assert not {key[1] for _, key in changed} & {3, 5}


def test_more_bad_frames_than_the_limit_end_the_run():
    with pytest.raises(FileFormatError, match=r"3 frames cannot be read.*limit=2"):
        read({1, 3, 5}, BadFrames(policy="skip", limit=2))


@pytest.mark.slow
def test_the_limit_counts_the_bad_frames_of_all_processes(tmp_path, caplog):
    def check(rank):
        with pytest.raises(FileFormatError, match=r"3 frames cannot be read.*limit=2"):
            read({1, 3, 5}, BadFrames(policy="skip", limit=2), rank=rank, world_size=2)
        assert {f"frame {index} is broken" in caplog.text for index in (1, 3, 5)} == {True}

    together(check, tmp_path, ranks=2)


def test_a_set_without_a_sound_frame_ends_in_the_readers_error():
    with pytest.raises(FileFormatError, match="is broken"):
        read(set(range(10)), BadFrames(policy="skip"))


def in_child(action):
    """Exit status of a forked process that does something."""
    child = os.fork()
    if child == 0:
        try:
            os._exit(action())
        finally:
            os._exit(99)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def test_a_worker_ignores_the_signals_that_are_meant_for_the_run():
    parent = os.getpid()

    def worker():
        start_worker(parent, "fork", 0)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1):
            os.kill(os.getpid(), number)
        return 5

    assert in_child(worker) == 5


_PAGES = """
import resource
from lidistill.loading.worker import keep_freed_memory
def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(20):
        parts = [bytes(3 << 20) for _ in range(8)]
        del parts
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
by_itself = faults()
keep_freed_memory()
faults()
print(faults() <= by_itself // 4)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="memory is kept with glibc only")
def test_a_worker_reuses_the_memory_of_the_frame_before():
    run = subprocess.run([sys.executable, "-c", _PAGES], capture_output=True, text=True, check=True)
    assert run.stdout == "True\n"


def test_a_worker_ends_with_its_parent():
    receive, send = os.pipe()

    def run():
        parent, worker_is_ready = os.getpid(), os.pipe()
        if os.fork() == 0:
            start_worker(parent, "fork", 0)
            os.write(worker_is_ready[1], b"x")
            signal.pause()
        os.read(worker_is_ready[0], 1)
        os.kill(os.getpid(), signal.SIGKILL)
        return 0

    assert in_child(run) == -signal.SIGKILL
    os.close(send)
    # The pipe ends when the last process that has it open, the worker, is gone.
    assert os.read(receive, 1) == b""
    os.close(receive)


_LEFT_BEHIND = """
from torch.utils.data.dataloader import _MultiProcessingDataLoaderIter
from lidistill.loading.loader import StepPlan, step_batches
from lidistill.loading.order import FrameOrder

# What an error in the middle of ending them comes to.
_MultiProcessingDataLoaderIter._shutdown_workers = lambda self: None
plan = StepPlan(order=FrameOrder(sizes=(9,), seed=0), batch_size=1, micro_batch=1)
batches = step_batches(lambda *key: key, tuple, plan, start=0, stop=9, workers=2)
next(batches)
"""


@pytest.mark.slow
def test_workers_that_nobody_ended_do_not_keep_a_run_from_ending():
    command = [sys.executable, "-c", _LEFT_BEHIND]
    done = subprocess.run(command, check=False, timeout=60, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


_STARTED = """
import multiprocessing
import os
import signal
import sys
from lidistill.loading.loader import StepPlan, step_batches
from lidistill.loading.order import FrameOrder

def make(epoch, index):
    return index, os.getpid()

plan = StepPlan(order=FrameOrder(sizes=(9,), seed=0), batch_size=2, micro_batch=2)

if __name__ == "__main__":
    multiprocessing.set_start_method(sys.argv[1])
    seen, workers = [], set()
    for group in step_batches(make, tuple, plan, start=0, stop=4, workers=2):
        seen += [index for index, _ in group[0]]
        workers |= {pid for _, pid in group[0]}
    print(seen == [index for step in range(4) for _, index in plan.keys(step)])
    print(len(workers - {os.getpid()}), flush=True)
    if len(sys.argv) > 2:
        next(step_batches(make, tuple, plan, start=0, stop=4, workers=2))
        os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture(name="script")
def _script(tmp_path):
    script = tmp_path / "started.py"
    script.write_text(_STARTED)
    return script


@pytest.mark.slow
@pytest.mark.parametrize("method", ["fork", "forkserver", "spawn"])
def test_workers_work_however_python_starts_them_and_end_with_a_run_that_is_killed(script, method):
    command = [sys.executable, "-W", "error::UserWarning", str(script), method]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert (done.returncode, done.stdout.split()) == (0, ["True", "2"]), done.stderr
    # Standard output ends when the last process that has it open, a worker, is gone.
    killed = subprocess.run([*command, "kill"], stdout=subprocess.PIPE, check=False, timeout=60)
    assert killed.returncode == -signal.SIGKILL


def test_more_workers_than_cores_are_no_warning(monkeypatch):
    monkeypatch.setattr(torch._utils, "cpu_count", lambda: 1)
    batches = step_batches(reader(set()), tuple, plan(), start=0, stop=1, workers=2)
    assert len(list(batches)) == 1
