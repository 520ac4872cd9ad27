"""PandaSet's tables of points and of classes, checked against what its sensors can write.

Shape letters: N points of both lidars together, M of one.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from lidistill.datasets.pandaset.dataframe_pickle import Table, read_dataframe
from lidistill.errors import FileFormatError
from lidistill.geometry import MAX_WORLD
from lidistill.reading.names import shown
from lidistill.records import Array
from lidistill.scan_formats.returns import has_return

_MAX_SHOWN: Final = 8  # names of columns in an error


@dataclass(frozen=True, slots=True, kw_only=True)
class PointTable:
    """The scan of one lidar, from the table of both."""

    world: NDArray[np.float64]
    """(M, 3) metres, world coordinates; NaN where no beam came back."""
    intensity: NDArray[np.float32]
    """(M,) 0 to 255 as the sensor has it; corrupted sets go beyond."""
    rows: NDArray[np.int64]
    """(M,) row of each point in the table."""
    index: Array
    """(N,) names of the table's rows, which those of the labels refer to."""


def read_points(path: Path, device: int) -> PointTable:
    """Points of one frame and lidar.

    Args:
        path: The table.
        device: Value of its column ``d`` for the lidar: 0 for Pandar64, 1 for PandarGT.

    Raises:
        DatasetNotFoundError: If there is no such file.
        FileFormatError: If it is damaged, or holds what no lidar measures, be it the other lidar.
    """
    (x, y, z, intensity, devices), index = _numbers(path, ("x", "y", "z", "i", "d"))
    lost = ~has_return(np.stack((x, y, z), axis=1))
    if not all(_lie_in(column[~lost], -MAX_WORLD, MAX_WORLD) for column in (x, y, z)):
        raise _damaged(path, "some of its points are on no map")
    if not np.isfinite(intensity[~lost]).all():
        raise _damaged(path, "some intensities (i) are not finite")
    if not ((devices == 0) | (devices == 1)).all():
        raise _damaged(path, "some devices (d) are neither 0 nor 1")
    rows = np.flatnonzero(devices == device)
    world = np.empty((len(rows), 3))
    for axis, column in enumerate((x, y, z)):
        world[:, axis] = column[rows]
    world[lost[rows]] = np.nan
    return PointTable(
        world=world, intensity=intensity[rows].astype(np.float32), rows=rows, index=index
    )


def _lie_in(column: Array, low: float, high: float) -> bool:
    """Whether all numbers lie between two, which NaN does not."""
    return not len(column) or bool(column.min() >= low and column.max() <= high)


def read_classes(path: Path, scan: Path, index: Array) -> NDArray[np.int64]:
    """(N,) raw class ids of one frame, in the order of its points.

    Rows belong together as pandas joins tables: by their index. The labels may come in another
    order, and there may be more of them than points, where some points were left out.

    Args:
        path: The table.
        scan: The table of its points, for the message.
        index: (N,) names of the points' rows.

    Raises:
        DatasetNotFoundError: If there is no such file.
        FileFormatError: If it is damaged, or of another scan.
    """
    (raw,), names = _numbers(path, ("class",))
    if raw.dtype.kind == "f" and len(raw) and (raw == np.floor(raw)).all():
        raw = raw.astype(np.int64)  # whole numbers, as pandas makes them beside missing values
    if raw.dtype.kind not in "iu":
        msg = f"{path}: its class ids have the type {raw.dtype}, expected whole numbers."
        raise FileFormatError(msg)
    if np.array_equal(names, index):
        return raw.astype(np.int64)
    counted = np.array_equal(index, np.arange(len(index)))  # an index that was made anew, perhaps
    if len(raw) < len(index) or (len(raw) > len(index) and counted):
        msg = (
            f"{path} has {len(raw)} labels, expected {len(index)}, the number of points in "
            f"{scan}; one of the two is of another frame or damaged, or points were left out and "
            "their index made anew."
        )
        raise FileFormatError(msg)
    return raw.astype(np.int64)[_rows_of(index, names, path, scan)]


def _rows_of(wanted: Array, names: Array, path: Path, scan: Path) -> NDArray[np.int64]:
    """Row of each wanted name.

    Raises:
        FileFormatError: If a name is not there, or stands at several rows.
    """
    if "O" in {wanted.dtype.kind, names.dtype.kind}:
        wanted, names = (np.array([repr(n) for n in some.tolist()]) for some in (wanted, names))
    order = np.argsort(names, kind="stable")
    ordered = names[order]
    place = np.minimum(np.searchsorted(ordered, wanted), max(len(names) - 1, 0))
    lacking = ordered[place] != wanted
    if lacking.any():
        first = shown(wanted[lacking][0].item())
        msg = (
            f"{path} has no label for {lacking.sum()} of the {len(wanted)} points in {scan}, by "
            f"the index of the two tables, first {first}; write both with the same index."
        )
        raise FileFormatError(msg)
    if (ordered[1:] == ordered[:-1]).any() or len(np.unique(wanted)) != len(wanted):
        msg = (
            f"{path} and {scan} have different indexes in which names repeat, so which label is "
            "of which point is unknown; write both with the same index."
        )
        raise FileFormatError(msg)
    return order[place]


def _numbers(path: Path, names: tuple[str, ...]) -> tuple[list[Array], Array]:
    """The named columns, all of them numbers, and the index of the table."""
    table = read_dataframe(path)
    columns = number_columns(table, names)
    index = table.index()
    if len(index) != len(columns[0]):
        msg = f"its index names {len(index)} rows, its columns have {len(columns[0])}"
        raise _damaged(path, msg)
    return columns, index


def number_columns(table: Table, names: tuple[str, ...]) -> list[Array]:
    """The named columns of a table.

    Raises:
        FileFormatError: If one is missing, or holds anything but numbers.
    """
    absent = [name for name in names if name not in table.names]
    if absent:
        raise _foreign(f"{absent[0]!r} is missing", names, table)
    columns = [_plain(column) for column in table.columns(names)]
    for name, column in zip(names, columns, strict=True):
        if column.dtype.kind not in "biuf":
            raise _foreign(f"{name!r} is not numbers but {column.dtype}", names, table)
    return columns


def _plain(column: Array) -> Array:
    """Numbers kept as objects, as what they are."""
    if column.dtype != object or not all(type(n) in {int, float} for n in column.tolist()):
        return column
    return np.array(column.tolist())


def _foreign(found: str, names: tuple[str, ...], table: Table) -> FileFormatError:
    there = ", ".join(shown(name, limit=20) for name in table.names[:_MAX_SHOWN])
    return FileFormatError(
        f"{table.path}: its column {found}, expected the columns {', '.join(names)}; found "
        f"{there or 'none'}{', …' if len(table.names) > _MAX_SHOWN else ''}. Is it another data "
        "set's file?"
    )


def _damaged(path: Path, found: str) -> FileFormatError:
    return FileFormatError(f"{path}: {found}; it is damaged. Unpack it again.")
