"""Corrupted copies of a data set, in its own layout: a folder for each corruption and severity.

Shape letters: N points before, M points after, C columns of a file.
"""

import errno
import functools
import json
import multiprocessing
import os
import shutil
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from lidistill.atomic_write import replace_text, replacing
from lidistill.datasets import DATASETS, DatasetConfig, SensorFrames
from lidistill.datasets.raw_scans import RawScans
from lidistill.errors import ConfigError, DatasetNotFoundError
from lidistill.reading.files import read_file
from lidistill.reading.names import relative_path
from lidistill.robustness.corruptions import CorruptionConfig, Kind, corrupted_scan
from lidistill.robustness.scan import CorruptedScan, Severity
from lidistill.robustness.traits import lidar_traits

_RECORD: Final = "corruptions.json"
_WITH_ADDED: Final[dict[str, int]] = {"fog": 0, "snow": 1, "crosstalk": 2}
"""Place of the raw id of what they add."""
Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class CorruptPlan:
    """What to write."""

    dataset: DatasetConfig
    output: Path
    kinds: tuple[Kind, ...]
    severities: tuple[Severity, ...]
    seed: int = 0

    def conditions(self) -> list[CorruptionConfig]:
        """Every corruption with every severity."""
        return [
            CorruptionConfig(kind=kind, severity=severity, seed=self.seed)
            for kind in self.kinds
            for severity in self.severities
        ]

    def folder(self, condition: CorruptionConfig) -> Path:
        """Root of a corrupted copy."""
        return self.output / condition.kind / condition.severity


def dataset_at(root: Path, changes: dict[str, object]) -> DatasetConfig:
    """What reads all that lies under a root, or the part that changes say.

    Raises:
        DatasetNotFoundError: If it is no data set that is known.
        ConfigError: If there is more than one version under it and the changes do not say which.
    """
    if not root.is_dir():
        msg = f"{root} is no folder; give the root of a data set."
        raise DatasetNotFoundError(msg)
    for config in DATASETS.values():
        if config.detect(root):
            found = config.everything(root)
            if len(found) > 1 and not changes:
                msg = (
                    f"{root} holds several parts: {', '.join(one.title for one in found)}; say "
                    "which, for example version=v1.0-mini or sensor=pandar64."
                )
                raise ConfigError(msg)
            return config.model_validate(found[0].model_dump() | changes)
    msg = f"{root} looks like none of {', '.join(DATASETS)}; give the root of a data set."
    raise DatasetNotFoundError(msg)


def corrupt(plan: CorruptPlan, *, workers: int = 1, progress: Progress | None = None) -> int:
    """Write corrupted copies; frames that are complete stay as they are.

    Scans and labels are written anew; images, where frames have some, and tables are linked to the
    originals, or copied where the file system cannot do that.

    Args:
        plan: What to write.
        workers: Processes.
        progress: Told how many frames are done, of how many.

    Returns:
        Number of frames of each copy.

    Raises:
        ConfigError: If the output holds something else, or the set's layout cannot be written.
        DatasetNotFoundError: If a frame has no labels and a corruption needs some.
    """
    dataset = plan.dataset.build()
    raw = _raw_scans(dataset)
    _claim(plan, dataset)
    for condition in plan.conditions():
        for table in raw.tables:
            _link(raw.root / table, plan.folder(condition) / table)
    total = len(dataset)
    report = progress or (lambda _done, _total: None)
    if workers <= 1:
        for index in range(total):
            _write_frame(plan, dataset, index)
            report(index + 1, total)
        return total
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context) as pool:
        futures = [pool.submit(_write_frame_of, plan, index) for index in range(total)]
        try:
            for number, future in enumerate(as_completed(futures), start=1):
                future.result()
                report(number, total)
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    return total


def _raw_scans(dataset: SensorFrames) -> RawScans:
    raw = dataset.raw_scans()
    if raw is None:
        msg = (
            f"scans of {dataset.sensor} cannot be written in their own format, only those of "
            "nuScenes and SemanticKITTI; corrupt others as they are read: "
            "evaluation.corruption={kind: fog}, data.corruption, `lidistill robustness`."
        )
        raise ConfigError(msg)
    return raw


