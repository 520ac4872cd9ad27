"""Where the files of a data set lie whose scans are nothing but numbers, and what is in them."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class RawScans:
    """Files of frames, so that changed scans can be written in the set's own layout."""

    root: Path
    num_columns: int
    """float32 numbers of a point: x, y, z, intensity, and perhaps more."""
    label_dtype: str
    """Type of a raw id on disk, for example ``"<u4"``."""
    scan_file: Callable[[int], str]
    """Path of a frame's scan below the root, by its position in the data set."""
    label_file: Callable[[int], str]
    """Path of a frame's labels below the root, whether it is there or not."""
    tables: tuple[str, ...]
    """Paths below the root of all that is not about one frame alone."""
