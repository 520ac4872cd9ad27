"""PandaSet's tables of points and of classes with other points of one lidar in them.

Shape letters: N points of both lidars together, M of one after the change.
"""

import gzip
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import numpy as np

from lidistill.datasets.pandaset.dataframe_pickle import read_dataframe
from lidistill.datasets.pandaset.tables import number_columns, read_classes, read_points
from lidistill.datasets.raw_scans import ChangedPoints
from lidistill.errors import FileFormatError, require
from lidistill.geometry import transform_points
from lidistill.records import Array, Frame

_COLUMNS: Final = ("x", "y", "z", "i", "t", "d")


def changed_tables(
    scan: Path, labels: Path, frame: Frame, changed: ChangedPoints, *, device: int
) -> tuple[bytes, bytes | None]:
    """Both tables as pickles: the other lidar's rows first, then those of this one.

    Args:
        scan: Table of points.
        labels: Table of classes, which need not be there where the frame has none.
        frame: What was read of one lidar.
        changed: What takes the place of its points.
        device: Value of the column ``d`` of that lidar.

    Raises:
        FileFormatError: If a table is damaged.
        MissingPackageError: If pandas, which writes them, is not installed.
    """
    columns = dict(zip(_COLUMNS, number_columns(read_dataframe(scan), _COLUMNS), strict=True))
    table = read_points(scan, device)
    if len(table.rows) != len(frame.points) or frame.T_world_lidar is None:
        msg = f"{scan} has changed since its frame was read; start again."
        raise FileFormatError(msg)
    others = np.setdiff1d(np.arange(len(columns["d"])), table.rows)
    own = table.rows[changed.source]
    rows = np.concatenate([others, own])
    written: dict[str, Array] = {name: values[rows] for name, values in columns.items()}
    moved = (changed.points != frame.points[changed.source]).any(axis=1)
    moved &= np.isfinite(changed.points[:, 0])
    world = transform_points(frame.T_world_lidar, changed.points[moved].astype(np.float64))
    place = len(others) + np.flatnonzero(moved)
    for axis, name in enumerate("xyz"):
        written[name] = written[name].astype(np.float64)
        written[name][place] = world[:, axis]
    written["i"] = written["i"].astype(np.float32)
    written["i"][len(others) :] = changed.intensity
    packed = _packed(written, scan)
    if frame.labels is None:
        return packed, None
    ids = read_classes(labels, scan, table.index)[rows]
    ids[len(others) :][changed.added] = changed.added_id
    return packed, _packed({"class": ids}, labels)


def _packed(columns: Mapping[str, Array], path: Path) -> bytes:
    """A table as pandas writes it, packed where its path says so; the same again each time."""
    table = require("pandas", extra="sim").DataFrame(columns)
    table.columns = table.columns.astype(object)  # plain strings, also where pyarrow is there
    pickled = io.BytesIO()
    table.to_pickle(pickled, compression=None, protocol=4)
    if path.suffix != ".gz":
        return pickled.getvalue()
    return gzip.compress(pickled.getvalue(), compresslevel=1, mtime=0)
