import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lidistill.labels import IGNORE
from lidistill.segment.metrics import bootstrap_mean_iou, confusion_matrix, scores

ids = st.lists(
    st.tuples(st.sampled_from([0, 1, 2, IGNORE]), st.integers(0, 2)), min_size=1, max_size=40
)


@given(ids)
def test_iou_is_intersection_over_union_of_point_sets(pairs):
    labels, predictions = (np.array(column) for column in zip(*pairs, strict=True))
    result = scores(confusion_matrix(labels, predictions, 3))
    for c in range(3):
        truth = {i for i, label in enumerate(labels) if label == c}
        found = {i for i, guess in enumerate(predictions) if guess == c and labels[i] != IGNORE}
        if truth | found:
            assert result.iou[c] == pytest.approx(len(truth & found) / len(truth | found))
        else:
            assert np.isnan(result.iou[c])


def test_a_class_nobody_saw_is_left_out_of_the_mean():
    confusion = np.array([[3, 1, 0], [0, 4, 0], [0, 0, 0]])
    assert scores(confusion).mean_iou == pytest.approx((3 / 4 + 4 / 5) / 2)


def test_semantic_kittis_script_counts_an_absent_class_as_zero():
    perfect = scores(np.diag([3, 4, 0, 0, 1]))
    assert perfect.mean_iou == perfect.mean_iou_of_truth == 1
    assert perfect.mean_iou_of_all == pytest.approx(3 / 5)


def test_nothing_to_score_is_nan_and_not_zero():
    result = scores(np.zeros((2, 2), dtype=np.int64))
    assert np.isnan(result.mean_iou)
    assert np.isnan(result.mean_iou_of_all)
    assert np.isnan(result.overall_accuracy)


def test_confusions_of_two_scans_add_up_to_that_of_both():
    rng = np.random.default_rng(0)
    labels, guesses = rng.integers(0, 4, 100), rng.integers(0, 4, 100)
    parts = confusion_matrix(labels[:30], guesses[:30], 4) + confusion_matrix(
        labels[30:], guesses[30:], 4
    )
    np.testing.assert_array_equal(parts, confusion_matrix(labels, guesses, 4))


def test_lengths_must_agree():
    with pytest.raises(ValueError, match="3 labels but 2 predictions"):
        confusion_matrix(np.zeros(3, int), np.zeros(2, int), 2)


def test_a_label_out_of_range_is_named():
    with pytest.raises(ValueError, match="label 7 is not one of 2 classes"):
        confusion_matrix(np.array([7]), np.array([0]), 2)
    with pytest.raises(ValueError, match="prediction -1 is not one of 2 classes"):
        confusion_matrix(np.array([1, 1]), np.array([1, -1]), 2)


def test_a_class_that_is_only_guessed_counts_in_one_mean_and_not_in_the_other():
    result = scores(np.array([[3, 0, 1], [0, 4, 0], [0, 0, 0]]))
    assert result.mean_iou == pytest.approx((3 / 4 + 1 + 0) / 3)
    assert result.mean_iou_of_truth == pytest.approx((3 / 4 + 1) / 2)


def test_the_interval_of_equal_units_is_a_point_and_of_different_ones_is_not():
    good, bad = np.array([[9, 1], [1, 9]]), np.array([[5, 5], [5, 5]])
    same = bootstrap_mean_iou(np.stack([good] * 8), num_draws=50)
    assert same.low == pytest.approx(same.high)
    mixed = bootstrap_mean_iou(np.stack([good, bad] * 20), num_draws=500, seed=1)
    middle = scores(good + bad).mean_iou
    assert scores(bad).mean_iou < mixed.low < middle < mixed.high < scores(good).mean_iou
    again = bootstrap_mean_iou(np.stack([good, bad] * 20), num_draws=500, seed=1)
    assert (again.low, again.high) == (mixed.low, mixed.high)
    assert bootstrap_mean_iou(good[None]) is None


def test_units_without_a_counted_point_have_no_interval():
    assert bootstrap_mean_iou(np.zeros((3, 2, 2), np.int64)) is None


def test_the_interval_covers_the_true_score_about_as_often_as_it_says():
    rng = np.random.default_rng(0)
    hits = 0
    for trial in range(60):
        shares = np.clip(rng.normal(0.8, 0.1, 30), 0, 1)  # of right points in each drive
        right = np.round(100 * shares).astype(int)
        units = np.array([[[r, 100 - r], [100 - r, r]] for r in right])
        interval = bootstrap_mean_iou(units, num_draws=200, seed=trial)
        hits += interval.low <= 0.8 / 1.2 <= interval.high
    assert hits > 48
