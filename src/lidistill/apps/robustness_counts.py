"""Confusion matrices of a run under many conditions: one pass over the frames, which goes on.

Every process counts its own frames and writes what it has to a file of its own now and then. A call
that comes later, with any number of processes, counts what is in no file yet.

Shape letters: K conditions, C classes, F frames.
"""

import hashlib
import io
import json
import time
import uuid
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray

from lidistill.apps.learned_runs import LearnedRun
from lidistill.atomic_write import replacing, sha256
from lidistill.datasets import FrameDataset
from lidistill.distributed.processes import items_of_rank, on_rank_zero, sum_counts
from lidistill.errors import ConfigError, FileFormatError
from lidistill.labels import IGNORE
from lidistill.reading.files import read_file
from lidistill.records import Frame
from lidistill.robustness.corruptions import CorruptionConfig
from lidistill.robustness.scan import KINDS, SEVERITIES
from lidistill.robustness.shifts import SHIFT_NAMES, ShiftConfig
from lidistill.samples.labelled import scan_sample
from lidistill.segment.evaluate import labels_of
from lidistill.segment.inference import precision_taken
from lidistill.segment.metrics import confusion_matrix
from lidistill.segment.run import Segmentation
from lidistill.segment.test_time_augmentation import Predict, predict_with_tta
from lidistill.training.checkpoint_record import WEIGHTS
from lidistill.training.progress import track

