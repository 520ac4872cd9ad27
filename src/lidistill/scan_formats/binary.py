"""Scans and label files that are nothing but numbers, one record after the other.

Shape letters: N points, C columns.
"""

from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from lidistill.errors import FileFormatError
from lidistill.reading.files import read_file
from lidistill.scan_formats.record_layout import other_layout
from lidistill.scan_formats.returns import has_return

MAX_RANGE: Final = 1e4
"""Metres that no lidar reaches, and flipped bits soon do."""
_TELLING: Final = 2_000  # numbers; fewer tell nothing
_MANY: Final = 120_000  # numbers that are looked at; they divide by every count of columns
_USUAL_COLUMNS: Final = (3, 4, 5, 6, 7, 8)
_CLEARLY: Final = 3.0
_NEARLY: Final = 0.8
_SMALL: Final = 1e-3
_NO_INTENSITY: Final = -10.0
_LOW_SHARE: Final = 0.05
CLASS_BITS: Final = 0xFFFF
"""Of SemanticKITTI's labels; the other half counts instances."""


def read_scan(path: Path, num_columns: int) -> NDArray[np.float32]:
    """(N, C) little-endian float32 records whose first three columns are x, y, z in metres.

    Where a coordinate is not finite or all are 0, no beam came back: all three are NaN.

    Raises:
        DatasetNotFoundError: If there is no such file.
        FileFormatError: If it is empty, ends within a record, or holds what no lidar measures.
    """
    content = read_file(path)
    found = other_layout(content)
    if found is not None:
        msg = (
            f"scan {path} is {found}, expected {num_columns} float32 a point and nothing else; "
            "write it so. Own recordings (kind: folder) may have scans in npy, pcd or ply."
        )
        raise FileFormatError(msg)
    record = 4 * num_columns
    if not content or len(content) % record:
        msg = (
            f"scan {path} has {len(content)} bytes, expected a positive multiple of {record} "
            f"({num_columns} float32 a point); it is cut off or of another format. Unpack it again."
        )
        raise FileFormatError(msg)
    scan = np.frombuffer(content, dtype="<f4").reshape(-1, num_columns)
    check_num_columns(scan, path)
    returned = has_return(scan[:, :3])
    values = scan if returned.all() else scan[returned]
    if not len(values):
        raise nothing_returned(path, len(scan))
    if not (np.isfinite(values).all() and np.abs(values[:, :3]).max() <= MAX_RANGE):
        wrong = returned & ~(
            np.isfinite(scan).all(axis=1) & (np.abs(scan[:, :3]) <= MAX_RANGE).all(axis=1)
        )
        first = int(np.flatnonzero(wrong)[0])
        msg = (
            f"scan {path}: {wrong.sum()} of its {len(scan)} points are farther than "
            f"{MAX_RANGE:g} m or have values that are not finite, first point {first}; it is "
            "damaged or of another format. Unpack it again."
        )
        raise FileFormatError(msg)
    scan = scan.astype(np.float32)
    scan[~returned, :3] = np.nan
    return scan


