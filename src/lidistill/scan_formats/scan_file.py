"""One scan from one file, whatever its format.

Shape letters: N points.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from lidistill.errors import FileFormatError
from lidistill.reading.files import read_file
from lidistill.reading.names import listed
from lidistill.records import Array
from lidistill.scan_formats.arrays import parse_npy, parse_npz
from lidistill.scan_formats.binary import (
    MAX_RANGE,
    check_intensity,
    check_num_columns,
    nothing_returned,
)
from lidistill.scan_formats.columns import (
    MAX_UNPACKED,
    Column,
    check_size,
    record_type,
    split_records,
)
from lidistill.scan_formats.intensities import (
    NO_INTENSITY,
    as_intensity,
    check_finite,
    intensity_column,
    mark_unknown,
    plain_name,
)
from lidistill.scan_formats.pcd import parse_pcd
from lidistill.scan_formats.ply import parse_ply
from lidistill.scan_formats.returns import mark_missing
from lidistill.scan_formats.surveys import read_e57, read_las


@dataclass(frozen=True, slots=True, kw_only=True)
class Scan:
    """What a scan file holds."""

    points: NDArray[np.float32]
    """(N, 3) metres, in the frame of the file; all three NaN where nothing came back."""
    intensity: NDArray[np.float32] | None
    """(N,) in the file's own scale; None if it has no such column."""
    columns: Mapping[str, Array]
    """(N,) every other number of a point, by its name in the file: time, ring, label, …"""


def scan_suffix(path: Path) -> str | None:
    """The ending that tells a scan's format, or None if it is none of ``SCAN_SUFFIXES``."""
    name = path.name.lower()
    # ``.pcd.bin`` before ``.bin``.
    fitting = [suffix for suffix in SCAN_SUFFIXES if name.endswith(suffix) and name != suffix]
    return max(fitting, key=len, default=None)


RECORDING_SUFFIXES: Final = (".mcap", ".bag", ".db3", ".mcap.zstd", ".db3.zstd", ".bag.zstd")
"""Endings of ROS bags, which hold scans among other messages."""


def instead_of_scans(names: Iterable[str]) -> str:
    """Advice where files of these names were given, and none of them is a scan; or ""."""
    lowered = [name.lower() for name in names]
    if any(name.endswith(RECORDING_SUFFIXES) for name in lowered):
        return " Unpack bags first (`lidistill data unpack`)."
    if any(name.endswith((".pkl", ".pkl.gz", ".feather")) for name in lowered):
        return " Scans of a data set's own format are read from its root by `view` and `index`."
    return ""


def read_scan(path: Path, *, intensity: str | None = None) -> Scan:
    """Read a scan; its name's ending tells the format (``SCAN_SUFFIXES``).

    A point with a coordinate that is not finite, or at (0, 0, 0), is a beam that did not come back;
    its three coordinates become NaN, and it stays, so that labels still fit. So does one without a
    finite intensity, where others have one and the format has a header.

    Args:
        path: The file.
        intensity: Name of the column to take as intensity; None: the first that is there of
            intensity, i, reflectivity, remission, reflectance, however it is capitalised; ``none``:
            the same, but it plays no part, and may be anything.

    Raises:
        DatasetNotFoundError: If there is no such file.
        FileFormatError: If it is damaged, of an unknown format, or holds what no lidar measures.
        MissingPackageError: If its format needs an optional package.
    """
    suffix = scan_suffix(path)
    if suffix is None:
        msg = f"scan {path}: unknown format; expected a name that ends in "
        raise FileFormatError(f"{msg}{', '.join(SCAN_SUFFIXES)}.{instead_of_scans([path.name])}")
    return scan_of_columns(_READERS[suffix](path), path, intensity=intensity)


