"""A run over a data set, into an index of objects.

Shape letters: N points of a frame, C channels, T channels of the teacher, D classes.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from lidistill.apps.feature_tables import weights_digest
from lidistill.apps.features import FeatureModel
from lidistill.datasets import FrameDataset
from lidistill.errors import DatasetNotFoundError, FileFormatError
from lidistill.fleet.objects import Encode, Find, PointOutputs, objects_of
from lidistill.fleet.schema import AboutIndex
from lidistill.fleet.table import FleetIndex, IndexedFrame
from lidistill.instances.config import DiscoveryConfig
from lidistill.instances.find import InstanceFinder
from lidistill.instances.objects import find_objects
from lidistill.labels import IGNORE
from lidistill.records import Frame

FRAMES_AT_ONCE = 32
"""That are written together; a stop in between loses as many at most."""


def has_teacher_head(model: FeatureModel) -> bool:
    """Whether the network answers in its teacher's space."""
    return model.has_head and not model.class_names


def about_index(
    model: FeatureModel, *, run: Path, data: Sequence[Path], head: bool, **reading: Any
) -> AboutIndex:
    """What an index of a model's objects says about itself.

    Args:
        model: The network.
        run: Where it is.
        data: What is read.
        head: Whether vectors in the teacher's space are wanted, where there are some.
        reading: How data are read: ``objects``, ``teacher``, ``sensor``, ``intensity``,
            ``statistics``.
    """
    return AboutIndex(
        weights=weights_digest(model),
        channels=model.num_channels,
        head_channels=sum(model.head_widths) if head and has_teacher_head(model) else 0,
        class_names=model.class_names,
        run=str(run.resolve()),
        data=tuple(str(one.resolve()) for one in data),
        **reading,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class EncodeFrame:
    """What a network says about the points of a frame."""

    model: FeatureModel
    head: bool
    """Whether vectors in the teacher's space are wanted."""

    def __call__(self, frame: Frame) -> PointOutputs:
        """Features of every point, and where the network has them its head's or classes'."""
        encoded = self.model.encode(frame.points, frame.intensity)
        after = None
        if self.head or self.model.class_names:
            after = self.model.after_head(encoded.values)
        features = _of_points(encoded.values, encoded.row)
        if after is None:
            return PointOutputs(features=features)
        if not self.model.class_names:
            return PointOutputs(features=features, head=_of_points(after, encoded.row))
        probability = torch.from_numpy(after).softmax(1).numpy()
        return PointOutputs(features=features, probability=_of_points(probability, encoded.row))


def by_density(config: DiscoveryConfig | None = None) -> Find:
    """Objects as ``lidistill discover`` finds them, whatever their class."""

    def find(frame: Frame, outputs: PointOutputs) -> NDArray[np.int32]:
        del outputs
        return find_objects(frame.points, config)[0]

    return find


def by_class(finder: InstanceFinder) -> Find:
    """Objects of the classes of things, as ``predict --instances`` tells them apart."""

    def find(frame: Frame, outputs: PointOutputs) -> NDArray[np.int32]:
        assert outputs.probability is not None  # noqa: S101  such runs predict classes
        known = ~np.isnan(outputs.probability[:, 0])
        classes = np.full(len(known), IGNORE, np.int64)
        classes[known] = outputs.probability[known].argmax(axis=1)
        return finder(frame.points, classes)

    return find


def index_frames(
    dataset: FrameDataset, encode: Encode, find: Find, index: FleetIndex
) -> Iterator[IndexedFrame]:
    """Add the frames that an index lacks; one that cannot be read ends nothing, and is noted.

    Args:
        dataset: Frames.
        encode: The network.
        find: What an object is.
        index: Grows.
    """
    index.drop_unfinished()
    waiting: list[IndexedFrame] = []
    for number in frames_to_do(dataset, index):
        one = _look(dataset, number, encode, find, index.about.class_names)
        waiting.append(one)
        if len(waiting) == FRAMES_AT_ONCE:
            index.add(waiting)
            waiting = []
        yield one
    if waiting:
        index.add(waiting)


def frames_to_do(dataset: FrameDataset, index: FleetIndex) -> list[int]:
    """Frames of a data set that an index lacks, or that could not be used the last time."""
    done = {row["frame"] for row in index.frames() if not row["reason"]}
    return [i for i, frame_id in enumerate(dataset.frame_ids) if frame_id not in done]


def _look(
    dataset: FrameDataset, number: int, encode: Encode, find: Find, class_names: Sequence[str]
) -> IndexedFrame:
    frame_id, drive = dataset.frame_ids[number], dataset.drive_ids[number]
    try:
        frame = dataset[number]
        outputs = encode(frame)
        found = objects_of(frame, drive, outputs, find(frame, outputs), class_names)
    except (FileFormatError, DatasetNotFoundError) as error:
        return IndexedFrame(
            frame=frame_id, drive=drive, number=number, objects=(), reason=str(error)
        )
    return IndexedFrame(frame=frame_id, drive=drive, number=number, objects=tuple(found))


def _of_points(values: NDArray[np.floating], row: NDArray[np.int64]) -> NDArray[np.floating]:
    """(N, C) the values of every point; NaN where it has none."""
    found = np.full((len(row), values.shape[1]), np.nan, np.float32)
    found[row >= 0] = values[row[row >= 0]]
    return found
