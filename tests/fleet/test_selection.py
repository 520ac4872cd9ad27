import numpy as np
import pytest

from lidistill.fleet.selection import (
    at_random,
    by_coverage,
    by_typicality,
    by_uncertainty,
    evenly,
)


def groups(sizes, *, channels=6, noise=0.05, seed=0):
    """Objects around some directions of their own: (O, C) of length one, and the group of each."""
    rng = np.random.default_rng(seed)
    group = np.repeat(np.arange(len(sizes)), sizes)
    vectors = np.eye(channels)[group] + rng.normal(0, noise, (len(group), channels))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors.astype(np.float32), group


def test_coverage_takes_a_frame_of_every_kind_of_object_before_a_second_of_one():
    vectors, group = groups([40, 30, 20, 1])
    frame = np.arange(len(vectors))  # each object in a frame of its own
    chosen = by_coverage(vectors, frame, 4)
    assert sorted(group[chosen]) == [0, 1, 2, 3]


def test_coverage_is_the_greedy_k_center_of_its_definition():
    rng = np.random.default_rng(3)
    vectors = rng.normal(size=(60, 5)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    frame = rng.integers(0, 12, 60)
    expected = [int(frame[np.argmax(vectors @ vectors.mean(axis=0))])]
    while len(expected) < 5:
        covered = vectors[np.isin(frame, expected)]
        left = [i for i in range(60) if frame[i] not in expected]
        worst = min(left, key=lambda i: float((covered @ vectors[i]).max()))
        expected.append(int(frame[worst]))
    assert by_coverage(vectors, frame, 5) == expected


def test_typicality_takes_the_middle_of_the_largest_kinds_first():
    vectors, group = groups([50, 30, 20], noise=0.02)
    vectors[0] = [0.8, 0.6, 0, 0, 0, 0]  # of the first kind, but at its border
    frame = np.arange(len(vectors))
    chosen = by_typicality(vectors, frame, 3, np.random.default_rng(0))
    assert list(group[chosen]) == [0, 1, 2]
    assert 0 not in chosen


def test_frames_of_one_and_the_same_object_are_told_apart_by_their_number():
    vectors = np.repeat(groups([1, 1])[0], 4, axis=0)
    frame = np.arange(8)
    chosen = by_typicality(vectors, frame, 5, np.random.default_rng(0))
    assert len(set(chosen)) == 5
    assert {number // 4 for number in chosen[:2]} == {0, 1}


def test_no_frame_is_chosen_twice_though_its_objects_are_of_many_kinds():
    vectors, _ = groups([10, 10, 10])
    frame = np.tile(np.arange(5), 6)
    for chosen in (
        by_coverage(vectors, frame, 5),
        by_typicality(vectors, frame, 5, np.random.default_rng(0)),
    ):
        assert sorted(chosen) == [0, 1, 2, 3, 4]


def test_uncertainty_is_the_mean_over_a_frames_objects():
    confidence = np.array([0.9, 0.2, 0.5, 0.5, 0.99])
    frame = np.array([0, 0, 1, 1, 2])
    assert by_uncertainty(confidence, frame, 2) == [1, 0]  # 0.5 and 0.45 in doubt


@pytest.mark.parametrize(
    ("count", "expected"), [(1, [5]), (2, [2, 7]), (5, [1, 3, 5, 7, 9]), (10, list(range(10)))]
)
def test_even_choice_takes_the_middle_of_equal_stretches(count, expected):
    assert evenly(range(10), count) == expected


def test_chance_is_the_generators():
    first, again, other = (at_random(range(50), 9, np.random.default_rng(s)) for s in (1, 1, 2))
    assert first == again != other
    assert len(set(first)) == 9
