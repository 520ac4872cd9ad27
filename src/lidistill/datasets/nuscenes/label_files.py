"""Labels of nuScenes: of lidarseg, a class; of the panoptic challenge, an object too.

Shape letters: N points.
"""

from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from lidistill.datasets.base import LabelsAndSegments
from lidistill.errors import FileFormatError
from lidistill.labels import LabelMap
from lidistill.reading.files import read_file, read_json
from lidistill.reading.names import listed, shown
from lidistill.scan_formats.arrays import read_archive
from lidistill.scan_formats.binary import read_label_ids

_CLASS_STEP: Final = 1000
"""A label is so many times the class, plus the number of the object."""
_ARRAY: Final = "data"


def label_file(version: str, token: str, *, instances: bool) -> str:
    """Where the labels of a scan lie below the root.

    Args:
        version: Of the tables.
        token: Of the scan in ``sample_data``.
        instances: Those with objects.
    """
    if instances:
        return f"panoptic/{version}/{token}_panoptic.npz"
    return f"lidarseg/{version}/{token}_lidarseg.bin"


def read_labels(
    path: Path, num_points: int, label_map: LabelMap, *, instances: bool
) -> LabelsAndSegments:
    """(N,) training ids and, of a file with objects, the whole labels.

    Args:
        path: The file.
        num_points: N.
        label_map: The class table.
        instances: Whether it is one with objects.

    Raises:
        DatasetNotFoundError: If there is no such file.
        FileFormatError: If it is damaged, or of another scan or data set.
    """
    if not instances:
        return label_map.apply(read_label_ids(path, "u1", num_points), source=str(path)), None
    whole = _read_panoptic(path, num_points)
    return label_map.apply(whole // _CLASS_STEP, source=str(path)), whole


def _read_panoptic(path: Path, num_points: int) -> NDArray[np.uint32]:
    """(N,) whole labels of one scan.

    References:
        Fong et al., "Panoptic nuScenes", RA-L 2022; format in the devkit's documentation.
    """
    arrays = read_archive(read_file(path), path)
    labels = arrays.get(_ARRAY)
    if labels is None or labels.shape != (num_points,) or labels.dtype.kind not in "iu":
        found = listed(arrays) if labels is None else f"{labels.dtype} of shape {labels.shape}"
        msg = (
            f"{path} holds {found}, expected an array {_ARRAY!r} of {num_points} whole numbers, "
            "one for each point of its scan; unpack nuScenes-panoptic-v1.0 again."
        )
        raise FileFormatError(msg)
    if len(labels) and not 0 <= labels.min() <= labels.max() < 1 << 16:
        msg = f"{path}: a label {labels.min()} or {labels.max()} is none; unpack it again."
        raise FileFormatError(msg)
    return labels.astype(np.uint32)


def check_categories(table: Path, label_map: LabelMap) -> None:
    """See to it that the ids of a set mean the classes of the class table.

    Args:
        table: ``category.json``; one without ids, as before lidarseg, says nothing of them.
        label_map: The class table.

    Raises:
        FileFormatError: If an id is of another class there, or the table is damaged.
    """
    if not table.exists():
        return
    rows = read_json(table)
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        msg = f"{table} is no list of categories; unpack the archive of its metadata again."
        raise FileFormatError(msg)
    for row in rows:
        number, name = row.get("index"), row.get("name")
        known = label_map.raw_names.get(number) if type(number) is int else name
        if known != name:
            msg = (
                f"{table} gives {shown(name)} the id {shown(number)}, which is "
                f"{shown(known)} in lidarseg; labels of another order would be read as "
                "other classes. Read them as own recordings with a labels.yaml."
            )
            raise FileFormatError(msg)
