"""Classes or features of every scan of a recording, written as a recording.

Shape letters: N points of a scan, C channels.
"""

import json
import logging
import tempfile
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from lidistill.apps.features import FeatureModel
from lidistill.atomic_write import replacing
from lidistill.bags.cloud_writer import DEFINITION, KIND, aligned_dtype, encode_cloud
from lidistill.bags.clouds import cloud_records
from lidistill.bags.mcap_writer import McapWriter
from lidistill.bags.messages import Cloud
from lidistill.bags.records import RawMessage
from lidistill.bags.wire import parse
from lidistill.errors import ConfigError, FileFormatError, first_line
from lidistill.figures.features import PcaBasis, fit_pca, pca_components
from lidistill.instances.find import InstanceFinder
from lidistill.reading.names import shown
from lidistill.records import Array
from lidistill.scan_formats.columns import split_records
from lidistill.scan_formats.intensities import NO_INTENSITY
from lidistill.scan_formats.scan_file import Scan, scan_of_columns
from lidistill.streams.pace import Pace, all_in_turn, newest_first
from lidistill.streams.sources import STANDARD_INPUT, at_its_own_pace, clouds_of

logger = logging.getLogger(__name__)

Fields: TypeAlias = Mapping[str, Array]
"""(N,) numbers of every point by the name of their field."""
_MAX_NOTES: Final = 10
_SUFFIX: Final = ".mcap"


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassFields:
    """Class, confidence and perhaps object of every point."""

    model: FeatureModel
    finder: InstanceFinder | None = None

    def __call__(self, points: Array, intensity: Array | None) -> Fields:
        """``class`` uint8, ``confidence`` float32 and ``instance`` uint16."""
        classes, confidence = self.model.classify(points, intensity)
        found: dict[str, Array] = {"class": classes, "confidence": confidence}
        if self.finder is not None:
            objects = self.finder(np.asarray(points, np.float32), classes)
            found["instance"] = np.minimum(objects, np.iinfo(np.uint16).max).astype(np.uint16)
        return found

    def about(self) -> dict[str, str]:
        """What a reader of the recording must know, as texts."""
        return {"classes": json.dumps(list(self.model.class_names)), "none": "255"}


class ComponentFields:
    """The first principal components of every point's feature.

    The components are those of the first scan with more points than components, so that a number
    means the same in all; scans before it have none.

    Args:
        model: The network.
        count: How many.

    Raises:
        ConfigError: If the network has fewer channels.
    """

    def __init__(self, model: FeatureModel, count: int) -> None:
        if not 1 <= count <= model.num_channels:
            msg = (
                f"--components {count}: expected 1 to {model.num_channels}, the network's channels."
            )
            raise ConfigError(msg)
        self.model, self._count = model, count
        self._basis: PcaBasis | None = None

    def __call__(self, points: Array, intensity: Array | None) -> Fields:
        """``f0``, ``f1``, … float32; NaN where a point has no feature."""
        features = self.model.features(points, intensity)
        known = ~np.isnan(features[:, 0])
        components = np.full((len(features), self._count), np.nan, np.float32)
        if self._basis is None and np.count_nonzero(known) > self._count:
            self._basis = fit_pca(features[known], count=self._count)
        if self._basis is not None:
            components[known] = pca_components(features[known], self._basis)
        return {f"f{i}": components[:, i] for i in range(self._count)}

    def about(self) -> dict[str, str]:
        """The components in the network's channels, once there was a scan."""
        if self._basis is None:
            return {}
        mean, axes = self._basis.mean.tolist(), self._basis.axes.tolist()
        return {"mean": json.dumps(mean), "axes": json.dumps(axes)}


Work: TypeAlias = ClassFields | ComponentFields


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordingPlan:
    """A recording, and how it is read."""

    source: Path
    """A bag, or ``-``: MCAP from standard input."""
    output: Path
    """An MCAP file."""
    name: str
    """What follows the lidar's topic in that of the output."""
    topic: str | None = None
    """Of the lidar; None: the only one."""
    intensity: str | None = None
    """Field to take as intensity; ``none``: take none; None: the usual names."""
    realtime: bool = False
    """Play a bag as fast as it was recorded, and drop what comes while another is worked on."""

    @property
    def drops(self) -> bool:
        """Whether scans come by themselves, so that some may have to be left out."""
        return self.realtime or self.source == STANDARD_INPUT

    def __post_init__(self) -> None:
        if self.output.suffix.lower() != _SUFFIX:
            msg = f"--output {self.output}: a recording is written as one file, NAME{_SUFFIX}."
            raise ConfigError(msg)
        if self.output.exists() and self.source.exists() and self.output.samefile(self.source):
            msg = f"--output {self.output} is the recording itself; choose another name."
            raise ConfigError(msg)


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """What was written."""

    topic: str
    """Of the output."""
    pace: Pace
    num_points: int
    notes: tuple[str, ...]
    """What was converted or left out, one line each."""