def _claim(plan: CorruptPlan, dataset: SensorFrames) -> None:
    """See to it that a folder holds nothing, or what the same call has begun."""
    settings = json.dumps(
        {
            "root": str(plan.dataset.root.resolve()),
            "frames": len(dataset),
            "seed": plan.seed,
            "dataset": plan.dataset.model_dump(mode="json", exclude={"root"}),
        },
        indent=1,
    )
    record = plan.output / _RECORD
    if record.is_file():
        if record.read_text("utf-8") != settings:
            msg = (
                f"{plan.output} holds corrupted copies of other frames or of another seed (see "
                f"{_RECORD}); choose another folder, or delete this one."
            )
            raise ConfigError(msg)
        return
    if plan.output.exists() and (not plan.output.is_dir() or any(plan.output.iterdir())):
        msg = f"{plan.output} is not empty and holds no {_RECORD}; choose a new folder."
        raise ConfigError(msg)
    plan.output.mkdir(parents=True, exist_ok=True)
    replace_text(record, settings)


@functools.cache
def _built(dataset: DatasetConfig) -> SensorFrames:
    return dataset.build()


def _write_frame_of(plan: CorruptPlan, index: int) -> None:
    """In a process of its own, which keeps the data set."""
    _write_frame(plan, _built(plan.dataset), index)


def _write_frame(plan: CorruptPlan, dataset: SensorFrames, index: int) -> None:
    """Write one frame under every condition that has it not yet; the scan comes last."""
    raw = _raw_scans(dataset)
    scan_file = relative_path(raw.scan_file(index), "file of a scan")
    missing = [c for c in plan.conditions() if not (plan.folder(c) / scan_file).is_file()]
    if not missing:
        return
    frame = dataset[index]
    rows = np.frombuffer(read_file(raw.root / scan_file), "<f4").reshape(-1, raw.num_columns)
    ids = None
    label_file = relative_path(raw.label_file(index), "file of labels")
    if frame.labels is not None:
        ids = np.frombuffer(read_file(raw.root / label_file), raw.label_dtype)
    images = [view.image_path.relative_to(raw.root) for view in frame.views]
    for condition in missing:
        folder = plan.folder(condition)
        scan = corrupted_scan(frame, dataset.label_map, condition)
        for image in images:
            _link(raw.root / image, folder / image)
        if ids is not None:
            place = _WITH_ADDED.get(condition.kind)
            new_id = 0 if place is None else lidar_traits(frame).added_ids[place]
            _write(folder / label_file, _raw_labels(ids, scan, new_id))
        _write(folder / scan_file, _raw_rows(rows, scan))


def _raw_rows(rows: NDArray[np.float32], scan: CorruptedScan) -> NDArray[np.float32]:
    """(M, C) rows of a corrupted scan; what is missing in the clean one stays as it was stored."""
    changed = rows[scan.source]
    seen = np.isfinite(scan.points[:, 0])
    changed[seen, :3] = scan.points[seen]
    changed[:, 3] = scan.intensity
    return changed


def _raw_labels(ids: NDArray[np.integer], scan: CorruptedScan, new_id: int) -> NDArray[np.integer]:
    """(M,) raw ids, instances and all; those of added points are the benchmark's."""
    changed = ids[scan.source]
    changed[scan.added] = new_id
    return changed


def _write(path: Path, values: NDArray[np.generic]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as side:
        side.write_bytes(np.ascontiguousarray(values).tobytes())


def _link(source: Path, target: Path) -> None:
    """Another name of the same file; a copy where the two are on different file systems."""
    if target.exists():
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(source.resolve(), target)
    except FileExistsError:
        return
    except OSError as error:
        if error.errno not in {errno.EXDEV, errno.EPERM, errno.ENOTSUP, errno.EMLINK}:
            raise
        with replacing(target) as side:
            shutil.copyfile(source, side)
