"""Scores of a segmentation on whole scans, every original point counted.

Shape letters: N points of a frame, M points of its sample, C classes, U units of resampling.
"""

import functools
import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from lidistill.datasets import FrameDataset
from lidistill.distributed.processes import items_of_rank, sum_counts
from lidistill.errors import DatasetNotFoundError
from lidistill.labels import IGNORE
from lidistill.loading.prefetch import prefetch
from lidistill.records import Frame, Sample
from lidistill.samples.distillation import SamplingConfig
from lidistill.samples.labelled import scan_sample
from lidistill.samples.preparer import Preparer
from lidistill.segment.breakdown import BREAKDOWNS
from lidistill.segment.encoders import seen_by_camera
from lidistill.segment.metrics import Interval, Scores, bootstrap_mean_iou, confusion_matrix, scores
from lidistill.segment.panoptic import PanopticAccumulator, PanopticEvaluation
from lidistill.segment.test_time_augmentation import Predict
from lidistill.training.progress import track


@dataclass(frozen=True, kw_only=True)  # without slots, so that the interval can be kept
class Evaluation:
    """Summed confusion matrices: of every unit, of points in an image, of groups of points."""

    class_names: tuple[str, ...]
    num_frames: int
    unit: Literal["drive", "frame"]
    """What the confidence interval resamples: drives, or frames where there is one drive."""
    confusion_by_unit: NDArray[np.int64]
    """(U, C, C) true class by predicted class, all points with a prediction."""
    confusion_seen: NDArray[np.int64]
    """(C, C) the same over points in at least one image."""
    confusion_by_group: dict[str, NDArray[np.int64]]
    """(groups, C, C) for each of ``breakdown.BREAKDOWNS``."""
    fingerprint: str
    """Changes with any point, intensity, label or name of the frames; not with their order."""
    panoptic: PanopticEvaluation | None = None
    """Panoptic quality, where it was asked for."""

    @property
    def confusion(self) -> NDArray[np.int64]:
        """(C, C) over all frames."""
        return self.confusion_by_unit.sum(axis=0)

    @property
    def scores(self) -> Scores:
        """Scores over all points."""
        return scores(self.confusion)

    @property
    def scores_seen(self) -> Scores:
        """Scores over points in at least one image."""
        return scores(self.confusion_seen)

    @functools.cached_property
    def interval(self) -> Interval | None:
        """95 % confidence interval of the mean IoU; None for one unit, or nothing to score."""
        return bootstrap_mean_iou(self.confusion_by_unit)

    def group_scores(self, breakdown: str) -> dict[str, Scores]:
        """Scores of each group of points, by its name."""
        names = BREAKDOWNS[breakdown].names
        return {
            name: scores(confusion)
            for name, confusion in zip(names, self.confusion_by_group[breakdown], strict=True)
        }

    def to_json(self) -> dict[str, Any]:
        """Everything as JSON values; scores in percent, None where there is nothing to score."""
        interval = self.interval
        panoptic = {} if self.panoptic is None else {"panoptic": self.panoptic.to_json()}
        return panoptic | {
            "num_frames": self.num_frames,
            "data_fingerprint": self.fingerprint,
            "classes": list(self.class_names),
            "num_points": self.confusion.sum(axis=1).tolist(),
            "all_points": _scores_json(self.scores),
            "mean_iou_interval": None if interval is None else self._interval_json(interval),
            "seen_by_a_camera": _scores_json(self.scores_seen),
            "groups": {
                key: {name: _scores_json(s) for name, s in self.group_scores(key).items()}
                for key in self.confusion_by_group
            },
            "confusion": self.confusion.tolist(),
            "confusion_seen": self.confusion_seen.tolist(),
        }

    def _interval_json(self, interval: Interval) -> dict[str, Any]:
        ends = {"low": _percent(interval.low), "high": _percent(interval.high)}
        over = {"unit": self.unit, "num_units": len(self.confusion_by_unit)}
        return asdict(interval) | ends | over


class ConfusionAccumulator:
    """Adds frames up; every array in it can be added to that of another process.

    Args:
        drive_ids: Of all frames of the data set, whoever adds them.
        num_classes: C.
    """

    def __init__(self, drive_ids: tuple[str, ...], num_classes: int) -> None:
        drives = {name: row for row, name in enumerate(dict.fromkeys(drive_ids))}
        self.unit: Literal["drive", "frame"] = "drive" if len(drives) > 1 else "frame"
        in_drives = [drives[name] for name in drive_ids]
        self._row = in_drives if self.unit == "drive" else list(range(len(drive_ids)))
        units = drives if self.unit == "drive" else drive_ids
        self._num_classes = num_classes
        shape = (num_classes, num_classes)
        self.by_unit = np.zeros((len(units), *shape), np.int64)
        self.seen = np.zeros(shape, np.int64)
        self.by_group = {
            key: np.zeros((len(breakdown.names), *shape), np.int64)
            for key, breakdown in BREAKDOWNS.items()
        }
        self.fingerprint = np.zeros(2, np.int64)

    def add(
        self, index: int, frame: Frame, truth: NDArray[np.integer], guess: NDArray[np.integer]
    ) -> None:
        """Count one frame.

        Args:
            index: Its position in the data set.
            frame: The frame.
            truth: (N,) training ids, 255 where a point does not count.
            guess: (N,) predicted classes.
        """
        self.by_unit[self._row[index]] += self._count(truth, guess)
        self.seen += self._count(np.where(seen_by_camera(frame), truth, IGNORE), guess)
        for key, breakdown in BREAKDOWNS.items():
            groups = breakdown.groups(frame)
            for group in range(len(breakdown.names)):
                inside = groups == group
                self.by_group[key][group] += self._count(truth[inside], guess[inside])
        with np.errstate(over="ignore"):
            self.fingerprint += _fingerprint(frame)

    def pool(self) -> None:
        """Add what the other processes have counted."""
        self.by_unit, self.seen = sum_counts(self.by_unit), sum_counts(self.seen)
        self.by_group = {key: sum_counts(counts) for key, counts in self.by_group.items()}
        self.fingerprint = sum_counts(self.fingerprint)

    def _count(self, truth: NDArray[np.integer], guess: NDArray[np.integer]) -> NDArray[np.int64]:
        return confusion_matrix(truth, guess, self._num_classes)


