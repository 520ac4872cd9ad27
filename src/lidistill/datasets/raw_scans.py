"""Corrupted scans and labels, written in the data set's own file format.

Shape letters: N points before, M points after, C columns of a file.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lidistill.reading.files import read_file
from lidistill.records import Frame


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangedPoints:
    """What takes the place of the points of a frame."""

    points: NDArray[np.float32]
    """(M, 3) metres in the lidar's frame."""
    intensity: NDArray[np.float32]
    """(M,) in the sensor's own scale."""
    source: NDArray[np.int64]
    """(M,) the point of the frame that each was."""
    added: NDArray[np.bool_]
    """(M,) whether a point shows no class any more."""
    added_id: int
    """Raw id of those."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RawScans:
    """Where the files of frames lie, and what is in them when points change."""

    root: Path
    files: Callable[[int], tuple[str, str]]
    """Paths below the root of a frame's scan and labels, by its position in the data set, as they
    are written."""
    tables: tuple[str, ...]
    """Paths below the root of all that is not about one frame alone."""
    encode_files: Callable[[Path, Path, Frame, ChangedPoints], tuple[bytes, bytes | None]]
    """Content of a scan and its labels with other points, from the paths of both as they are."""
    originals: Callable[[int], tuple[str, str]] | None = None
    """Paths of both as they are, where what is written has other names than ``files`` say."""

    def scan_file(self, index: int) -> str:
        """Path of a frame's scan below the root."""
        return self.files(index)[0]

    def label_file(self, index: int) -> str:
        """Path of a frame's labels below the root, whether it is there or not."""
        return self.files(index)[1]

    def encode(
        self, index: int, frame: Frame, changed: ChangedPoints
    ) -> tuple[bytes, bytes | None]:
        """Content of both files with other points; no labels where the frame has none."""
        scan, labels = (self.originals or self.files)(index)
        return self.encode_files(self.root / scan, self.root / labels, frame, changed)


def encode_plain(
    scan: Path,
    labels: Path,
    frame: Frame,
    changed: ChangedPoints,
    *,
    num_columns: int,
    label_dtype: str,
) -> tuple[bytes, bytes | None]:
    """Both files of a set whose scans and labels are nothing but numbers.

    Other columns, and raw ids with whatever they say of instances, go with their points. What has
    no place in the lidar's frame stays as it was stored.

    Args:
        scan: File that the frame's points were read from.
        labels: File of its labels, which need not be there where the frame has none.
        frame: What was read.
        changed: What takes the place of its points.
        num_columns: C, float32 of a point: x, y, z, intensity, and perhaps more.
        label_dtype: Type of a raw id, for example ``"<u4"``.
    """
    rows = np.frombuffer(read_file(scan), "<f4").reshape(-1, num_columns)[changed.source]
    seen = np.isfinite(changed.points[:, 0])
    rows[seen, :3] = changed.points[seen]
    rows[:, 3] = changed.intensity
    if frame.labels is None:
        return rows.tobytes(), None
    ids = np.frombuffer(read_file(labels), label_dtype)[changed.source]
    ids[changed.added] = changed.added_id
    return rows.tobytes(), ids.tobytes()