def check_num_columns(scan: NDArray[np.float32], path: Path) -> None:
    """Refuse numbers that were written with another number of columns than they are read with.

    Columns differ in size: x and y go up to tens of metres, z to a few, a ring is a whole number.
    With the right number of columns the sizes of a column's values agree, with another one all
    columns are mixtures of all.

    Args:
        scan: (N, C) numbers as they were read.
        path: The file, for the message.

    Raises:
        FileFormatError: If another number of columns fits far better.
    """
    numbers, found = scan.reshape(-1), scan.shape[1]
    if len(numbers) < _TELLING:
        return
    sizes = np.minimum(np.nan_to_num(np.abs(numbers[:_MANY])), MAX_RANGE)
    # Of two returns of a beam the second is often missing: every other point, which is no column.
    sizes.reshape(-1, found)[~has_return(scan[: len(sizes) // found, :3])] = np.nan
    clear = {n: _contrast(sizes, n) for n in _USUAL_COLUMNS if not len(numbers) % n}
    best = max(clear.values(), default=0.0)
    if best > _CLEARLY * _contrast(sizes, found):
        # Twice the right number fits as well.
        other = min(n for n, contrast in clear.items() if contrast > _NEARLY * best)
        msg = (
            f"scan {path} is read as {found} float32 a point, but looks like {other} a point, or "
            f"like float64; write it with {found} (four for .bin, five for .pcd.bin), or in a "
            "format with a header (npy, pcd, ply)."
        )
        raise FileFormatError(msg)


def _contrast(sizes: NDArray[np.float32], num_columns: int) -> float:
    """How much larger the numbers of one column are than those of another; NaN counts nowhere."""
    rows = sizes[: len(sizes) // num_columns * num_columns].reshape(-1, num_columns)
    there = np.isfinite(rows)
    count = np.count_nonzero(there, axis=0)
    mean = np.where(there, rows, 0).sum(axis=0)[count > 0] / count[count > 0]
    return float((mean.max(initial=0) + _SMALL) / (mean.min(initial=MAX_RANGE) + _SMALL))


def check_intensity(scan: NDArray[np.float32], path: Path, what: str) -> None:
    """Refuse a fourth column that holds coordinates.

    Corrupted sets, and other lidars in the same layout, go beyond the sensor's own scale; they are
    read as they are.

    Args:
        scan: (N, C) with C of at least 4.
        path: The file, for the message.
        what: Name and scale of the column.

    Raises:
        FileFormatError: If many of its values lie far below zero.
    """
    num_low = int(np.count_nonzero(scan[:, 3] < _NO_INTENSITY))
    if num_low > _LOW_SHARE * len(scan):
        msg = (
            f"scan {path}: its fourth column, {what} but below {_NO_INTENSITY:g} in {num_low} of "
            f"{len(scan)} points; it is damaged or of another format (four float32 a point for "
            ".bin, five for .pcd.bin)."
        )
        raise FileFormatError(msg)


def nothing_returned(path: Path, num_points: int) -> FileFormatError:
    """What is wrong with a scan in which no beam came back."""
    msg = (
        f"scan {path}: none of its {num_points} points has a place (all are at (0, 0, 0) or not "
        "finite); leave the scan out."
    )
    return FileFormatError(msg)


def read_label_ids(path: Path, dtype: str, num_points: int) -> NDArray[np.integer]:
    """(N,) raw label ids.

    Args:
        path: The label file.
        dtype: Type on disk, for example ``"<u4"``.
        num_points: N, the points of the scan.

    Raises:
        DatasetNotFoundError: If there is no such file.
        FileFormatError: If it has not one id for every point.
    """
    content = read_file(path)
    expected = num_points * np.dtype(dtype).itemsize
    if len(content) != expected:
        advice = "one of the two is cut off or of another frame. Unpack both again."
        bits = [8 * size for size in (1, 2, 4, 8) if len(content) == size * num_points]
        if bits:
            advice = (
                f"it looks like ids of {bits[0]} bits, one for each point; write them with "
                f"{8 * np.dtype(dtype).itemsize} bits, or those of own recordings as .npy."
            )
        msg = (
            f"label file {path} has {len(content)} bytes, expected {expected} for the {num_points} "
            f"points of its scan; {advice}"
        )
        raise FileFormatError(msg)
    return np.frombuffer(content, dtype=dtype)


def check_class_bits(whole: NDArray[np.integer], path: Path) -> None:
    """Refuse SemanticKITTI's labels whose type is another one: every point would be of class 0.

    Args:
        whole: (N,) class in the low 16 bits, instance in the others.
        path: The file, for the message.

    Raises:
        FileFormatError: If no point has a class and some have an instance.
    """
    if (whole & CLASS_BITS).any() or not whole.any():
        return
    floats = whole.astype("<u4").view("<f4")
    are_floats = np.isfinite(floats).all() and (floats == np.floor(floats)).all()
    msg = (
        f"label file {path} has 0 in the low 16 bits of all {len(whole)} points, where the class "
        f"is, and other numbers above them; it looks like {'float32' if are_floats else 'uint32'}"
        f"{'' if are_floats else ' in big-endian order'}. Write little-endian uint32 "
        "(array.astype('<u4')), or those of own recordings as .npy."
    )
    raise FileFormatError(msg)
