"""What a data check found, as records."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from lidistill.data_check.findings import CameraFit, Finding


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetReport:
    """What was found in the frames of one sensor."""

    title: str
    """What to call it: the sensor, or the data set where that says more."""
    sensor: str
    num_frames: int
    """Frames that could be read."""
    num_labelled: int
    num_places: int | None
    """Places 2 m and more apart that labelled frames were recorded from; None without poses. Labels
    of a standing vehicle are those of one frame over and over."""
    num_points: tuple[int, ...]
    """Points of each frame, in reading order."""
    num_missing: int
    """Points at (0, 0, 0) or not finite, in all frames: beams that did not come back. They count
    nowhere below."""
    intensity_mean: float | None
    """None, as the deviation: the lidar has no intensity."""
    intensity_std: float | None
    class_counts: dict[str, int]
    """Points of every class over all labelled frames; the last entry is ``"ignore"``."""
    camera_share: dict[str, float]
    """Share of a frame's points that fall into each camera, mean over the frames that have it."""
    conversions: tuple[str, ...]
    """One line for every camera whose images have not 8 bits, and what is done about it."""
    problems: tuple[str, ...]
    """One line for every frame or image that could not be read."""
    findings: tuple[Finding, ...]
    """What looks wrong although it could be read."""
    camera_fits: dict[str, tuple[CameraFit, ...]]
    """How well points meet images, by drive."""
    limits: tuple[str, ...]
    """What cannot be told from the frames at hand, and why."""
    figures: tuple[Path, ...]
    """Overlays written."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckReport:
    """What was found under a folder."""

    root: Path
    format: str
    first_recipe: str | None
    """What to begin with where the set has no shipped statistics."""
    parts: tuple[str, ...]
    """Drives, by name."""
    datasets: tuple[DatasetReport, ...]
    """One for every sensor."""
    missing: tuple[str, ...]
    """One line for everything that a complete copy would have."""

    @property
    def suspicious(self) -> bool:
        """Whether anything looks wrong."""
        return any(f.severity == "warning" for one in self.datasets for f in one.findings)

    @property
    def sound(self) -> bool:
        """Whether everything that is there could be read."""
        return not any(dataset.problems for dataset in self.datasets)

    def to_json(self) -> dict[str, Any]:
        """The record as plain lists, dictionaries, numbers and strings."""
        record = asdict(self) | {"root": str(self.root), "sound": self.sound}
        for dataset in record["datasets"]:
            dataset["figures"] = [str(path) for path in dataset["figures"]]
        return record
