"""Panoptic quality, counted as the official scripts count it.

Shape letters: N points, C classes.
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from lidistill.labels import IGNORE

_TINY = 1e-15  # as the official scripts guard their divisions


@dataclass(frozen=True, slots=True, kw_only=True)
class PanopticCounts:
    """What panoptic quality is made of, to be added up over scans."""

    matched: NDArray[np.int64]
    """(C,) segments of the truth that a predicted one matches: true positives."""
    invented: NDArray[np.int64]
    """(C,) predicted segments that match none, of enough points: false positives."""
    missed: NDArray[np.int64]
    """(C,) segments of the truth that none matches, of enough points: false negatives."""
    iou_sum: NDArray[np.float64]
    """(C,) sum of the IoUs of matches."""
    points: NDArray[np.int64]
    """(3, C) points of a class in truth and prediction, in the truth, in the prediction."""

    @classmethod
    def zero(cls, num_classes: int) -> Self:
        """Of no scan."""
        whole = np.zeros(num_classes, np.int64)
        return cls(
            matched=whole,
            invented=whole,
            missed=whole,
            iou_sum=np.zeros(num_classes),
            points=np.zeros((3, num_classes), np.int64),
        )

    def __add__(self, other: Self) -> Self:
        return type(self)(
            matched=self.matched + other.matched,
            invented=self.invented + other.invented,
            missed=self.missed + other.missed,
            iou_sum=self.iou_sum + other.iou_sum,
            points=self.points + other.points,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Segments:
    """Which class and which segment every point of a scan is of."""

    classes: NDArray[np.integer]
    """(N,) training ids, 255: none."""
    ids: NDArray[np.integer]
    """(N,) number of the segment, not negative. Whole: points of one class that have another
    number are of another segment, be it for another raw class (lane marking and road)."""


def count_segments(
    truth: Segments, guess: Segments, num_classes: int, *, min_points: int
) -> PanopticCounts:
    """Match the segments of one scan.

    Points whose true class is 255 are removed first. A true and a predicted segment of one class
    match where their IoU over the points that are left is above one half. A segment that matches
    none counts only if it has enough points; a match counts whatever its size.

    Args:
        truth: Of the labels.
        guess: Of the prediction.
        num_classes: C.
        min_points: Points that are enough.

    References:
        Kirillov et al., "Panoptic Segmentation", CVPR 2019; Behley et al., "A Benchmark for
        LiDAR-based Panoptic Segmentation based on KITTI", ICRA 2021, with its official script.
    """
    kept = truth.classes != IGNORE
    true, guessed = truth.classes[kept].astype(np.int64), guess.classes[kept].astype(np.int64)
    true_class, true_segment, true_area = _segments(true, truth.ids[kept])
    guess_class, guess_segment, guess_area = _segments(guessed, guess.ids[kept])
    same = true == guessed
    pair, overlap = np.unique(
        true_segment[same] * len(guess_area) + guess_segment[same], return_counts=True
    )
    of_truth, of_guess = pair // max(len(guess_area), 1), pair % max(len(guess_area), 1)
    iou = overlap / (true_area[of_truth] + guess_area[of_guess] - overlap)
    hit = iou > 0.5  # so no segment has two matches
    classes = true_class[of_truth[hit]]
    left = true_area >= min_points
    left[of_truth[hit]] = False
    wrong = (guess_area >= min_points) & (guess_class != IGNORE)
    wrong[of_guess[hit]] = False

    def counted(values: NDArray[np.int64]) -> NDArray[np.int64]:
        return np.bincount(values, minlength=num_classes).astype(np.int64)

    return PanopticCounts(
        matched=counted(classes),
        invented=counted(guess_class[wrong]),
        missed=counted(true_class[left]),
        iou_sum=np.bincount(classes, iou[hit], num_classes).astype(np.float64),
        points=np.stack([counted(true[same]), counted(true), counted(guessed[guessed != IGNORE])]),
    )


def _segments(
    classes: NDArray[np.int64], ids: NDArray[np.integer]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Class of every segment, (N,) segment of every point, and points of every segment."""
    key = (classes << 32) + ids.astype(np.int64)  # ids have 32 bits
    found, inverse, area = np.unique(key, return_inverse=True, return_counts=True)
    return found >> 32, inverse.astype(np.int64), area.astype(np.int64)


@dataclass(frozen=True, slots=True, kw_only=True)
class PanopticScores:
    """Scores as fractions; an absent class has zeros, as in the official scripts."""

    quality: NDArray[np.float64]
    """(C,) PQ = SQ * RQ."""
    segmentation: NDArray[np.float64]
    """(C,) SQ, mean IoU of the matches."""
    recognition: NDArray[np.float64]
    """(C,) RQ, F1 score of the matches."""
    iou: NDArray[np.float64]
    """(C,) of the points' classes."""
    in_truth: NDArray[np.bool_]
    """(C,) whether a class occurs in the truth."""

    def dagger(self, things: Collection[int]) -> NDArray[np.float64]:
        """(C,) PQ of things, IoU of all others; its mean is PQ dagger.

        Args:
            things: Training ids of the classes whose objects are told apart.

        References:
            Porzi et al., "Seamless Scene Segmentation", CVPR 2019, section 4.
        """
        is_thing = np.isin(np.arange(len(self.iou)), list(things))
        return np.where(is_thing, self.quality, self.iou)


def panoptic_scores(counts: PanopticCounts) -> PanopticScores:
    """Scores of counts that were added up."""
    matched = counts.matched.astype(np.float64)
    segmentation = counts.iou_sum / np.maximum(matched, _TINY)
    halves = 0.5 * counts.invented + 0.5 * counts.missed
    recognition = matched / np.maximum(matched + halves, _TINY)
    both, true, guessed = counts.points
    return PanopticScores(
        quality=segmentation * recognition,
        segmentation=segmentation,
        recognition=recognition,
        iou=both / np.maximum((true + guessed - both).astype(np.float64), _TINY),
        in_truth=true > 0,
    )