def evaluate(
    predict: Predict,
    dataset: FrameDataset,
    sampling: SamplingConfig,
    preparer: Preparer,
    panoptic: PanopticAccumulator | None = None,
) -> Evaluation:
    """Score predictions on every frame of a data set.

    Voxels are reduced to their first point, the sample is cropped and predicted, every original
    point gets the prediction of its nearest kept point, and confusion matrices are summed. The next
    frame is read while the network computes the present one; two are in memory.

    Args:
        predict: Classes of a sample.
        dataset: Frames with labels.
        sampling: How a frame becomes a sample.
        preparer: Of the backbone.
        panoptic: Counts objects, too; the frames must have segments.

    Raises:
        DatasetNotFoundError: If a frame has no labels.

    References:
        ScaLR (CVPR 2024), section 4; the official scripts of the data sets.
    """
    label_map = dataset.label_map
    tally = ConfusionAccumulator(dataset.drive_ids, label_map.num_classes)
    own = items_of_rank(len(dataset))
    frames = labelled_samples(dataset, own, sampling, preparer)
    for index, frame, sample in track(frames, "evaluating", total=len(own)):
        predicted, valid = predict(frame, sample)
        assert sample.inverse is not None  # noqa: S101  evaluation samples carry both
        assert sample.full_labels is not None  # noqa: S101
        nearest = sample.inverse.numpy()
        truth = np.where(valid.numpy()[nearest], sample.full_labels.numpy(), IGNORE)
        guess = predicted.numpy()[nearest]
        tally.add(index, frame, truth, guess)
        if panoptic is not None:
            panoptic.add(frame, truth, guess)
    tally.pool()
    if panoptic is not None:
        panoptic.pool()
    return Evaluation(
        class_names=label_map.class_names,
        num_frames=len(dataset),
        unit=tally.unit,
        confusion_by_unit=tally.by_unit,
        confusion_seen=tally.seen,
        confusion_by_group=tally.by_group,
        fingerprint=tally.fingerprint.tobytes().hex(),
        panoptic=None if panoptic is None else panoptic.result(),
    )


def labelled_samples(
    dataset: FrameDataset, indices: Iterable[int], sampling: SamplingConfig, preparer: Preparer
) -> Iterator[tuple[int, Frame, Sample]]:
    """Some frames that must have labels, with their samples; one is read ahead.

    Args:
        dataset: The frames.
        indices: Which of them.
        sampling: How a frame becomes a sample.
        preparer: Of the backbone.

    Yields:
        Index, frame and sample.

    Raises:
        DatasetNotFoundError: If a frame has no labels.
    """

    def read(index: int) -> tuple[int, Frame, Sample]:
        frame = dataset[index]
        labels_of(frame)
        return index, frame, scan_sample(frame, sampling, preparer)

    return prefetch(read, indices)


def _fingerprint(frame: Frame) -> NDArray[np.int64]:
    """(2,) whole numbers that change with anything a score depends on."""
    digest = hashlib.blake2b(f"{frame.sensor} {frame.frame_id}".encode(), digest_size=16)
    # Without intensity as if it were 0: so counted the versions that read it so.
    zeros = np.zeros(len(frame.points), np.float32)
    intensity = zeros if frame.intensity is None else frame.intensity
    for array in (frame.points, intensity, labels_of(frame)):
        digest.update(np.ascontiguousarray(array).tobytes())
    return np.frombuffer(digest.digest(), dtype="<i8")


def labels_of(frame: Frame) -> NDArray[np.uint8]:
    """(N,) labels of a frame that must have them.

    Raises:
        DatasetNotFoundError: If it has none.
    """
    if frame.labels is None:
        msg = (
            f"frame {frame.frame_id} has no labels, and a score needs them; leave it out "
            "(data.sets … frames) or add its label file."
        )
        raise DatasetNotFoundError(msg)
    return frame.labels


def write_evaluation(evaluation: Evaluation, path: Path, **context: Any) -> None:
    """Write scores and what they belong to as JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    record = context | evaluation.to_json()
    path.write_text(json.dumps(record, indent=1), encoding="utf-8")


def _percent(value: float) -> float | None:
    return None if np.isnan(value) else round(100 * float(value), 4)


def _scores_json(result: Scores) -> dict[str, Any]:
    return {
        "mean_iou": _percent(result.mean_iou),
        "mean_iou_of_truth": _percent(result.mean_iou_of_truth),
        "mean_iou_of_all": _percent(result.mean_iou_of_all),
        "mean_accuracy": _percent(result.mean_accuracy),
        "overall_accuracy": _percent(result.overall_accuracy),
        "iou": [_percent(value) for value in result.iou],
        "accuracy": [_percent(value) for value in result.accuracy],
    }