def scan_of_columns(
    table: Mapping[str, Array], path: Path, *, intensity: str | None = None
) -> Scan:
    """A scan from columns by their names, whatever they were read from; see ``read_scan``.

    Args:
        table: (N,) columns.
        path: What to call it in errors.
        intensity: See ``read_scan``.

    Raises:
        FileFormatError: If x, y or z is missing, or a column holds what no lidar measures.
    """
    names = _plain_names(table)
    points = _points(table, names, path)
    chosen = intensity_column(names, table, intensity, path)
    values = None if chosen is None else as_intensity(table[chosen])
    if chosen is not None and values is not None and intensity != NO_INTENSITY:
        points = mark_unknown(values, points, column=chosen, path=path)
    used = {names["x"], names["y"], names["z"], chosen}
    return Scan(
        points=points,
        intensity=values,
        columns={name: values for name, values in table.items() if name not in used},
    )


def _plain_names(table: Mapping[str, Array]) -> dict[str, str]:
    """The file's own name of every column, by its name in lower case without a prefix."""
    return {plain_name(name): name for name in reversed(list(table))}


def _points(
    table: Mapping[str, Array], names: Mapping[str, str], path: Path
) -> NDArray[np.float32]:
    lengths = {len(values) for values in table.values()}
    if not {"x", "y", "z"} <= set(names) or len(lengths) != 1 or lengths == {0}:
        found = listed(f"{name[:60]} ({len(values)})" for name, values in table.items())
        msg = (
            f"scan {path} has the columns {found}, expected x, y and z, and as "
            "many values in each, at least one; it is of another kind or damaged. Write it again."
        )
        raise FileFormatError(msg)
    columns = [table[names[axis]] for axis in "xyz"]
    single = all(column.dtype == np.float32 for column in columns)
    precision: type[np.floating] = np.float32 if single else np.float64
    xyz = mark_missing(np.stack(columns, axis=1).astype(precision))
    near = (np.abs(xyz) <= MAX_RANGE).all(axis=1)
    if near.all():
        return xyz.astype(np.float32)
    empty = np.isnan(xyz).all(axis=1)
    wrong = ~near & ~empty
    if empty.all():
        raise nothing_returned(path, len(xyz))
    if wrong.any():
        first = int(np.flatnonzero(wrong)[0])
        msg = (
            f"scan {path}: {int(wrong.sum())} of its {len(xyz)} points are farther than "
            f"{MAX_RANGE:g} m, first point {first} {xyz[first].tolist()}; points are wanted in "
            "metres, in the lidar's own frame."
        )
        raise FileFormatError(msg)
    return xyz.astype(np.float32)


def _of_bytes(
    parse: Callable[[bytes, Path], dict[str, Array]],
) -> Callable[[Path], dict[str, Array]]:
    return lambda path: parse(read_file(path, max_bytes=MAX_UNPACKED), path)


def _flat(*names: str) -> Callable[[bytes, Path], dict[str, Array]]:
    columns = [Column(name=name, dtype="<f4") for name in names]
    record = sum(column.num_bytes for column in columns)

    def parse(content: bytes, source: Path) -> dict[str, Array]:
        num_points = -(-len(content) // record)  # a part of a point is one that is cut off
        check_size(len(content), columns, max(1, num_points), source)
        scan = np.frombuffer(content, "<f4").reshape(num_points, -1)
        check_num_columns(scan, source)
        check_finite(scan, source)
        check_intensity(scan, source, "the intensity, is not above 0")
        return split_records(np.frombuffer(content, record_type(columns)))

    return parse


_READERS: Final[dict[str, Callable[[Path], dict[str, Array]]]] = {
    ".bin": _of_bytes(_flat("x", "y", "z", "intensity")),
    ".pcd.bin": _of_bytes(_flat("x", "y", "z", "intensity", "ring")),
    ".npy": _of_bytes(parse_npy),
    ".npz": _of_bytes(parse_npz),
    ".pcd": _of_bytes(parse_pcd),
    ".ply": _of_bytes(parse_ply),
    ".las": read_las,
    ".laz": read_las,
    ".e57": read_e57,
}
SCAN_SUFFIXES: Final = tuple(_READERS)
"""Endings of the scan files that can be read; las, laz and e57 need the extra of that name."""
