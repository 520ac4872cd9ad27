import numpy as np
import pytest

from lidistill.instances.panoptic_quality import (
    PanopticCounts,
    Segments,
    count_segments,
    panoptic_scores,
)
from lidistill.labels import IGNORE


def by_definition(truth, guess, num_classes, min_points):
    """Segment by segment, with sets of points."""
    kept = [i for i, c in enumerate(truth.classes) if c != IGNORE]
    counts = np.zeros((3, num_classes), int)
    iou_sum = np.zeros(num_classes)
    for number in range(num_classes):
        sides = []
        for side in (truth, guess):
            own = [i for i in kept if side.classes[i] == number]
            ids = {side.ids[i] for i in own}
            sides.append([{i for i in own if side.ids[i] == one} for one in sorted(ids)])
        left, free = list(sides[0]), list(sides[1])
        for true in sides[0]:
            for found in sides[1]:
                iou = len(true & found) / len(true | found)
                if iou > 0.5:
                    counts[0, number] += 1
                    iou_sum[number] += iou
                    left.remove(true)
                    free.remove(found)
        counts[1, number] = sum(len(one) >= min_points for one in free)
        counts[2, number] = sum(len(one) >= min_points for one in left)
    return counts, iou_sum


def drawn(seed, size=400):
    rng = np.random.default_rng(seed)
    classes = rng.integers(0, 4, size)
    ids = rng.integers(0, 4, size) << 16
    changed = rng.random(size) < 0.25
    guess = Segments(
        classes=np.where(changed, rng.choice([0, 1, 2, 3, IGNORE], size), classes),
        ids=np.where(rng.random(size) < 0.1, 7, ids // 3),
    )
    truth = Segments(classes=np.where(rng.random(size) < 0.1, IGNORE, classes), ids=ids)
    return truth, guess


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("min_points", [1, 10])
def test_counts_are_those_of_the_definition(seed, min_points):
    truth, guess = drawn(seed)
    found = count_segments(truth, guess, 4, min_points=min_points)
    counts, iou_sum = by_definition(truth, guess, 4, min_points)
    assert np.array_equal([found.matched, found.invented, found.missed], counts)
    np.testing.assert_allclose(found.iou_sum, iou_sum, rtol=1e-12)


def test_small_segments_count_only_where_they_match():
    ids = np.repeat([1, 2], [3, 60])
    truth = Segments(classes=np.zeros(63, int), ids=ids)
    right = count_segments(truth, truth, 1, min_points=50)
    assert (right.matched[0], right.invented[0], right.missed[0]) == (2, 0, 0)
    joined = Segments(classes=np.zeros(63, int), ids=np.ones(63, int))
    wrong = count_segments(truth, joined, 1, min_points=50)
    assert (wrong.matched[0], wrong.invented[0], wrong.missed[0]) == (1, 0, 0)  # 3 are too few


def test_raw_classes_of_one_class_are_segments_of_their_own():
    raw = np.repeat([40, 60], [90, 60])  # road and lane marking
    truth = Segments(classes=np.zeros(150, int), ids=raw)
    guess = Segments(classes=np.zeros(150, int), ids=np.full(150, 40))
    found = count_segments(truth, guess, 1, min_points=50)
    assert (found.matched[0], found.invented[0], found.missed[0]) == (1, 0, 1)
    assert found.iou_sum[0] == pytest.approx(0.6)


def test_whole_ids_of_32_bits_are_told_apart():
    ids = np.array([1, (1 << 32) - 1, 1 << 31], np.uint32).repeat(2)
    truth = Segments(classes=np.full(6, 200), ids=ids)
    assert count_segments(truth, truth, 201, min_points=1).matched[200] == 3


def test_absent_classes_are_zeros_in_the_mean():
    truth = Segments(classes=np.zeros(60, int), ids=np.ones(60, int))
    scores = panoptic_scores(count_segments(truth, truth, 4, min_points=50))
    assert scores.quality.tolist() == [1, 0, 0, 0]
    assert scores.iou.tolist() == [1, 0, 0, 0]
    assert scores.in_truth.tolist() == [True, False, False, False]


def test_dagger_takes_the_iou_of_what_are_no_things():
    truth = Segments(classes=np.repeat([0, 1], 60), ids=np.repeat([5, 6, 7, 8], 30))
    guess = Segments(classes=truth.classes, ids=np.repeat([5, 6], 60))
    scores = panoptic_scores(count_segments(truth, guess, 2, min_points=10))
    assert scores.quality.tolist() == [0, 0]  # an IoU of one half is no match
    assert scores.dagger(things=(0,)).tolist() == [0, 1]


def test_counts_of_scans_add_up():
    one, two = (count_segments(*drawn(seed), 4, min_points=1) for seed in (0, 1))
    both = PanopticCounts.zero(4) + one + two
    assert both.matched.tolist() == (one.matched + two.matched).tolist()
    assert both.points.sum() == one.points.sum() + two.points.sum()


def test_a_scan_without_a_point_that_counts_is_zero():
    none = Segments(classes=np.full(5, IGNORE), ids=np.zeros(5, int))
    counts = count_segments(none, none, 3, min_points=1)
    assert counts.points.sum() == counts.matched.sum() == 0
