"""Segmentation scores from one summed confusion matrix.

Shape letters: N points, C classes.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lidistill.labels import IGNORE


def confusion_matrix(
    labels: NDArray[np.integer], predictions: NDArray[np.integer], num_classes: int
) -> NDArray[np.int64]:
    """Count points by true class (row) and predicted class (column).

    Args:
        labels: (N,) training ids; 255 is left out.
        predictions: (N,) training ids.
        num_classes: C.

    Returns:
        (C, C) counts, to be added up over scans.

    Raises:
        ValueError: If the lengths differ or an id is out of range.
    """
    if labels.shape != predictions.shape:
        msg = f"{len(labels)} labels but {len(predictions)} predictions"
        raise ValueError(msg)
    counted = labels != IGNORE
    rows = labels[counted].astype(np.int64)
    columns = predictions[counted].astype(np.int64)
    for name, ids in (("label", rows), ("prediction", columns)):
        if ids.size and not (ids.min() >= 0 and ids.max() < num_classes):
            msg = f"{name} {ids.max()} is not one of {num_classes} classes"
            raise ValueError(msg)
    counts = np.bincount(rows * num_classes + columns, minlength=num_classes**2)
    return counts.reshape(num_classes, num_classes)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scores:
    """Scores of a confusion matrix, as fractions; NaN where a class has nothing to score."""

    iou: NDArray[np.float64]
    """(C,) intersection over union; NaN for a class in neither truth nor prediction."""
    accuracy: NDArray[np.float64]
    """(C,) share of a class's points that are found; NaN for a class that does not occur."""
    mean_iou: float
    mean_accuracy: float
    overall_accuracy: float


def scores(confusion: NDArray[np.integer]) -> Scores:
    """Scores of a (C, C) confusion matrix with true classes as rows."""
    hits = np.diag(confusion).astype(np.float64)
    truth = confusion.sum(axis=1).astype(np.float64)
    union = truth + confusion.sum(axis=0) - hits
    iou = np.divide(hits, union, out=np.full_like(hits, np.nan), where=union > 0)
    accuracy = np.divide(hits, truth, out=np.full_like(hits, np.nan), where=truth > 0)
    total = truth.sum()
    return Scores(
        iou=iou,
        accuracy=accuracy,
        mean_iou=_nanmean(iou),
        mean_accuracy=_nanmean(accuracy),
        overall_accuracy=float(hits.sum() / total) if total else float("nan"),
    )


def _nanmean(values: NDArray[np.float64]) -> float:
    present = values[~np.isnan(values)]
    return float(present.mean()) if present.size else float("nan")
