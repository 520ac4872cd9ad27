"""Scans and label files that are nothing but numbers, one record after the other.

Shape letters: N points, C columns.
"""

from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from lidistill.errors import FileFormatError
from lidistill.reading.files import read_file

MAX_RANGE: Final = 1e4
"""Metres that no lidar reaches, and flipped bits soon do."""


def read_scan(path: Path, num_columns: int) -> NDArray[np.float32]:
    """(N, C) little-endian float32 records whose first three columns are x, y, z in metres.

    Raises:
        DatasetNotFoundError: If there is no such file.
        FileFormatError: If it is empty, ends within a record, or holds what no lidar measures.
    """
    content = read_file(path)
    record = 4 * num_columns
    if not content or len(content) % record:
        msg = (
            f"scan {path} has {len(content)} bytes, expected a positive multiple of {record} "
            f"({num_columns} float32 a point); it is cut off or of another format. Unpack it again."
        )
        raise FileFormatError(msg)
    scan = np.frombuffer(content, dtype="<f4").reshape(-1, num_columns)
    if not (np.isfinite(scan).all() and np.abs(scan[:, :3]).max() <= MAX_RANGE):
        wrong = ~np.isfinite(scan).all(axis=1) | (np.abs(scan[:, :3]) > MAX_RANGE).any(axis=1)
        first = int(np.flatnonzero(wrong)[0])
        msg = (
            f"scan {path}: {wrong.sum()} of its {len(scan)} points are not finite or farther than "
            f"{MAX_RANGE:g} m, first point {first}; it is damaged or of another format. "
            "Unpack it again."
        )
        raise FileFormatError(msg)
    return scan.astype(np.float32)


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
        msg = (
            f"label file {path} has {len(content)} bytes, expected {expected} for the {num_points} "
            "points of its scan; one of the two is cut off or of another frame. Unpack both again."
        )
        raise FileFormatError(msg)
    return np.frombuffer(content, dtype=dtype)
