"""Scores of a segmentation on whole scans, every original point counted.

Shape letters: N points of a frame, M points of its sample, C classes.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from lidistill.config import GridConfig
from lidistill.data import FrameDataset
from lidistill.data.sampling import SamplingConfig, segmentation_sample
from lidistill.engine.progress import track
from lidistill.errors import DatasetNotFoundError
from lidistill.labels import IGNORE
from lidistill.metrics import Scores, confusion_matrix, scores
from lidistill.structures import Frame, Sample
from lidistill.tasks.encoders import seen_by_camera

Predict = Callable[[Frame, Sample], tuple[Tensor, Tensor]]
"""(M,) predicted classes of a sample, and (M,) whether a point can be predicted at all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """Summed confusion matrices, over all points and over those that a camera sees."""

    class_names: tuple[str, ...]
    confusion: NDArray[np.int64]
    """(C, C) true class by predicted class, all points with a prediction."""
    confusion_seen: NDArray[np.int64]
    """(C, C) the same over points in at least one picture."""
    num_frames: int

    @property
    def scores(self) -> Scores:
        """Scores over all points."""
        return scores(self.confusion)

    @property
    def scores_seen(self) -> Scores:
        """Scores over points in at least one picture."""
        return scores(self.confusion_seen)

    def to_json(self) -> dict[str, Any]:
        """Everything as JSON values; scores in percent, None where there is nothing to score."""
        return {
            "num_frames": self.num_frames,
            "classes": list(self.class_names),
            "all_points": _scores_json(self.scores),
            "seen_by_a_camera": _scores_json(self.scores_seen),
            "confusion": self.confusion.tolist(),
            "confusion_seen": self.confusion_seen.tolist(),
        }


def evaluate(
    predict: Predict, dataset: FrameDataset, sampling: SamplingConfig, grid: GridConfig
) -> Evaluation:
    """Score predictions on every frame of a data set.

    Voxels are reduced to their first point, the sample is cropped and predicted, every original
    point gets the prediction of its nearest kept point, and one confusion matrix is summed.

    Raises:
        DatasetNotFoundError: If a frame has no labels.

    References:
        ScaLR (CVPR 2024), section 4; the official scripts of the data sets.
    """
    label_map = dataset.label_map
    shape = (label_map.num_classes, label_map.num_classes)
    total, total_seen = np.zeros(shape, np.int64), np.zeros(shape, np.int64)
    for index in track(range(len(dataset)), "evaluating", total=len(dataset)):
        frame = dataset[index]
        labels_of(frame)
        sample = segmentation_sample(frame, sampling, grid, None, training=False)
        predicted, valid = predict(frame, sample)
        assert sample.inverse is not None  # noqa: S101  evaluation samples carry both
        assert sample.full_labels is not None  # noqa: S101
        nearest = sample.inverse.numpy()
        guess = predicted.numpy()[nearest]
        truth = np.where(valid.numpy()[nearest], sample.full_labels.numpy(), IGNORE)
        total += confusion_matrix(truth, guess, label_map.num_classes)
        seen = np.where(seen_by_camera(frame), truth, IGNORE)
        total_seen += confusion_matrix(seen, guess, label_map.num_classes)
    return Evaluation(
        class_names=label_map.class_names,
        confusion=total,
        confusion_seen=total_seen,
        num_frames=len(dataset),
    )


def labels_of(frame: Frame) -> NDArray[np.uint8]:
    """(N,) labels of a frame that must have them.

    Raises:
        DatasetNotFoundError: If it has none.
    """
    if frame.labels is None:
        msg = (
            f"frame {frame.frame_id} has no labels, and a probe needs them; leave it out "
            "(data.sets … frames) or add its label file."
        )
        raise DatasetNotFoundError(msg)
    return frame.labels


def write_evaluation(evaluation: Evaluation, path: Path, **context: Any) -> None:
    """Write scores and what they belong to as JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    record = context | evaluation.to_json()
    path.write_text(json.dumps(record, indent=1), encoding="utf-8")


def _scores_json(result: Scores) -> dict[str, Any]:
    def percent(value: float) -> float | None:
        return None if np.isnan(value) else round(100 * float(value), 4)

    return {
        "mean_iou": percent(result.mean_iou),
        "mean_accuracy": percent(result.mean_accuracy),
        "overall_accuracy": percent(result.overall_accuracy),
        "iou": [percent(value) for value in result.iou],
        "accuracy": [percent(value) for value in result.accuracy],
    }
