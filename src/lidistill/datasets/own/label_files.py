"""Label files of a user's own scans: .label as SemanticKITTI has them, or .npy; their table.

Shape letters: N points.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
import yaml
from numpy.typing import NDArray

from lidistill.atomic_write import replace_text
from lidistill.datasets.own.drive import LABEL_SUFFIXES, Drive
from lidistill.datasets.own.files import read_label_table
from lidistill.errors import ConfigError, FileFormatError
from lidistill.labels import IGNORE, LabelMap
from lidistill.reading.files import may_look_into, read_file
from lidistill.reading.names import listed, shown
from lidistill.scan_formats.arrays import read_array
from lidistill.scan_formats.binary import CLASS_BITS, check_class_bits, read_label_ids
from lidistill.scan_formats.scan_file import Scan

CLASS_TABLE: Final = "labels.yaml"
"""File that says what the class ids mean."""
_MAX_ID: Final = 1 << 31


def read_ids(path: Path, num_points: int) -> NDArray[np.generic]:
    """(N,) raw class ids of a scan, or what a .npy holds in their place."""
    if path.suffix.lower() == ".npy":
        return read_array(read_file(path), str(path))
    whole = read_label_ids(path, "<u4", num_points)
    check_class_bits(whole, path)
    return whole & CLASS_BITS


def read_labels(
    drive: Drive, name: str, scan: Scan, label_map: LabelMap, *, column: str | None
) -> NDArray[np.uint8] | None:
    """(N,) training ids of a scan; None where it has none.

    Args:
        drive: The drive that it is of.
        name: Name of the scan.
        scan: What was read of it.
        label_map: What raw ids mean.
        column: That of the scan that holds them; None: they lie in a file of their own.

    Raises:
        FileFormatError: If they are no whole numbers, or not one for each point.
    """
    if column is not None:
        path, ids = drive.scans[name], scan.columns.get(column)
    elif name in drive.labels:
        path = drive.labels[name]
        ids = read_ids(path, len(scan.points))
    else:
        return None
    if ids is None:
        msg = (
            f"{path} has no column {shown(column)} of class ids among {listed(scan.columns)}; name "
            f"another in {CLASS_TABLE} (column: NAME)."
        )
        raise FileFormatError(msg)
    if ids.shape != (len(scan.points),) or not _are_whole(ids):
        where = f" in column {shown(column)}" if column else ""
        msg = (
            f"{path}: its class ids{where} are {ids.dtype.name} of shape {ids.shape}, expected a "
            f"whole number for each of the {len(scan.points)} points; write them so."
        )
        raise FileFormatError(msg)
    return label_map.apply(ids.astype(np.int64), source=str(path))


def _are_whole(ids: NDArray[np.generic]) -> bool:
    """Whether numbers count, whatever their type: CloudCompare and E57 know nothing but floats."""
    if ids.dtype.kind == "f":
        return bool((np.abs(ids) <= _MAX_ID).all() and (ids == np.floor(ids)).all())
    return ids.dtype.kind in "iu"


def lack_class_table(root: Path) -> bool:
    """Whether a folder of recordings has labels, and nothing says what they mean.

    Args:
        root: Of the drives, or of the only one.
    """
    if (root / CLASS_TABLE).exists():
        return False
    folders = [folder / "labels" for folder in (root, *filter(may_look_into, root.iterdir()))]
    files = (file for folder in folders if may_look_into(folder) for file in folder.iterdir())
    return any(file.suffix.lower() in LABEL_SUFFIXES for file in files)


def check_class_table(class_names: Sequence[str], path: Path) -> None:
    """See to it that ids written before mean what those to come will mean.

    Args:
        class_names: Of the ids to come.
        path: The table beside those that are there; where there is none, nothing is known.

    Raises:
        ConfigError: If it names other classes, or the same in another order.
        FileFormatError: If it is damaged.
    """
    there = read_label_table(path).classes if path.exists() else tuple(class_names)
    if there != tuple(class_names):
        msg = (
            f"{path} names the classes {listed(there)}, this run has {listed(class_names)}: labels "
            "that stay would come to mean other classes. Give --overwrite, or another folder."
        )
        raise ConfigError(msg)


def write_class_table(class_names: Sequence[str], path: Path) -> None:
    """Write what the class ids mean, as the data set ``folder`` reads it."""
    ids = dict(enumerate(class_names)) | {IGNORE: "ignore"}
    table = {"classes": list(class_names), "ids": ids}
    replace_text(path, yaml.safe_dump(table, sort_keys=False, allow_unicode=True))
