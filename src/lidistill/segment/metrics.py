"""Segmentation scores from one summed confusion matrix.

Shape letters: N points, C classes, U units of resampling (drives or frames).
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
            odd = ids.min() if ids.min() < 0 else ids.max()
            msg = f"{name} {odd} is not one of {num_classes} classes"
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
    """Over the classes in truth or prediction, as nuScenes' own script counts."""
    mean_iou_of_all: float
    """Over all classes, one in neither truth nor prediction as 0, as SemanticKITTI's own script
    counts; NaN where there is nothing to score at all."""
    mean_iou_of_truth: float
    """Over the classes that occur in the truth, so that no prediction changes their number."""
    mean_accuracy: float
    overall_accuracy: float


def scores(confusion: NDArray[np.integer] | NDArray[np.floating]) -> Scores:
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
        mean_iou_of_all=float(np.nan_to_num(iou).mean()) if total else float("nan"),
        mean_iou_of_truth=_nanmean(iou[truth > 0]),
        mean_accuracy=_nanmean(accuracy),
        overall_accuracy=float(hits.sum() / total) if total else float("nan"),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """Where a score would lie had other units of the same kind been scored, as fractions."""

    low: float
    high: float
    level: float
    """Share of the resampled scores between the two."""
    num_draws: int
    seed: int


def bootstrap_mean_iou(
    confusions: NDArray[np.integer], *, num_draws: int = 1000, level: float = 0.95, seed: int = 0
) -> Interval | None:
    """Percentile interval of the mean IoU over units drawn with replacement.

    Args:
        confusions: (U, C, C) confusion matrix of each unit. Frames of a drive resemble each other,
            so a unit is best a whole drive.
        num_draws: Resampled sets, each of U units.
        level: Share of the resampled scores to enclose.
        seed: Of the draws.

    Returns:
        None where there is nothing to resample: fewer than two units, or no counted point.

    References:
        Efron, "Bootstrap Methods: Another Look at the Jackknife", Annals of Statistics 1979.
    """
    num_units = len(confusions)
    if num_units < 2 or not confusions.any():
        return None
    rng = np.random.default_rng(seed)
    even = np.full(num_units, 1 / num_units)
    flat = confusions.reshape(num_units, -1).astype(np.float64)
    means = [
        scores((rng.multinomial(num_units, even) @ flat).reshape(confusions.shape[1:])).mean_iou
        for _ in range(num_draws)
    ]
    low, high = np.nanquantile(means, [(1 - level) / 2, (1 + level) / 2])
    return Interval(low=float(low), high=float(high), level=level, num_draws=num_draws, seed=seed)


def _nanmean(values: NDArray[np.float64]) -> float:
    present = values[~np.isnan(values)]
    return float(present.mean()) if present.size else float("nan")
