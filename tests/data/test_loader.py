import numpy as np
import pytest

from lidistill.data.loader import StepPlan, step_batches
from lidistill.data.order import FrameOrder


def plan(num_frames=10, batch_size=4, micro_batch=4, seed=0):
    order = FrameOrder(sizes=(num_frames,), seed=seed)
    return StepPlan(order=order, batch_size=batch_size, micro_batch=micro_batch)


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
    assert [len(batch) for batch in whole[0]] == [3, 1]
    assert run(2) == whole[2:]
    expected = [[make(*key)[2] for key in plan().keys(step)] for step in range(5)]
    assert [[item[2] for batch in group for item in batch] for group in whole] == expected
