import numba
import numpy as np

from lidistill.backbones.waffleiron.cpu import vectors as lanes


@numba.njit
def arithmetic(left, right, out):
    a, b = lanes.load_eight(left, 2), lanes.load_eight(right, 0)
    lanes.store(out, 0, lanes.plus(a, b))
    lanes.store(out, 8, lanes.minus(a, b))
    lanes.store(out, 16, lanes.times(a, b))
    lanes.store(out, 24, lanes.lower(a, b))
    lanes.store(out, 32, lanes.upper(a, b))
    lanes.store(out, 40, lanes.eight(7.5))
    return lanes.largest(a), lanes.any_less(a, b), lanes.any_less(a, a)


@numba.njit
def four(values, out):
    numbers = lanes.load_four(values, 1)
    lanes.store(out, 0, numbers)
    return lanes.largest(numbers)


@numba.njit
def with_tag(values, tag, mask, out):
    lanes.store(out, 0, lanes.tagged(lanes.load_eight(values, 0), tag, mask))


def test_lanes_calculate_like_arrays():
    rng = np.random.default_rng(0)
    for _ in range(20):
        left, right, out = rng.normal(size=10), rng.normal(size=8), np.zeros(49)
        found = arithmetic(left, right, out)
        a, b = left[2:], right
        expected = [a + b, a - b, a * b, np.minimum(a, b), np.maximum(a, b), np.full(8, 7.5)]
        assert np.array_equal(out[:48].reshape(6, 8), expected)
        assert out[48] == 0
        assert found == (a.max(), (a < b).any(), False)


def test_four_lanes_leave_what_follows_alone():
    out = np.zeros(6)
    assert four(np.arange(6.0), out) == 4
    assert out.tolist() == [1, 2, 3, 4, 0, 0]


def test_a_tag_takes_the_lowest_bits_and_keeps_the_order():
    values, out = np.sort(np.random.default_rng(1).uniform(1, 9, 8)), np.empty(8)
    with_tag(values, 5, 255, out)
    assert np.array_equal(out.view(np.int64) & 255, np.full(8, 5))
    np.testing.assert_allclose(out, values, rtol=2.0**-44)
    assert (np.diff(out) > 0).all()
