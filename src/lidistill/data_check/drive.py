"""What is counted, diagnosed and drawn of one drive while its frames are read."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Self, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lidistill.data_check.findings import Diagnosis, examine
from lidistill.data_check.overlays import draw_overlays
from lidistill.datasets.sensors import SENSORS, sensor_of
from lidistill.errors import LidistillError
from lidistill.images.files import conversion_of, read_image
from lidistill.labels import IGNORE, LabelMap
from lidistill.records import CameraView, Frame
from lidistill.samples.pairing import pair_view
from lidistill.scan_formats.returns import present

_APART: Final = 2.0
"""Metres between scans that show the street from two places."""

NameOverlay: TypeAlias = Callable[[str, str], Path]
"""File for the overlay of a camera and kind."""


@dataclass(slots=True, kw_only=True)
class DriveStatistics:
    """Counts over the frames of a drive, and the frames that are looked at more closely."""

    label_map: LabelMap
    middle: int = 0
    """How many frames to read before the one that is drawn."""
    num_points: list[int] = field(default_factory=list)
    num_labelled: int = 0
    places: list[NDArray[np.float64]] = field(default_factory=list)
    """(3,) metres: where labelled scans were made, 2 m and more apart."""
    num_placed: int = 0
    """Labelled frames with a pose."""
    num_missing: int = 0
    """Points without return."""
    moments: NDArray[np.float64] = field(default_factory=lambda: np.zeros(3))
    """Number of intensities, their sum and that of their squares."""
    histogram: NDArray[np.int64] = field(default_factory=lambda: np.zeros(256, dtype=np.int64))
    shares: dict[str, list[float]] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    shown: dict[str, tuple[Frame, CameraView]] = field(default_factory=dict)
    """What to draw, by camera."""
    kept: dict[int, Frame] = field(default_factory=dict)
    """Frames to diagnose, by position."""
    images: dict[str, dict[int, Path]] = field(default_factory=dict)
    """By camera and position."""

    converted: dict[str, str] = field(default_factory=dict)
    """What happens to images that have not 8 bits, by camera; empty for those that have."""

    @classmethod
    def total(cls, label_map: LabelMap, drives: Iterable[Self]) -> Self:
        """The counts of all drives together."""
        total = cls(label_map=label_map)
        for one in drives:
            total.num_points += one.num_points
            total.num_labelled += one.num_labelled
            total.places += one.places
            total.num_placed += one.num_placed
            total.num_missing += one.num_missing
            total.moments += one.moments
            total.histogram += one.histogram
            total.problems += one.problems
            total.converted |= {name: text for name, text in one.converted.items() if text}
            for name, shares in one.shares.items():
                total.shares.setdefault(name, []).extend(shares)
        return total

    def add(self, whole: Frame, position: int, *, keep: bool) -> None:
        """Count a frame.

        Args:
            whole: The frame, with points that did not come back.
            position: In its drive.
            keep: Whether to diagnose it.
        """
        frame = present(whole)
        self.num_missing += len(whole.points) - len(frame.points)
        if frame.intensity is not None:
            intensity = frame.intensity.astype(np.float64)
            self.moments += len(intensity), intensity.sum(), (intensity**2).sum()
        if frame.labels is not None:
            self.num_labelled += 1
            self._place(frame)
            self.histogram += np.bincount(frame.labels, minlength=256)
        for view in frame.views:
            seen = len(pair_view(frame.points, view, view.size_hw).index)
            self.shares.setdefault(view.name, []).append(seen / max(1, len(frame.points)))
            try:
                read_image(view.image_path)
                if view.name not in self.converted:
                    self.converted[view.name] = conversion_of(view.image_path) or ""
            except LidistillError as error:
                self.problems.append(str(error))
                continue
            self.images.setdefault(view.name, {})[position] = view.image_path
            if len(self.num_points) <= self.middle or view.name not in self.shown:
                self.shown[view.name] = (frame, view)
        self.num_points.append(len(whole.points))
        if keep:
            self.kept[position] = frame

    def _place(self, frame: Frame) -> None:
        if frame.T_world_lidar is None:
            return
        self.num_placed += 1
        here = frame.T_world_lidar[:3, 3]
        if all(np.linalg.norm(here - place) >= _APART for place in self.places):
            self.places.append(here)

    def num_places(self) -> int | None:
        """Places that labels were made from; None where a labelled frame has no pose."""
        posed = self.num_labelled and self.num_placed == self.num_labelled
        return len(self.places) if posed else None

    def intensity(self) -> tuple[float, float] | None:
        """Mean and standard deviation over all points that have one; None where none has."""
        count, total, squares = self.moments.tolist()
        if not count:
            return None
        mean = total / count
        return mean, max(0.0, squares / count - mean**2) ** 0.5

    def counts(self) -> list[int]:
        """Points of every class, and of none."""
        classes = self.histogram[: self.label_map.num_classes].tolist()
        return [*classes, int(self.histogram[IGNORE])]

    def diagnose(self) -> Diagnosis:
        """What looks wrong with the frames that were kept."""
        first = next(iter(self.kept.values()), None)
        known = first is not None and (
            first.sensor in SENSORS
            or first.intensity_statistics is not None
            or first.intensity is None
        )
        sensor = sensor_of(first) if first is not None and known else None
        return examine(self.kept, sensor, self.images)

    def draw(self, name: NameOverlay) -> dict[str, tuple[Path, ...]]:
        """Write the points on one image of each camera; the files, by camera."""
        written: dict[str, tuple[Path, ...]] = {}
        for camera, (frame, view) in self.shown.items():
            for kind, image in draw_overlays(frame, view, self.label_map).items():
                path = name(camera, kind)
                Image.fromarray(image).save(path)
                written[camera] = (*written.get(camera, ()), path)
        return written

    def forget(self) -> None:
        """Let go of the frames; counts stay."""
        self.kept, self.shown, self.images = {}, {}, {}
