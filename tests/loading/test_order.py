from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lidistill.loading.order import FrameOrder


def test_without_weights_every_frame_comes_once_an_epoch():
    order = FrameOrder(sizes=(5, 0, 3), seed=0)
    for epoch in range(3):
        keys = order.epoch(epoch)
        assert set(keys[:, 0]) == {epoch}
        assert sorted(keys[:, 1]) == list(range(8))


def test_shares_follow_the_weights():
    order = FrameOrder(sizes=(1000, 10, 90), weights=(1, 1, 2), seed=0)
    assert order.counts() == (275, 275, 550)
    index = order.epoch(0)[:, 1]
    assert Counter(np.searchsorted([1000, 1010], index, side="right")) == {0: 275, 1: 275, 2: 550}


def test_a_small_set_is_gone_through_again_with_other_samples():
    order = FrameOrder(sizes=(9, 3), weights=(1, 1), seed=0)
    keys = order.epoch(0)
    small = keys[keys[:, 1] >= 9]
    assert sorted(map(tuple, small.tolist())) == [(p, i) for p in (0, 1) for i in (9, 10, 11)]


def test_a_large_set_is_continued_in_the_next_epoch():
    order = FrameOrder(sizes=(9, 3), weights=(1, 3), seed=0)
    seen = np.concatenate([order.epoch(epoch) for epoch in range(3)])
    large = seen[seen[:, 1] < 9]
    assert sorted(large[:, 1]) == list(range(9))
    assert set(large[:, 0]) == {0}


@given(
    st.lists(st.tuples(st.integers(1, 30), st.floats(0.01, 10)), min_size=1, max_size=4),
    st.integers(0, 5),
)
def test_no_key_comes_twice_and_every_epoch_is_as_long_as_the_mixture(sets, epoch):
    sizes, weights = zip(*sets, strict=True)
    order = FrameOrder(sizes=sizes, weights=weights, seed=1)
    keys = np.concatenate([order.epoch(e) for e in range(epoch + 1)])
    assert len(keys) == (epoch + 1) * sum(sizes)
    assert len(np.unique(keys, axis=0)) == len(keys)


@pytest.mark.parametrize("weights", [None, (1.0, 2.0)])
def test_the_order_depends_on_seed_and_epoch(weights):
    first = FrameOrder(sizes=(20, 20), weights=weights, seed=0)
    other = FrameOrder(sizes=(20, 20), weights=weights, seed=1)
    assert first.epoch(0).tolist() != first.epoch(1).tolist()
    assert first.epoch(0).tolist() != other.epoch(0).tolist()
