"""Predictions in the formats of the benchmark servers, and what a server would refuse."""

import json
import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from lidistill.datasets import DATASETS, SensorFrames
from lidistill.datasets.submission_format import SubmissionFormat
from lidistill.errors import ConfigError, FileFormatError, LidistillError
from lidistill.instances.find import InstanceFinder
from lidistill.loading.prefetch import prefetch
from lidistill.reading.files import read_file, read_json
from lidistill.records import Frame, Sample
from lidistill.samples.distillation import SamplingConfig
from lidistill.samples.labelled import scan_sample
from lidistill.samples.preparer import Preparer
from lidistill.scan_formats.arrays import read_archive
from lidistill.segment.test_time_augmentation import Predict
from lidistill.training.progress import track

logger = logging.getLogger(__name__)

_META_FILE: Final = "test/submission.json"


def format_of(dataset: SensorFrames) -> SubmissionFormat:
    """The format of a data set's server.

    Raises:
        ConfigError: If there is no server for it.
    """
    form = dataset.submission_format()
    if form is None:
        served = " and ".join(sorted(kind for kind, one in DATASETS.items() if one.TEST_SET))
        msg = f"there are submission formats for {served}; give one of these sets."
        raise ConfigError(msg)
    return form


def write_submission(
    predict: Predict,
    dataset: SensorFrames,
    folder: Path,
    *,
    sampling: SamplingConfig,
    preparer: Preparer,
    finder: InstanceFinder | None = None,
) -> int:
    """Predict every original point of every frame and write the server's files.

    Args:
        predict: Classes of a sample.
        dataset: The frames to hand in; labels are never read.
        folder: Folder to write; its content, zipped, is what the server takes.
        sampling: How a frame becomes a sample.
        preparer: Of the backbone.
        finder: Tells objects apart, where the format wants them.

    Returns:
        Number of files of predictions.
    """
    form = format_of(dataset)

    def read(index: int) -> tuple[int, Frame, Sample]:
        frame = dataset[index]
        return index, frame, scan_sample(frame, sampling, preparer)

    read_ahead = prefetch(read, range(len(dataset)))
    for index, frame, sample in track(read_ahead, "predicting", total=len(dataset)):
        predicted, _ = predict(frame, sample)
        assert sample.inverse is not None  # noqa: S101  evaluation samples carry it
        classes = predicted.numpy()[sample.inverse.numpy()]
        file = folder / form.path(index, frame.frame_id)
        file.parent.mkdir(parents=True, exist_ok=True)
        objects = np.zeros(len(classes), np.int32)
        if finder is not None:
            objects = _limited(finder(frame.points, classes), classes, form, frame.frame_id)
        _write(form.encode(classes, objects), file, form)
    if form.meta is not None:
        (folder / _META_FILE).parent.mkdir(parents=True, exist_ok=True)
        (folder / _META_FILE).write_text(json.dumps({"meta": form.meta}, indent=1), "utf-8")
    return len(dataset)


def _limited(
    objects: NDArray[np.int32],
    classes: NDArray[np.integer],
    form: SubmissionFormat,
    frame_id: str,
) -> NDArray[np.int32]:
    """(N,) objects counted anew in each class; those beyond what a format can say become 0."""
    counted = np.zeros_like(objects)
    for number in np.unique(classes[objects > 0]):
        own = (classes == number) & (objects > 0)
        _, inverse, sizes = np.unique(objects[own], return_inverse=True, return_counts=True)
        rank = np.empty(len(sizes), np.int32)
        rank[np.argsort(-sizes, kind="stable")] = np.arange(1, len(sizes) + 1)
        if len(sizes) > form.max_objects:
            logger.warning(
                "%s: %d objects of one class, but the format has numbers for %d; the smallest are "
                "handed in without one.", frame_id, len(sizes), form.max_objects,
            )  # fmt: skip
        counted[own] = np.where(rank <= form.max_objects, rank, 0)[inverse]
    return counted