CLEAN: Final = "clean"
_SAVE_S: Final = 60.0  # seconds between two writings
_CHANGES_NOTHING: Final = frozenset({"in_memory", "root"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """Clean frames, a corruption with its severity, or a shift."""

    name: str
    change: CorruptionConfig | ShiftConfig | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ConditionCounts:
    """What a run makes of the same frames under every condition."""

    conditions: tuple[str, ...]
    """K names."""
    class_names: tuple[str, ...]
    confusion: NDArray[np.int64]
    """(K, C, C) true class by predicted class."""
    num_frames: int


def all_conditions(*, shifts: bool, seed: int = 0) -> tuple[Condition, ...]:
    """Clean, the benchmark's 24, and if wanted the shifts beyond it."""
    corruptions = [
        CorruptionConfig(kind=k, severity=s, seed=seed) for k in KINDS for s in SEVERITIES
    ]
    beyond = [ShiftConfig(shift=name) for name in SHIFT_NAMES if shifts]
    changes: list[CorruptionConfig | ShiftConfig] = [*corruptions, *beyond]
    return (
        Condition(name=CLEAN, change=None),
        *(Condition(name=change.name, change=change) for change in changes),
    )


@torch.no_grad()
def count_conditions(
    run: LearnedRun, conditions: Sequence[Condition], folder: Path
) -> ConditionCounts:
    """Count under all conditions, from where an earlier call was cut.

    Args:
        run: Learned from labels.
        conditions: K of them.
        folder: For what is counted so far.

    Raises:
        ConfigError: If the recipe corrupts its evaluation frames itself.
        DatasetNotFoundError: If a frame has no labels.
        FileFormatError: If a file in the folder is damaged.
    """
    if run.recipe.evaluation.corruption is not None:
        msg = (
            f"{run.folder}: its recipe corrupts the evaluation frames itself; add "
            "evaluation.corruption=null."
        )
        raise ConfigError(msg)
    dataset, recipe = run.recipe.evaluation.build(), run.recipe
    segmentation = run.segmentation().for_scores(recipe.inference, dataset, recipe.sampling)
    num_classes = dataset.label_map.num_classes
    taken = precision_taken(segmentation.encoder)
    parts = _Parts(folder / _key(run, conditions, dataset, taken), (len(conditions), num_classes))
    done = set(on_rank_zero(parts.frames_done))
    left = [index for index in range(len(dataset)) if index not in done]
    counter = _Counter(run, segmentation, conditions, dataset)
    own = [left[i] for i in items_of_rank(len(left))]
    last = time.monotonic()
    for index in track(own, f"{run.name}: {len(conditions)} conditions", total=len(own)):
        parts.add(index, counter.count(index))
        if time.monotonic() - last > _SAVE_S:
            parts.save()
            last = time.monotonic()
    parts.save()
    sum_counts(np.zeros(1, np.int64))  # all have saved
    return ConditionCounts(
        conditions=tuple(condition.name for condition in conditions),
        class_names=dataset.label_map.class_names,
        confusion=on_rank_zero(parts.total),
        num_frames=len(dataset),
    )


class _Counter:
    """Predicts a frame under every condition."""

    def __init__(
        self,
        run: LearnedRun,
        segmentation: Segmentation,
        conditions: Sequence[Condition],
        dataset: FrameDataset,
    ) -> None:
        self._conditions, self._dataset = conditions, dataset
        self._sampling, self._preparer = run.recipe.sampling, segmentation.preparer
        self._predict: Predict = predict_with_tta(
            segmentation.class_scores, run.recipe.votes, self._sampling, self._preparer
        )

    def count(self, index: int) -> NDArray[np.int64]:
        """(K, C, C) of one frame."""
        frame = self._dataset[index]
        labels_of(frame)
        return np.stack(
            [
                self._one(
                    frame if c.change is None else c.change.apply(frame, self._dataset.label_map)
                )
                for c in self._conditions
            ]
        )

    def _one(self, frame: Frame) -> NDArray[np.int64]:
        sample = scan_sample(frame, self._sampling, self._preparer)
        predicted, valid = self._predict(frame, sample)
        assert sample.inverse is not None  # noqa: S101  evaluation samples carry both
        assert sample.full_labels is not None  # noqa: S101
        nearest = sample.inverse.numpy()
        truth = np.where(valid.numpy()[nearest], sample.full_labels.numpy(), IGNORE)
        classes = self._dataset.label_map.num_classes
        return confusion_matrix(truth, predicted.numpy()[nearest], classes)


class _Parts:
    """Files of one folder, each with the frames that one process has counted."""

    def __init__(self, folder: Path, shape: tuple[int, int]) -> None:
        num_conditions, num_classes = shape
        self._folder = folder
        self._own = folder / f"{uuid.uuid4().hex}.npz"
        self._shape = (num_conditions, num_classes, num_classes)
        self._counts, self._done = np.zeros(self._shape, np.int64), list[int]()

    def add(self, index: int, counts: NDArray[np.int64]) -> None:
        """Count a frame."""
        self._counts += counts
        self._done.append(index)

    def save(self) -> None:
        """Write what this process has counted, in place of what it wrote before."""
        if not self._done:
            return
        self._folder.mkdir(parents=True, exist_ok=True)
        with replacing(self._own) as side:
            np.savez_compressed(side, counts=self._counts, frames=np.array(self._done, np.int64))

    def frames_done(self) -> list[int]:
        """Frames in any file."""
        return [index for file in self._files() for index in self._read(file)[1].tolist()]

    def total(self) -> NDArray[np.int64]:
        """(K, C, C) over all files."""
        return sum((self._read(file)[0] for file in self._files()), np.zeros(self._shape, np.int64))

    def _files(self) -> list[Path]:
        return sorted(p for p in self._folder.glob("*.npz") if not p.name.startswith("."))

    def _read(self, file: Path) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        try:
            with np.load(io.BytesIO(read_file(file)), allow_pickle=False) as content:
                counts, frames = content["counts"], content["frames"]
        except (EOFError, OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
            raise self._damaged(file) from error
        if counts.shape != self._shape or frames.ndim != 1:
            raise self._damaged(file)
        return counts, frames

    def _damaged(self, file: Path) -> FileFormatError:
        msg = f"{file} is damaged, expected counts of an earlier call; delete it, and count anew."
        return FileFormatError(msg)


def _key(
    run: LearnedRun,
    conditions: Sequence[Condition],
    dataset: FrameDataset,
    taken: dict[str, Any],
) -> str:
    """Changes with anything that the counts depend on."""
    values = run.recipe.model_dump(mode="json")
    sets = [
        {k: v for k, v in one.items() if k not in _CHANGES_NOTHING}
        for one in values["evaluation"]["sets"]
    ]
    said = {
        "weights": sha256(run.checkpoint.path / WEIGHTS),
        "sets": sets,
        "sampling": values["sampling"],
        "votes": values["votes"],
        "network": values["network"],
        "conditions": [
            [c.name, None if c.change is None else c.change.model_dump(mode="json")]
            for c in conditions
        ],
        "frames": dataset.frame_ids,
        "inference": taken,
    }
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()[:16]
