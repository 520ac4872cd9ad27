"""Predictions in the formats of the benchmark servers, and what a server would refuse.

Shape letters: N points of a frame.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from lidistill.config import GridConfig
from lidistill.datasets import FrameDataset
from lidistill.datasets.kitti.semantic import SemanticKitti
from lidistill.datasets.nuscenes.dataset import NuScenes
from lidistill.errors import ConfigError, FileFormatError, LidistillError
from lidistill.labels import LabelMap
from lidistill.reading.files import read_json
from lidistill.reading.names import relative_path, shown
from lidistill.records import Frame
from lidistill.samples.distillation import SamplingConfig
from lidistill.samples.labelled import scan_sample
from lidistill.segment.test_time_augmentation import Predict
from lidistill.training.progress import track

FileName: TypeAlias = Callable[[int, str], str]
"""From a frame's position and name to its file in the folder that is handed in."""

NUSCENES_META: Final = {
    "use_camera": False,
    "use_lidar": True,
    "use_radar": False,
    "use_map": False,
    "use_external": True,
}
"""What the predictions were made from; the distilled teacher makes use of external data."""
_META_FILE: Final = "test/submission.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Format:
    """How one server wants its predictions."""

    dtype: str
    """Of one prediction, little-endian."""
    ids: NDArray[np.integer]
    """(classes,) number that stands for each training id."""
    file_name: FileName
    folder: str
    """Folder in which nothing but predictions may lie."""
    meta: dict[str, bool] | None
    """Keys of ``test/submission.json``, where the server wants one."""
    num_frames: int
    """Frames of the test set."""

    def path(self, index: int, name: str) -> str:
        """File of a frame in the folder that is handed in, and never outside it.

        Raises:
            FileFormatError: If the names of the data set lead elsewhere.
        """
        file = self.file_name(index, name)
        try:
            return relative_path(file, "file of predictions")
        except ValueError as error:
            msg = f"frame {shown(name)}: {error}. Unpack the data set's tables again."
            raise FileFormatError(msg) from error


def format_of(dataset: FrameDataset) -> Format:
    """The format of a data set's server.

    Raises:
        ConfigError: If there is no server for it.

    References:
        nuScenes lidarseg challenge (submission format in the devkit's documentation);
        SemanticKITTI benchmark, single-scan semantic segmentation.
    """
    if isinstance(dataset, NuScenes):
        return Format(
            dtype="u1",
            ids=np.arange(1, dataset.label_map.num_classes + 1),
            file_name=lambda index, _: f"lidarseg/test/{dataset.scan_token(index)}_lidarseg.bin",
            folder="lidarseg/test",
            meta=NUSCENES_META,
            num_frames=6_008,
        )
    if isinstance(dataset, SemanticKitti):
        return Format(
            dtype="<u4",
            ids=_own_raw_ids(dataset.label_map),
            file_name=lambda _, name: "sequences/{}/predictions/{}.label".format(*name.split("/")),
            folder="sequences",
            meta=None,
            num_frames=20_351,
        )
    msg = "there are submission formats for nuscenes and semantic_kitti; give one of these sets."
    raise ConfigError(msg)


def write_submission(
    predict: Predict,
    dataset: FrameDataset,
    folder: Path,
    *,
    sampling: SamplingConfig,
    grid: GridConfig,
) -> int:
    """Predict every original point of every frame and write the server's files.

    Args:
        predict: Classes of a sample.
        dataset: The frames to hand in; labels are never read.
        folder: Folder to write; its content, zipped, is what the server takes.
        sampling: How a frame becomes a sample.
        grid: Field of view and grids of the backbone.

    Returns:
        Number of files of predictions.
    """
    form = format_of(dataset)
    for index in track(range(len(dataset)), "predicting", total=len(dataset)):
        frame = dataset[index]
        sample = scan_sample(frame, sampling, grid)
        predicted, _ = predict(frame, sample)
        assert sample.inverse is not None  # noqa: S101  evaluation samples carry it
        classes = predicted.numpy()[sample.inverse.numpy()]
        file = folder / form.path(index, frame.frame_id)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(form.ids[classes].astype(form.dtype).tobytes())
    if form.meta is not None:
        (folder / _META_FILE).parent.mkdir(parents=True, exist_ok=True)
        (folder / _META_FILE).write_text(json.dumps({"meta": form.meta}, indent=1), "utf-8")
    return len(dataset)


def test_set(recipe: Mapping[str, Any]) -> tuple[str, ...]:
    """Overrides that turn the first evaluation set of a run into the test set of its benchmark.

    Args:
        recipe: Of the run, as its checkpoint has it.

    Returns:
        Nothing to change where the set has no benchmark.
    """
    kind = recipe["evaluation"]["sets"][0]["kind"]
    if kind not in {"nuscenes", "semantic_kitti"}:
        return ()
    changes = {"split": "test", "labels": "none", "pictures": "none"}
    if kind == "nuscenes":
        changes["version"] = "v1.0-test"
    return tuple(f"evaluation.sets.0.{key}={value}" for key, value in changes.items())


def check_test_set(dataset: FrameDataset) -> list[str]:
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


def check_submission(dataset: FrameDataset, folder: Path) -> list[str]:
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


def _file_problems(file: Path, frame: Frame, form: Format) -> Iterator[str]:
    if not file.is_file():
        yield f"{file}: missing, frame {frame.frame_id} has no predictions."
        return
    item, size = np.dtype(form.dtype), file.stat().st_size
    if size != len(frame.points) * item.itemsize:
        yield (
            f"{file}: {size} bytes, expected {len(frame.points)} points of {item.itemsize} bytes."
        )
        return
    strange = np.setdiff1d(np.fromfile(file, item), form.ids)
    if len(strange):
        known = f"{form.ids.min()} to {form.ids.max()}"
        yield f"{file}: {strange[0]} is no class of the benchmark (ids from {known})."


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


def _own_raw_ids(label_map: LabelMap) -> NDArray[np.int64]:
    """(classes,) the raw id that has a class's own name, as the benchmark's inverse map."""
    by_name = {name: raw for raw, name in label_map.raw_names.items()}
    return np.array([by_name[name] for name in label_map.class_names], dtype=np.int64)