def process_recording(
    plan: RecordingPlan, work: Work, *, on_scan: Callable[[], None] = lambda: None
) -> Recorded:
    """Write a recording with the same stamps and frames, and the work's fields on every point.

    One scan is in memory at a time. The output takes its name when all of it is written.

    Args:
        plan: What to read and write.
        work: What every point gets.
        on_scan: Called after each scan, for a progress bar.

    Raises:
        ConfigError: If the topic is not there, or there are several.
        DatasetNotFoundError: If there is no such bag.
        FileFormatError: If the bag is damaged.
    """
    plan.output.parent.mkdir(parents=True, exist_ok=True)
    live = plan.source == STANDARD_INPUT
    with (
        tempfile.TemporaryDirectory(dir=plan.output.parent, prefix=".bag-") as scratch,
        clouds_of(plan.source, topic=plan.topic, scratch=Path(scratch)) as clouds,
        replacing(plan.output) as side,
        side.open("wb") as file,
    ):
        writer = McapWriter(file)
        scans = _Scans(plan, work, writer, topic=f"{clouds.topic}/{plan.name}", on_scan=on_scan)
        if plan.drops:
            source = clouds.messages if live else at_its_own_pace(clouds.messages)
            pace = newest_first(source, scans.handle)
        else:
            pace = all_in_turn(clouds.messages, scans.handle)
        writer.add_metadata("lidistill", work.about() | {"fields": json.dumps(scans.fields)})
        writer.close()
        losses = clouds.losses()
    notes = [f"{count} {what}" for what, count in scans.notes.most_common(_MAX_NOTES)]
    return Recorded(
        topic=scans.topic, pace=pace, num_points=scans.num_points, notes=(*notes, *losses)
    )


class _Scans:
    """Message in, message out."""

    def __init__(
        self,
        plan: RecordingPlan,
        work: Work,
        writer: McapWriter,
        *,
        topic: str,
        on_scan: Callable[[], None],
    ) -> None:
        self._plan, self._work, self._writer, self._on_scan = plan, work, writer, on_scan
        self.topic, self.notes = topic, Counter[str]()
        self._channel = writer.add_channel(topic, kind=KIND, definition=DEFINITION)
        self.num_points = 0
        self.fields: list[str] = []

    def handle(self, raw: RawMessage) -> None:
        """Work on one scan, and write it.

        Raises:
            FileFormatError: If it cannot be used.
        """
        where = f"{self._plan.source}, {shown(raw.channel.topic)[1:-1]} at {raw.time_ns} ns"
        try:
            cloud = parse(raw)
            assert isinstance(cloud, Cloud)  # noqa: S101  others were left out by their kind
            records = cloud_records(cloud, self.notes)
            if records is None:
                self.notes["scans without a point"] += 1
            data = self._empty() if records is None else self._labelled(records, where)
            fits = cloud.height * cloud.width == len(data)
            message = encode_cloud(cloud.header, data, height=cloud.height if fits else 1)
        except (ValueError, OverflowError) as error:
            msg = f"scan {where} has {shown(first_line(error), limit=300)[1:-1]}."
            raise FileFormatError(msg) from error
        sent = max(0, cloud.header.stamp_ns)
        self._writer.add(self._channel, log_ns=raw.time_ns, publish_ns=sent, data=message)
        self.num_points += len(data)
        self._on_scan()

    def _empty(self) -> NDArray[np.void]:
        """No point, with the fields that points have."""
        none = np.zeros(0, np.float32)
        with_intensity = self._plan.intensity != NO_INTENSITY
        fields = self._work(np.zeros((0, 3), np.float32), none if with_intensity else None)
        scan = Scan(
            points=np.zeros((0, 3), np.float32),
            intensity=none if with_intensity else None,
            columns={},
        )
        return joined_points(scan, fields)

    def _labelled(self, records: NDArray[np.void], where: str) -> NDArray[np.void]:
        no_intensity = self._plan.intensity == NO_INTENSITY
        table = split_records(records)
        scan = scan_of_columns(table, Path(where), intensity=self._plan.intensity)
        if scan.intensity is None and not no_intensity:
            msg = (
                f"scan {where} has no intensity among its fields; name the field "
                "(--intensity NAME), or go without (--intensity none)."
            )
            raise FileFormatError(msg)
        fields = self._work(scan.points, None if no_intensity else scan.intensity)
        data = joined_points(scan, fields)
        self.fields = list(data.dtype.names or ())
        return data


def joined_points(scan: Scan, fields: Fields) -> NDArray[np.void]:
    """(N,) structured points: x, y, z, intensity where there is one, and further fields."""
    columns: dict[str, Array] = {axis: scan.points[:, i] for i, axis in enumerate("xyz")}
    if scan.intensity is not None:
        columns["intensity"] = scan.intensity
    columns |= fields
    layout = [(name, values.dtype.newbyteorder("<").str) for name, values in columns.items()]
    points = np.zeros(len(scan.points), aligned_dtype(layout))
    for name, values in columns.items():
        points[name] = values
    return points


def report_json(recorded: Recorded, output: Path) -> dict[str, Any]:
    """Everything as JSON values; times in seconds."""
    pace = recorded.pace
    p50, p99, largest = (None if value != value else value for value in pace.latency)  # noqa: PLR0124
    return {
        "output": str(output),
        "topic": recorded.topic,
        "received": pace.num_received,
        "written": pace.num_done,
        "dropped": pace.num_dropped,
        "failed": pace.num_failed,
        "points": recorded.num_points,
        "seconds": pace.seconds,
        "latency": {"p50": p50, "p99": p99, "max": largest},
        "notes": list(recorded.notes),
    }
