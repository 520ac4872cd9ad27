import dataclasses

import numpy as np
import pytest

from lidistill.errors import DatasetNotFoundError
from lidistill.instances.boxes import InstanceConfig
from lidistill.labels import IGNORE
from lidistill.records import Frame
from lidistill.segment import panoptic
from lidistill.segment.panoptic import (
    PanopticAccumulator,
    mean_rows,
    panoptic_markdown,
    panoptic_rows,
)

NAMES = ("road", "car", "person")
CONFIG = InstanceConfig(boxes={"car": (4.0, 2.0), "person": (0.9, 0.9)})


def frame():
    """Two cars of 60 points, road of two raw classes, and points that do not count."""
    rng = np.random.default_rng(0)
    cars = [rng.uniform([x, 0, 0], [x + 3, 1.5, 1], (60, 3)) for x in (0, 10)]
    road = rng.uniform([-20, -20, -2], [20, -10, -2], (100, 3))
    points = np.concatenate([*cars, road, road[:10]]).astype(np.float32)
    return Frame(
        frame_id="a/0",
        sensor="pandar64",
        points=points,
        intensity=np.zeros(len(points), np.float32),
        labels=np.repeat([1, 1, 0, 0, IGNORE], [60, 60, 80, 20, 10]).astype(np.uint8),
        segments=np.repeat([7, 9, 40, 60, 0], [60, 60, 80, 20, 10]).astype(np.uint32),
    )


def tally(one, guess, **options):
    counted = PanopticAccumulator(CONFIG, NAMES, **({"min_points": 10} | options))
    counted.add(one, one.labels, guess)
    return counted


def test_true_classes_lose_only_what_telling_apart_costs():
    one = frame()
    wrong = np.where(one.labels == 1, 2, one.labels)  # cars are taken for people
    result = tally(one, wrong).result()
    assert result.things == (1, 2)
    of_truth = result.scores_of_truth
    assert of_truth.quality[1] == 1
    # Of the road's two raw classes one can be matched.
    assert of_truth.quality[0] == pytest.approx(0.8 / 1.5)
    scores = result.scores
    assert scores.quality[1:].tolist() == [0, 0]
    assert result.counts.missed[1] == 2
    assert result.counts.invented[2] > 0
    means = result.means(of_truth)
    assert means["PQ"] == pytest.approx((0.8 / 1.5 + 1) / 3)
    assert means["PQ dagger"] == pytest.approx(2 / 3)
    assert means["PQ, classes in the truth"] == pytest.approx((0.8 / 1.5 + 1) / 2)
    assert means["PQ, things"] == 0.5


def test_segments_of_too_few_points_are_not_missed():
    one = frame()
    nothing = np.full(len(one.points), IGNORE)
    assert tally(one, nothing, min_points=30).result().counts.missed.tolist() == [1, 2, 0]
    assert tally(one, nothing, min_points=61).result().counts.missed.tolist() == [1, 0, 0]


def test_frames_without_segments_are_refused():
    one = dataclasses.replace(frame(), segments=None)
    with pytest.raises(DatasetNotFoundError, match="instances=true"):
        tally(one, one.labels)


def test_processes_add_up_what_each_has_counted(monkeypatch):
    monkeypatch.setattr(panoptic, "sum_counts", lambda counts: 2 * counts)
    monkeypatch.setattr(panoptic, "sum_numbers", lambda numbers: [2 * n for n in numbers])
    one = frame()
    alone, both = tally(one, one.labels), tally(one, one.labels)
    both.pool()
    first, second = alone.result(), both.result()
    assert second.counts.matched.tolist() == (2 * first.counts.matched).tolist()
    assert second.counts.iou_sum.tolist() == (2 * first.counts.iou_sum).tolist()
    assert second.counts.points.tolist() == (2 * first.counts.points).tolist()
    np.testing.assert_allclose(second.scores.quality, first.scores.quality)
    np.testing.assert_allclose(second.scores_of_truth.iou, first.scores_of_truth.iou)


def test_tables_have_a_row_a_class_and_a_dash_for_an_absent_one():
    one = frame()
    result = tally(one, one.labels).result()
    rows = dict(panoptic_rows(result))
    assert rows["car"] == ["100.0"] * 5
    assert rows["person"] == ["–"] * 5
    assert dict(mean_rows(result))["PQ"] == ["51.1", "51.1"]
    text = panoptic_markdown(result)
    assert "| car | 100.0 | 100.0 | 100.0 | 100.0 | 100.0 |" in text
    assert result.to_json()["true_classes"]["classes"]["car"]["true_positives"] == 2
