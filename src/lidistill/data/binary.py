"""Scans and label files that are nothing but numbers, one record after the other.

Shape letters: N points, C columns.
"""

from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from lidistill.errors import DatasetNotFoundError, FileFormatError

_FAR: Final = 1e4  # metres; no lidar reaches it, and flipped bits soon do


def read_scan(path: Path, num_columns: int) -> NDArray[np.float32]:
    """(N, C) little-endian float32 records whose first three columns are x, y, z in metres.

    Raises:
        DatasetNotFoundError: If there is no such file.
        FileFormatError: If it is empty, ends within a record, or holds what no lidar measures.
    """
    content = _read(path)
    record = 4 * num_columns
    if not content or len(content) % record:
        msg = (
            f"scan {path} has {len(content)} bytes, expected a positive multiple of {record} "
            f"({num_columns} float32 a point); it is cut off or of another format. Unpack it again."
        )
        raise FileFormatError(msg)
    scan = np.frombuffer(content, dtype="<f4").reshape(-1, num_columns)
    if not (np.isfinite(scan).all() and np.abs(scan[:, :3]).max() <= _FAR):
        wrong = ~np.isfinite(scan).all(axis=1) | (np.abs(scan[:, :3]) > _FAR).any(axis=1)
        first = int(np.flatnonzero(wrong)[0])
        msg = (
            f"scan {path}: {wrong.sum()} of its {len(scan)} points are not finite or farther than "
            f"{_FAR:g} m, first point {first}; it is damaged or of another format. Unpack it again."
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
    content = _read(path)
    expected = num_points * np.dtype(dtype).itemsize
    if len(content) != expected:
        msg = (
            f"label file {path} has {len(content)} bytes, expected {expected} for the {num_points} "
            "points of its scan; one of the two is cut off or of another frame. Unpack both again."
        )
        raise FileFormatError(msg)
    return np.frombuffer(content, dtype=dtype)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        msg = f"{path} does not exist any more; unpack its folder again."
        raise DatasetNotFoundError(msg) from error
