"""What a data set on disk holds, what it lacks, and whether its points meet its pictures."""

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lidistill.data.diagnose import Finding, chosen_frames, diagnose
from lidistill.data.onhand import (
    SensorFrames,
    detect_format,
    missing_from,
    parts_of,
    read_all,
    title_of,
)
from lidistill.data.overlays import draw_overlays
from lidistill.data.pairing import pair_view
from lidistill.data.pictures import read_picture
from lidistill.data.returns import present
from lidistill.data.sensors import SENSORS, sensor_of
from lidistill.errors import LidistillError
from lidistill.labels import IGNORE, LabelMap
from lidistill.structures import CameraView, Frame


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetReport:
    """What was found in the frames of one sensor."""

    title: str
    """What to call it: the sensor, or the data set where that says more."""
    sensor: str
    num_frames: int
    """Frames that could be read."""
    num_labelled: int
    num_points: tuple[int, ...]
    """Points of each frame, in reading order."""
    num_missing: int
    """Points at (0, 0, 0) or not finite, in all frames: beams that did not come back. They count
    nowhere below."""
    intensity_mean: float
    intensity_std: float
    class_counts: dict[str, int]
    """Points of every class over all labelled frames; the last entry is ``"ignore"``."""
    camera_share: dict[str, float]
    """Share of a frame's points that fall into each camera, mean over the frames that have it."""
    problems: tuple[str, ...]
    """One line for every frame or picture that could not be read."""
    findings: tuple[Finding, ...]
    """What looks wrong although it could be read."""
    pictures: tuple[Path, ...]
    """Overlays written."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckReport:
    """What was found under a folder."""

    root: Path
    format: str
    parts: tuple[str, ...]
    """Drives or scenes, by name."""
    datasets: tuple[DatasetReport, ...]
    """One for every sensor."""
    missing: tuple[str, ...]
    """One line for everything that a complete copy would have."""

    @property
    def sound(self) -> bool:
        """Whether everything that is there could be read."""
        return not any(dataset.problems for dataset in self.datasets)

    def to_json(self) -> dict[str, Any]:
        """The record as plain lists, dictionaries, numbers and strings."""
        record = asdict(self) | {"root": str(self.root), "sound": self.sound}
        for dataset in record["datasets"]:
            dataset["pictures"] = [str(path) for path in dataset["pictures"]]
        return record


def check_root(
    root: Path,
    output: Path | None = None,
    *,
    max_frames: int | None = None,
    on_frame: Callable[[], None] = lambda: None,
) -> CheckReport:
    """Read what lies under a folder, whatever data set it is.

    Args:
        root: Folder of the data set.
        output: Folder for the overlays, or None to write none.
        max_frames: Read at most this many frames of each sensor, spread evenly; None reads all.
        on_frame: Called after each frame, for a progress bar.

    Raises:
        DatasetNotFoundError: If there is no data set of a known format.
    """
    name = detect_format(root)
    datasets = read_all(root)
    return CheckReport(
        root=root,
        format=name,
        parts=tuple(dict.fromkeys(part for dataset in datasets for part in parts_of(dataset))),
        datasets=tuple(
            check_dataset(dataset, output, max_frames=max_frames, on_frame=on_frame)
            for dataset in datasets
        ),
        missing=tuple(dict.fromkeys(line for one in datasets for line in missing_from(one))),
    )


def check_dataset(
    dataset: SensorFrames,
    output: Path | None = None,
    *,
    max_frames: int | None = None,
    on_frame: Callable[[], None] = lambda: None,
) -> DatasetReport:
    """Read the frames of one sensor, count, and draw the points on one picture per camera.

    Args:
        dataset: What to read.
        output: See ``check_root``.
        max_frames: See ``check_root``.
        on_frame: See ``check_root``.
    """
    num = len(dataset) if max_frames is None else min(max_frames, len(dataset))
    chosen = np.linspace(0, len(dataset) - 1, num).round().astype(int).tolist()
    tally = _Tally(title=title_of(dataset), label_map=dataset.label_map, middle=num // 2)
    wanted = {chosen[i] for i in chosen_frames(num)}
    diagnosed: list[Frame] = []
    for index in chosen:
        try:
            frame = dataset[index]
            tally.add(frame)
            if index in wanted:
                diagnosed.append(present(frame))
        except LidistillError as error:
            tally.problems.append(str(error))
        on_frame()
    pictures = tally.draw(output) if output is not None else ()
    counts = dict(zip((*dataset.label_map.class_names, "ignore"), tally.counts(), strict=True))
    mean, std = tally.intensity()
    return DatasetReport(
        title=tally.title,
        sensor=dataset.sensor,
        num_frames=len(tally.num_points),
        num_labelled=tally.num_labelled,
        num_points=tuple(tally.num_points),
        num_missing=tally.num_missing,
        intensity_mean=mean,
        intensity_std=std,
        class_counts=counts,
        camera_share={name: float(np.mean(share)) for name, share in tally.shares.items()},
        problems=tuple(tally.problems),
        findings=_findings(diagnosed),
        pictures=pictures,
    )


@dataclass(slots=True, kw_only=True)
class _Tally:
    title: str
    label_map: LabelMap
    middle: int
    num_points: list[int] = field(default_factory=list)
    num_labelled: int = 0
    num_missing: int = 0
    moments: NDArray[np.float64] = field(default_factory=lambda: np.zeros(2))
    histogram: NDArray[np.int64] = field(default_factory=lambda: np.zeros(256, dtype=np.int64))
    shares: dict[str, list[float]] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    shown: dict[str, tuple[Frame, CameraView]] = field(default_factory=dict)

    def add(self, whole: Frame) -> None:
        frame = present(whole)
        self.num_missing += len(whole.points) - len(frame.points)
        intensity = frame.intensity.astype(np.float64)
        self.moments += intensity.sum(), (intensity**2).sum()
        if frame.labels is not None:
            self.num_labelled += 1
            self.histogram += np.bincount(frame.labels, minlength=256)
        for view in frame.views:
            seen = len(pair_view(frame.points, view, view.size_hw).index)
            self.shares.setdefault(view.name, []).append(seen / max(1, len(frame.points)))
            try:
                read_picture(view.image_path)
            except LidistillError as error:
                self.problems.append(str(error))
                continue
            if len(self.num_points) <= self.middle or view.name not in self.shown:
                self.shown[view.name] = (frame, view)
        self.num_points.append(len(whole.points))

    def intensity(self) -> tuple[float, float]:
        """Mean and standard deviation over all points, zeros where there is none."""
        num = sum(self.num_points) - self.num_missing
        mean, square = (self.moments / max(1, num)).tolist()
        return mean, max(0.0, square - mean**2) ** 0.5

    def counts(self) -> list[int]:
        classes = self.histogram[: self.label_map.num_classes].tolist()
        return [*classes, int(self.histogram[IGNORE])]

    def draw(self, output: Path) -> tuple[Path, ...]:
        output.mkdir(parents=True, exist_ok=True)
        written = []
        for name, (frame, view) in self.shown.items():
            for kind, picture in draw_overlays(frame, view, self.label_map).items():
                path = output / f"{self.title}_{name}_{kind}.png"
                Image.fromarray(picture).save(path)
                written.append(path)
        return tuple(written)


def _findings(frames: list[Frame]) -> tuple[Finding, ...]:
    known = frames and (frames[0].sensor in SENSORS or frames[0].intensity_statistics is not None)
    return diagnose(frames, sensor_of(frames[0]) if known else None)
