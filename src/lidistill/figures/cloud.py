"""Coloured points as a PLY file, which every point cloud viewer opens.

Shape letters: N points.
"""

from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

_RECORD: Final = np.dtype([("xyz", "<f4", 3), ("rgb", "u1", 3)])


def write_ply(points: NDArray[np.float32], colors: NDArray[np.uint8], path: Path) -> int:
    """Write points and their colours; those that are not finite are left out.

    Args:
        points: (N, 3) metres.
        colors: (N, 3) red, green and blue.
        path: File to write.

    Returns:
        The number of points written.
    """
    finite = np.isfinite(points).all(axis=1)
    records = np.empty(int(finite.sum()), _RECORD)
    records["xyz"], records["rgb"] = points[finite], colors[finite]
    names = [f"property float {axis}" for axis in "xyz"]
    names += [f"property uchar {color}" for color in ("red", "green", "blue")]
    header = ["ply", "format binary_little_endian 1.0", f"element vertex {len(records)}", *names]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(("\n".join([*header, "end_header"]) + "\n").encode() + records.tobytes())
    return len(records)
