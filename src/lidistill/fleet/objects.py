"""One object of a frame, as it stands in the index.

Shape letters: N points of a frame, O objects, C channels.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from lidistill.fleet.crops import Crop, best_crop
from lidistill.instances.objects import mean_features
from lidistill.instances.rectangle import Rectangle, smallest_rectangle
from lidistill.records import Frame

MIN_POINTS = 20
"""Of an object; fewer have no feature to rely on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexedObject:
    """An object of a frame."""

    frame: str
    drive: str
    number: int
    """In its frame, from 1."""
    num_points: int
    box: Rectangle
    """Seen from above, lidar frame."""
    bottom: float
    """Lowest z, metres."""
    top: float
    """Highest z, metres."""
    vector: NDArray[np.float32]
    """(C,) mean unit feature, of length one."""
    head: NDArray[np.float32] | None = None
    """The same in the teacher's space, where the network has a head into it."""
    label: str | None = None
    """Class that most of its points are predicted to be of; None where none is predicted."""
    confidence: float | None = None
    """Mean probability that the network gives that class."""
    time: float | None = None
    """Of the scan, seconds in the clock of its recording; None: unknown."""
    crop: Crop | None = None
    """Where an image shows it best; None where none does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PointOutputs:
    """What a network says about the points of a frame."""

    features: NDArray[np.floating]
    """(N, C), NaN where a point has none."""
    head: NDArray[np.floating] | None = None
    """(N, T) in the teacher's space."""
    probability: NDArray[np.floating] | None = None
    """(N, D) of the classes, NaN where a point has none."""


Encode: TypeAlias = Callable[[Frame], PointOutputs]
Find: TypeAlias = Callable[[Frame, PointOutputs], NDArray[np.int32]]
"""(N,) object of each point, from 1; 0: none."""


def objects_of(
    frame: Frame,
    drive: str,
    outputs: PointOutputs,
    label: NDArray[np.int32],
    class_names: Sequence[str],
) -> list[IndexedObject]:
    """The objects of a frame that have enough points, a box and a feature.

    Args:
        frame: Scan and images.
        drive: That it is of.
        outputs: Of the network.
        label: (N,) object of each point, from 1; 0: none.
        class_names: Of ``outputs.probability``.
    """
    count = int(label.max(initial=0))
    vectors = mean_features(outputs.features, label, count)
    heads = None if outputs.head is None else mean_features(outputs.head, label, count)
    order = np.argsort(label, kind="stable")
    ends = np.cumsum(np.bincount(label, minlength=count + 1))[:-1]
    found = []
    for number, members in enumerate(np.split(order, ends)[1:], start=1):
        points = frame.points[members]
        box = smallest_rectangle(points[:, :2]) if len(members) >= MIN_POINTS else None
        vector = vectors[number - 1]
        if box is None or np.isnan(vector[0]):
            continue
        name, sure = _class_of(outputs.probability, members, class_names)
        found.append(
            IndexedObject(
                frame=frame.frame_id,
                drive=drive,
                number=number,
                num_points=len(members),
                box=box,
                bottom=float(points[:, 2].min()),
                top=float(points[:, 2].max()),
                vector=vector,
                head=None if heads is None else heads[number - 1],
                label=name,
                confidence=sure,
                time=frame.time,
                crop=best_crop(points, frame.views),
            )
        )
    return found


def _class_of(
    probability: NDArray[np.floating] | None, members: NDArray[np.intp], names: Sequence[str]
) -> tuple[str | None, float | None]:
    """The class of most points, and its mean probability over all of them."""
    if probability is None:
        return None, None
    own = probability[members]
    own = own[~np.isnan(own[:, 0])]
    best = int(np.bincount(own.argmax(axis=1), minlength=len(names)).argmax())
    return names[best], float(own[:, best].mean())
