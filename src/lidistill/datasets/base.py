"""What every data set is: a configuration that knows its folder, a reader that knows its frames.

A data set is one file or folder and one line in ``DATASETS``. All that others need to know of it
is here: ``data check``, completeness, confidence intervals, submissions and the domain gap ask it,
and know no data set by name.
"""

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Protocol, Self, TypeAlias

import numpy as np
from numpy.typing import NDArray
from pydantic import model_validator

from lidistill.config import MayChange
from lidistill.datasets.completeness import CompletenessConfig
from lidistill.datasets.raw_scans import RawScans
from lidistill.datasets.sensors import SENSORS, Sensor
from lidistill.datasets.submission_format import SubmissionFormat
from lidistill.labels import LabelMap
from lidistill.records import Frame

LabelsAndSegments: TypeAlias = tuple[NDArray[np.uint8] | None, NDArray[np.uint32] | None]
"""Of the points of a frame, as ``Frame`` has them."""


class FrameDataset(Protocol):
    """A data set reads: it does not augment, batch, count or guess."""

    @property
    def frame_ids(self) -> tuple[str, ...]:
        """Name of every frame, in reading order; nobody takes a name apart."""
        ...

    @property
    def drive_ids(self) -> tuple[str, ...]:
        """The drive that every frame is from (nuScenes says scene), in reading order."""
        ...

    @property
    def label_map(self) -> LabelMap:
        """The table from raw ids to training ids."""
        ...

    @property
    def cameras(self) -> tuple[str, ...]:
        """Names of the cameras whose images are looked for; a frame may lack some of them."""
        ...

    def __len__(self) -> int:
        """Number of frames."""
        ...

    def __getitem__(self, index: int) -> Frame:
        """Read one frame from disk.

        Raises:
            FileFormatError: If one of its files is damaged or of another format.
            DatasetNotFoundError: If one is missing.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What a data set can be cut into."""

    splits: tuple[str, ...]
    """By name, as its configuration takes them; empty where there is no split."""
    sensors: tuple[str, ...]
    """Lidars that it can be read by."""
    drives: tuple[str, ...]
    """Drives at hand, in reading order; KITTI calls them sequences, nuScenes scenes."""


class SensorFrames(FrameDataset, Protocol):
    """A data set as its own class reads it, whose frames all come from one sensor."""

    @property
    def sensor(self) -> str:
        """Name of the sensor."""
        ...

    @property
    def parts(self) -> Parts:
        """What it can be cut into."""
        ...

    def missing(self) -> tuple[str, ...]:
        """One line for everything that a complete copy would have, and this one lacks."""
        ...

    def submission_format(self) -> SubmissionFormat | None:
        """How its benchmark's server wants predictions; None where there is no server."""
        ...

    def raw_scans(self) -> RawScans | None:
        """Its files, where these can be written with other points; else None."""
        ...


class DatasetConfig(CompletenessConfig):
    """Which part of a data set to read; knows a folder of its own when it sees one.

    Subclasses add ``kind``, a literal that is their key in ``DATASETS``, and ``sensor``, the name
    of the lidar: a field or a property.
    """

    EXAMPLE: ClassVar[str]
    """A path below the root that every copy has, for messages."""
    SENSORS: ClassVar[tuple[Sensor, ...]] = ()
    """Its lidars whose intensity statistics are shipped."""
    TEST_SET: ClassVar[Mapping[str, str]] = {}
    """Keys that select its benchmark's test set; empty where there is no server."""
    FIRST_RECIPE: ClassVar[str | None] = None
    """Recipe to begin with, where intensity statistics are the user's own to count."""
    HAS_INSTANCES: ClassVar[bool] = False
    """Whether it says which object a point is of."""
    MIN_SEGMENT_POINTS: ClassVar[int] = 50
    """Points of a segment that counts in panoptic quality though nothing matches it."""

    root: MayChange[Path]
    """Where data lie is free when a run goes on; that they are the same, their frames tell."""
    instances: bool = False
    """Also read which object each point is of, for panoptic quality."""

    if TYPE_CHECKING:
        # Fields of some data sets and properties of others, which pydantic would call a shadow.
        @property
        def kind(self) -> str: ...  # noqa: D102
        @property
        def sensor(self) -> str: ...  # noqa: D102

    @model_validator(mode="after")
    def _instances_are_there(self) -> Self:
        if self.instances and not self.HAS_INSTANCES:
            msg = f"instances=true, but {self.kind} does not say which object a point is of"
            raise ValueError(msg)
        return self

    @classmethod
    @abstractmethod
    def detect(cls, root: Path) -> bool:
        """Whether a folder looks like the root of a copy."""

    @classmethod
    @abstractmethod
    def everything(cls, root: Path) -> tuple[Self, ...]:
        """What reads all under a root as far as it is there: one for each sensor and version."""

    @abstractmethod
    def build(self) -> SensorFrames:
        """The data set that this describes."""

    @property
    def title(self) -> str:
        """What to call it in a report: its sensor, unless that is named after another data set."""
        return self.sensor

    def sensor_statistics(self) -> Sensor | None:
        """The lidar with its intensity statistics, or None where nobody has counted them."""
        return SENSORS.get(self.sensor)


def distinct(names: tuple[str, ...]) -> tuple[str, ...]:
    """Each name once, in the order of its first time."""
    return tuple(dict.fromkeys(names))