def _write(labels: NDArray[np.generic], file: Path, form: SubmissionFormat) -> None:
    if form.archive is None:
        file.write_bytes(labels.tobytes())
    else:
        arrays: dict[str, Any] = {form.archive: labels}
        np.savez_compressed(file, **arrays)


def test_set(recipe: Mapping[str, Any]) -> tuple[str, ...]:
    """Overrides that turn the first evaluation set of a run into the test set of its benchmark.

    Args:
        recipe: Of the run, as its checkpoint has it.

    Returns:
        Nothing to change where the set has no benchmark.
    """
    wanted = DATASETS[recipe["evaluation"]["sets"][0]["kind"]].TEST_SET
    changes = {**wanted, "labels": "none", "images": "none"} if wanted else {}
    return tuple(f"evaluation.sets.0.{key}={value}" for key, value in changes.items())


def check_test_set(dataset: SensorFrames) -> list[str]:
    """What a server would refuse about the choice of frames, one line each.

    Args:
        dataset: The frames that are handed in.
    """
    wanted = format_of(dataset).num_frames
    if len(dataset) == wanted:
        return []
    problem = (
        f"{len(dataset):,} frames, the server's test set has {wanted:,}: has evaluation.sets.0 "
        "split=test and every=1, and are all its files there?"
    )
    return [problem]


def check_submission(dataset: SensorFrames, folder: Path) -> list[str]:
    """What a server would refuse about a folder, one line each; empty where it is sound.

    Args:
        dataset: The frames that must be there, the test set.
        folder: Folder that is handed in.
    """
    form = format_of(dataset)
    problems = [] if form.meta is None else list(_meta_problems(folder / _META_FILE, form.meta))
    wanted = set()
    for index in track(range(len(dataset)), "checking", total=len(dataset)):
        frame = dataset[index]
        file = folder / form.path(index, frame.frame_id)
        wanted.add(file)
        problems += _file_problems(file, frame, form)
    found = {path for path in (folder / form.folder).rglob("*") if path.is_file()}
    problems += [f"{path}: not of this set; remove it." for path in sorted(found - wanted)]
    return problems


def _file_problems(file: Path, frame: Frame, form: SubmissionFormat) -> Iterator[str]:
    if not file.is_file():
        yield f"{file}: missing, frame {frame.frame_id} has no predictions."
        return
    try:
        labels = _read(file, len(frame.points), form)
    except FileFormatError as error:
        yield str(error)
        return
    strange = np.setdiff1d(form.classes_of(labels), form.ids)
    if len(strange):
        known = f"{form.ids.min()} to {form.ids.max()}"
        yield f"{file}: {strange[0]} is no class of the benchmark (ids from {known})."


def _read(file: Path, num_points: int, form: SubmissionFormat) -> NDArray[np.integer]:
    """(N,) predictions of a file.

    Raises:
        FileFormatError: If it has not one for every point.
    """
    item = np.dtype(form.dtype)
    if form.archive is None:
        if (size := file.stat().st_size) != num_points * item.itemsize:
            msg = f"{file}: {size} bytes, expected {num_points} points of {item.itemsize} bytes."
            raise FileFormatError(msg)
        return np.fromfile(file, item)
    labels = read_archive(read_file(file), file).get(form.archive)
    if labels is None or labels.shape != (num_points,) or labels.dtype != item:
        found = "none" if labels is None else f"one of {labels.dtype} and shape {labels.shape}"
        msg = f"{file}: expected an array {form.archive!r} of {num_points} {item}, found {found}."
        raise FileFormatError(msg)
    return labels.astype(item)


def _meta_problems(file: Path, expected: dict[str, bool]) -> Iterator[str]:
    try:
        record = read_json(file)
    except LidistillError:
        yield f'{file}: missing or not JSON, expected {{"meta": {json.dumps(expected)}}}.'
        return
    meta = record.get("meta") if isinstance(record, dict) else None
    meta = meta if isinstance(meta, dict) else {}
    wrong = [key for key in expected if not isinstance(meta.get(key), bool)]
    for key in wrong:
        yield f"{file}: meta.{key} is {meta.get(key)!r}, expected true or false."
