"""PandaSet's tables of points and of classes, checked against what its sensors can write.

Shape letters: N points of both lidars together, M of one.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from lidistill.data.dataframe_pickle import read_dataframe
from lidistill.errors import FileFormatError
from lidistill.geometry import MAX_WORLD
from lidistill.structures import Array

_MAX_INTENSITY: Final = 255


@dataclass(frozen=True, slots=True, kw_only=True)
class PointTable:
    """The scan of one lidar, from the table of both."""

    world: NDArray[np.float64]
    """(M, 3) metres, world coordinates."""
    intensity: NDArray[np.float32]
    """(M,) 0 to 255."""
    rows: NDArray[np.int64]
    """(M,) row of each point in the table."""
    num_rows: int
    """N, the rows of the table."""


def read_points(path: Path, device: int) -> PointTable:
    """Points of one frame and lidar.

    Args:
        path: The table.
        device: Value of its column ``d`` for the lidar: 0 for Pandar64, 1 for PandarGT.

    Raises:
        DatasetNotFoundError: If there is no such file.
        FileFormatError: If it is damaged, or holds what no lidar measures, be it the other lidar.
    """
    x, y, z, intensity, devices = _numbers(path, ("x", "y", "z", "i", "d"))
    if not all(_lie_in(column, -MAX_WORLD, MAX_WORLD) for column in (x, y, z)):
        raise _damaged(path, "some of its points are not finite or on no map")
    if not _lie_in(intensity, 0, _MAX_INTENSITY):
        raise _damaged(path, f"some intensities (i) are not in 0 to {_MAX_INTENSITY}")
    if not ((devices == 0) | (devices == 1)).all():
        raise _damaged(path, "some devices (d) are neither 0 nor 1")
    rows = np.flatnonzero(devices == device)
    world = np.empty((len(rows), 3))
    for axis, column in enumerate((x, y, z)):
        world[:, axis] = column[rows]
    return PointTable(
        world=world,
        intensity=intensity[rows].astype(np.float32),
        rows=rows,
        num_rows=len(devices),
    )


def _lie_in(column: Array, low: float, high: float) -> bool:
    """Whether all numbers lie between two, which NaN does not."""
    return not len(column) or bool(column.min() >= low and column.max() <= high)


def read_classes(path: Path, scan: Path, num_points: int) -> NDArray[np.int64]:
    """(N,) raw class ids of one frame.

    Args:
        path: The table.
        scan: The table of its points, for the message.
        num_points: N.

    Raises:
        DatasetNotFoundError: If there is no such file.
        FileFormatError: If it is damaged, or of another scan.
    """
    (raw,) = _numbers(path, ("class",))
    if len(raw) != num_points:
        msg = (
            f"{path} has {len(raw)} labels, expected {num_points}, the number of points in "
            f"{scan}; one of the two is of another frame or damaged."
        )
        raise FileFormatError(msg)
    if not np.issubdtype(raw.dtype, np.integer):
        msg = f"{path}: its class ids have the type {raw.dtype}, expected whole numbers."
        raise FileFormatError(msg)
    return raw.astype(np.int64)


def _numbers(path: Path, names: tuple[str, ...]) -> list[Array]:
    """The named columns, all of them numbers."""
    table = read_dataframe(path)
    for name in names:
        if name not in table or table[name].dtype.kind not in "iuf":
            found = f"not numbers but {table[name].dtype}" if name in table else "missing"
            msg = (
                f"{path}: its column {name!r} is {found}, expected the columns {', '.join(names)}; "
                f"found {', '.join(table)[:200] or 'none'}. Is it another data set's file?"
            )
            raise FileFormatError(msg)
    return [table[name] for name in names]


def _damaged(path: Path, found: str) -> FileFormatError:
    return FileFormatError(f"{path}: {found}; it is damaged. Unpack it again.")
