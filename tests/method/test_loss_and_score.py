"""The loss of distillation and the score of segmentation, with loops."""

import math

import numpy as np
import pytest
import torch

from lidistill.distill.losses import distillation_loss
from lidistill.segment.losses import cross_entropy_lovasz
from lidistill.segment.metrics import confusion_matrix, scores


def unit(vector):
    length = math.sqrt(sum(value * value for value in vector))
    return [value / length for value in vector]


@pytest.mark.parametrize("form", ["distance", "cosine"])
def test_the_loss_is_the_mean_distance_of_unit_features(form):
    draw = torch.Generator().manual_seed(0)
    student, teacher = 3 * torch.randn(700, 6, generator=draw), torch.randn(700, 6, generator=draw)
    squares = [
        sum((a - b) ** 2 for a, b in zip(unit(s), unit(t), strict=True))
        for s, t in zip(student.tolist(), teacher.tolist(), strict=True)
    ]
    distances = [math.sqrt(s) if form == "distance" else s / 2 for s in squares]
    loss, cosine = distillation_loss(student, teacher, widths=(6,), form=form)
    assert float(loss) == pytest.approx(sum(distances) / 700, rel=1e-5)
    assert float(cosine) == pytest.approx(1 - sum(squares) / 1400, rel=1e-5)


def test_labels_are_learned_by_cross_entropy_and_lovasz_alike():
    """One class is right everywhere: Lovasz is then the mean error of every present class."""
    logits = torch.tensor([[2.0, 0.0], [1.0, 0.0], [0.0, 5.0]])
    labels = torch.tensor([0, 0, 255])
    p = [1 / (1 + math.exp(-2)), 1 / (1 + math.exp(-1))]
    entropy = -(math.log(p[0]) + math.log(p[1])) / 2
    errors = sorted((1 - p[0], 1 - p[1]), reverse=True)
    lovasz = sum(errors) / 2  # the Jaccard loss of a class that fills all grows by halves
    assert float(cross_entropy_lovasz(logits, labels)) == pytest.approx(entropy + lovasz, rel=1e-6)


def test_rows_are_the_truth_and_points_of_no_class_do_not_count():
    labels = np.array([0, 0, 0, 1, 2, 255])
    confusion = confusion_matrix(labels, np.array([0, 1, 1, 1, 1, 3]), 4)
    assert confusion.tolist() == [[1, 2, 0, 0], [0, 1, 0, 0], [0, 1, 0, 0], [0, 0, 0, 0]]
    result = scores(confusion)
    np.testing.assert_allclose(result.iou, [1 / 3, 1 / 4, 0, np.nan])
    assert result.mean_iou == pytest.approx((1 / 3 + 1 / 4 + 0) / 3)
    assert result.overall_accuracy == pytest.approx(2 / 5)
