"""Panoptic quality of a segmentation whose objects are told apart without training.

Shape letters: N points of a frame, C classes.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lidistill.distributed.processes import sum_counts, sum_numbers
from lidistill.errors import DatasetNotFoundError
from lidistill.instances.boxes import InstanceConfig
from lidistill.instances.find import InstanceFinder
from lidistill.instances.panoptic_quality import (
    PanopticCounts,
    PanopticScores,
    Segments,
    count_segments,
    panoptic_scores,
)
from lidistill.records import Frame


@dataclass(frozen=True, slots=True, kw_only=True)
class PanopticEvaluation:
    """Panoptic quality with predicted classes, and with true ones: what the objects alone cost."""

    class_names: tuple[str, ...]
    things: tuple[int, ...]
    """Training ids of the classes whose objects are told apart."""
    config: InstanceConfig
    min_points: int
    """Points of a segment that counts though nothing matches it."""
    counts: PanopticCounts
    """With predicted classes."""
    counts_of_truth: PanopticCounts
    """With the true classes."""

    @property
    def scores(self) -> PanopticScores:
        """With predicted classes."""
        return panoptic_scores(self.counts)

    @property
    def scores_of_truth(self) -> PanopticScores:
        """With the true classes."""
        return panoptic_scores(self.counts_of_truth)

    def means(self, scores: PanopticScores) -> dict[str, float]:
        """Official means (absent classes are zeros), and one over the classes in the truth."""
        thing = np.isin(np.arange(len(self.class_names)), self.things)
        present = scores.quality[scores.in_truth]
        return {
            "PQ": float(scores.quality.mean()),
            "PQ dagger": float(scores.dagger(self.things).mean()),
            "SQ": float(scores.segmentation.mean()),
            "RQ": float(scores.recognition.mean()),
            "PQ, things": _mean(scores.quality[thing]),
            "PQ, others": _mean(scores.quality[~thing]),
            "PQ, classes in the truth": _mean(present),
            "mIoU": float(scores.iou.mean()),
        }

    def to_json(self) -> dict[str, Any]:
        """Everything as JSON values; scores in percent."""
        return {
            "instances": self.config.model_dump(mode="json"),
            "min_points": self.min_points,
            "things": [self.class_names[number] for number in self.things],
            "predicted_classes": self._side(self.counts, self.scores),
            "true_classes": self._side(self.counts_of_truth, self.scores_of_truth),
        }

    def _side(self, counts: PanopticCounts, scores: PanopticScores) -> dict[str, Any]:
        means = {name: _percent(value) for name, value in self.means(scores).items()}
        per_class = {
            name: {
                "PQ": _percent(scores.quality[i]),
                "SQ": _percent(scores.segmentation[i]),
                "RQ": _percent(scores.recognition[i]),
                "IoU": _percent(scores.iou[i]),
                "true_positives": int(counts.matched[i]),
                "false_positives": int(counts.invented[i]),
                "false_negatives": int(counts.missed[i]),
            }
            for i, name in enumerate(self.class_names)
        }
        return {"means": means, "classes": per_class}


class PanopticAccumulator:
    """Adds frames up.

    Args:
        config: How objects are told apart.
        class_names: C names.
        min_points: See ``PanopticEvaluation``.
    """

    def __init__(
        self, config: InstanceConfig, class_names: tuple[str, ...], *, min_points: int
    ) -> None:
        self._finder = InstanceFinder(config, class_names)
        self._config, self._class_names, self._min_points = config, class_names, min_points
        self._counts = PanopticCounts.zero(len(class_names))
        self._counts_of_truth = PanopticCounts.zero(len(class_names))

    def add(self, frame: Frame, truth: NDArray[np.integer], guess: NDArray[np.integer]) -> None:
        """Count one frame.

        Args:
            frame: With segments.
            truth: (N,) training ids, 255 where a point does not count.
            guess: (N,) predicted classes.

        Raises:
            DatasetNotFoundError: If nobody says which object its points are of.
        """
        if frame.segments is None:
            msg = (
                f"frame {frame.frame_id} does not say which object a point is of, and panoptic "
                "quality needs it; set instances=true on its data set."
            )
            raise DatasetNotFoundError(msg)
        true = Segments(classes=truth, ids=frame.segments)
        self._counts += self._compare(true, frame, guess)
        self._counts_of_truth += self._compare(true, frame, truth)

    def _compare(
        self, truth: Segments, frame: Frame, classes: NDArray[np.integer]
    ) -> PanopticCounts:
        guess = Segments(classes=classes, ids=self._finder(frame.points, classes))
        return count_segments(truth, guess, len(self._class_names), min_points=self._min_points)

    def pool(self) -> None:
        """Add what the other processes have counted."""
        self._counts, self._counts_of_truth = _pooled(self._counts), _pooled(self._counts_of_truth)

    def result(self) -> PanopticEvaluation:
        """Of all frames that were added."""
        return PanopticEvaluation(
            class_names=self._class_names,
            things=self._finder.things,
            config=self._config,
            min_points=self._min_points,
            counts=self._counts,
            counts_of_truth=self._counts_of_truth,
        )


def panoptic_rows(evaluation: PanopticEvaluation) -> list[tuple[str, list[str]]]:
    """Name, then PQ, SQ, RQ and IoU with predicted classes, and PQ with true ones, in percent."""
    scores, of_truth = evaluation.scores, evaluation.scores_of_truth
    columns = (scores.quality, scores.segmentation, scores.recognition, scores.iou)
    rows = []
    for i, name in enumerate(evaluation.class_names):
        values = [f"{100 * column[i]:.1f}" for column in (*columns, of_truth.quality)]
        rows.append((name, values if scores.in_truth[i] else ["–"] * len(values)))
    return rows


def mean_rows(evaluation: PanopticEvaluation) -> list[tuple[str, list[str]]]:
    """Name of a mean, its value with predicted classes and with true ones, in percent."""
    sides = [evaluation.means(s) for s in (evaluation.scores, evaluation.scores_of_truth)]
    return [(name, [f"{100 * side[name]:.1f}" for side in sides]) for name in sides[0]]


def panoptic_markdown(evaluation: PanopticEvaluation) -> str:
    """Both tables."""
    lines = [
        "| class | PQ % | SQ % | RQ % | IoU % | PQ %, true classes |",
        "|---|---|---|---|---|---|",
    ]
    lines += [f"| {name} | {' | '.join(row)} |" for name, row in panoptic_rows(evaluation)]
    lines += ["", "| over all | predicted classes, % | true classes, % |", "|---|---|---|"]
    lines += [f"| {name} | {' | '.join(row)} |" for name, row in mean_rows(evaluation)]
    return "\n".join(lines) + "\n"


def _pooled(counts: PanopticCounts) -> PanopticCounts:
    return replace(
        counts,
        matched=sum_counts(counts.matched),
        invented=sum_counts(counts.invented),
        missed=sum_counts(counts.missed),
        iou_sum=np.array(sum_numbers(counts.iou_sum.tolist())),
        points=sum_counts(counts.points),
    )


def _mean(values: NDArray[np.float64]) -> float:
    return float(values.mean()) if len(values) else 0.0


def _percent(value: float) -> float:
    return round(100 * float(value), 4)
