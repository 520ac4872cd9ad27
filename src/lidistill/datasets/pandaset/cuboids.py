"""PandaSet's boxes around objects, and which points each holds.

Shape letters: N points, B boxes.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from lidistill.datasets.base import LabelsAndSegments
from lidistill.datasets.pandaset.dataframe_pickle import read_dataframe
from lidistill.datasets.pandaset.drive import DriveFiles
from lidistill.datasets.pandaset.tables import number_columns
from lidistill.errors import DatasetNotFoundError, FileFormatError, suggestion
from lidistill.labels import IGNORE, LabelMap
from lidistill.reading.names import shown

_BOTH: Final = -1  # sensor of a box that holds for both lidars
_ROOM: Final = 0.1  # metres around a box: points on a car's skin lie just outside
_WITHOUT: Final = frozenset({"Signs", "Construction Signs"})
"""Movable things that drives have no boxes of."""
_FIRST, _LAST = "Car", "Rolling Containers"
_NUMBERS: Final = (
    "cuboids.sensor_id", "position.x", "position.y", "position.z",
    "dimensions.x", "dimensions.y", "dimensions.z", "yaw",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Cuboids:
    """The boxes of one frame that hold for one lidar."""

    classes: NDArray[np.int64]
    """(B,) training ids, 255 for one that is ignored."""
    center: NDArray[np.float64]
    """(B, 3) metres, world."""
    half: NDArray[np.float64]
    """(B, 3) half of width, length and height, metres."""
    yaw: NDArray[np.float64]
    """(B,) radians about z."""


def read_cuboids(path: Path, device: int, label_map: LabelMap) -> Cuboids:
    """The boxes of one frame and lidar.

    Args:
        path: The table ``annotations/cuboids/NN.pkl.gz``.
        device: 0 for Pandar64, 1 for PandarGT, as in ``cuboids.sensor_id``.
        label_map: Says which class a box is of, by its name.

    Raises:
        DatasetNotFoundError: If there is no such file.
        FileFormatError: If it is damaged, or a class is not known.
    """
    table = read_dataframe(path)
    sensor, x, y, z, width, length, height, yaw = number_columns(table, _NUMBERS)
    if "label" not in table.names:
        msg = f"{path}: its column 'label' is missing; is it another data set's file?"
        raise FileFormatError(msg)
    (names,) = table.columns(("label",))
    raw = {name: number for number, name in label_map.raw_names.items()}
    strange = [name for name in names.tolist() if not isinstance(name, str) or name not in raw]
    if strange:
        hint = suggestion(str(strange[0]), raw)
        msg = f"{path}: unknown class of a box {shown(strange[0])}; {hint}"
        raise FileFormatError(msg)
    classes = np.array([label_map.raw_to_train[raw[name]] for name in names.tolist()], np.int64)
    boxes = np.stack([x, y, z, width, length, height, yaw], axis=1).astype(np.float64)
    if not np.isfinite(boxes).all():
        msg = f"{path}: a box has a place or size that is not finite; unpack it again."
        raise FileFormatError(msg)
    own = (sensor == _BOTH) | (sensor == device)
    return Cuboids(
        classes=classes[own],
        center=boxes[own, :3],
        half=boxes[own, 3:6] / 2,
        yaw=boxes[own, 6],
    )


def cuboid_file(drive: DriveFiles, frame: str) -> Path:
    """The table of boxes of a frame.

    Raises:
        DatasetNotFoundError: If there is none.
    """
    if frame not in drive.cuboids:
        msg = (
            f"drive {drive.name} has no annotations/cuboids/{frame}.pkl.gz, which says which "
            "object a point is of; unpack it, or leave the frame out."
        )
        raise DatasetNotFoundError(msg)
    return drive.cuboids[frame]


def boxed_classes(label_map: LabelMap) -> NDArray[np.int64]:
    """Training ids of the classes whose objects have boxes."""
    raw = {name: number for number, name in label_map.raw_names.items()}
    boxed = [
        label_map.raw_to_train[number]
        for name, number in raw.items()
        if raw[_FIRST] <= number <= raw[_LAST] and name not in _WITHOUT
    ]
    return np.setdiff1d(boxed, [IGNORE]).astype(np.int64)


def objects_of(
    world: NDArray[np.float64], labels: NDArray[np.uint8], cuboids: Cuboids, label_map: LabelMap
) -> LabelsAndSegments:
    """Which box every point lies in, one of its own class with 0.1 m around.

    PandaSet has no panoptic labels: a point of a class with boxes that lies in none of them is of
    no known object, so it counts nowhere. Of several boxes the one counts whose centre is nearest.

    Args:
        world: (N, 3) metres.
        labels: (N,) training ids; left as they are.
        cuboids: The boxes.
        label_map: The class table.

    Returns:
        (N,) training ids, 255 where a point is of no known object; (N,) number of the box, from 1,
        0 for a class without boxes.
    """
    segments = np.zeros(len(world), np.uint32)
    candidates = np.flatnonzero(np.isin(labels, boxed_classes(label_map)))
    points, classes = world[candidates], labels[candidates]
    nearest = np.full(len(candidates), np.inf)
    found = np.zeros(len(candidates), np.uint32)
    cos, sin = np.cos(cuboids.yaw), np.sin(cuboids.yaw)
    for box, (center, half) in enumerate(zip(cuboids.center, cuboids.half, strict=True)):
        x, y, z = (points - center).T
        across = np.abs(cos[box] * x + sin[box] * y)
        along = np.abs(cos[box] * y - sin[box] * x)
        reach = half + _ROOM
        inside = (across <= reach[0]) & (along <= reach[1]) & (np.abs(z) <= reach[2])
        distance = x**2 + y**2 + z**2
        better = inside & (classes == cuboids.classes[box]) & (distance < nearest)
        nearest[better] = distance[better]
        found[better] = box + 1
    segments[candidates] = found
    kept = labels.copy()
    kept[candidates[found == 0]] = IGNORE
    return kept, segments
