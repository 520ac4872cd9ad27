import threading

import pytest
import torch

from lidistill.backbones.waffleiron.cpu.threads import chunks, run_split, split_rows


@pytest.fixture(autouse=True)
def _three_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(before)


def test_shares_cover_all_rows_once_and_small_work_stays_together():
    shares = split_rows(1001)
    assert [row for start, stop in shares for row in range(start, stop)] == list(range(1001))
    assert len(shares) == 3
    assert split_rows(10) == [(0, 10)]


def test_each_thread_computes_alone_and_the_caller_keeps_its_number():
    seen = []

    def task(worker, start, stop):
        state = torch.get_num_threads(), torch.is_grad_enabled(), threading.current_thread().name
        seen.append((worker, *state))

    assert run_split(900, task) == 3
    assert sorted(entry[0] for entry in seen) == [0, 1, 2]
    assert {entry[1:3] for entry in seen} == {(1, False)}
    assert all(entry[3].startswith("lidistill") for entry in seen)
    assert torch.get_num_threads() == 3


def test_an_error_in_a_thread_reaches_the_caller():
    def task(worker, start, stop):
        raise ValueError("row")

    with pytest.raises(ValueError, match="row"):
        run_split(900, task)


def test_chunks_end_with_the_range():
    assert list(chunks(3, 8, 2)) == [slice(3, 5), slice(5, 7), slice(7, 8)]


def test_threads_take_over_inference_mode():
    def task(worker, start, stop):
        seen.append((torch.is_inference_mode_enabled(), torch.is_grad_enabled()))
        rows[start:stop] += 1

    for mode in (torch.inference_mode, torch.enable_grad):
        seen = []
        with mode():
            rows = torch.zeros(900, 2)
            run_split(900, task)
        assert seen == [(mode is torch.inference_mode, False)] * 3
        assert bool((rows == 1).all())
