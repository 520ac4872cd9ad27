"""Corrupted copies of a data set, in its own layout: a folder for each corruption and severity."""

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

from lidistill.atomic_write import replace_text, replacing
from lidistill.datasets import DATASETS, DatasetConfig, SensorFrames
from lidistill.datasets.raw_scans import ChangedPoints, RawScans
from lidistill.errors import ConfigError, DatasetNotFoundError
from lidistill.reading.names import relative_path
from lidistill.robustness.corruptions import CorruptionConfig, corrupted_scan
from lidistill.robustness.scan import Kind, Severity
from lidistill.robustness.traits import lidar_traits

_RECORD: Final = "corruptions.json"
_WITH_ADDED: Final[dict[str, int]] = {"fog": 0, "snow": 1, "crosstalk": 2}
"""Corruptions that add points, and where in ``Traits.added_ids`` the raw id of these stands."""
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
            found = [one.model_dump() for one in config.everything(root)]
            open_keys = {k for one in found for k in one if one[k] != found[0][k]} - {*changes}
            if open_keys:
                key = min(open_keys)
                msg = (
                    f"{root} holds several parts; say which: {key}= one of "
                    f"{', '.join(dict.fromkeys(str(one[key]) for one in found))}."
                )
                raise ConfigError(msg)
            return config.model_validate(found[0] | changes)
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
            f"scans of {dataset.sensor} cannot be written in their own format; corrupt them as "
            "they are read: "
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
    label_file = relative_path(raw.label_file(index), "file of labels")
    images = [view.image_path.relative_to(raw.root) for view in frame.views]
    for condition in missing:
        folder = plan.folder(condition)
        scan = corrupted_scan(frame, dataset.label_map, condition)
        place = _WITH_ADDED.get(condition.kind)
        changed = ChangedPoints(
            points=scan.points,
            intensity=scan.intensity,
            source=scan.source,
            added=scan.added,
            added_id=0 if place is None else lidar_traits(frame).added_ids[place],
        )
        points, labels = raw.encode(index, frame, changed)
        for image in images:
            _link(raw.root / image, folder / image)
        if labels is not None:
            _write(folder / label_file, labels)
        _write(folder / scan_file, points)


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as side:
        side.write_bytes(content)


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
