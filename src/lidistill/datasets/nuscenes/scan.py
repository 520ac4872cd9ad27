"""A scan of nuScenes: five float32 a point."""

from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from lidistill.errors import FileFormatError
from lidistill.scan_formats.binary import check_intensity, read_scan
from lidistill.scan_formats.returns import has_return

NUM_COLUMNS: Final = 5  # x, y, z, intensity, ring
_NO_RING: Final = -1  # of other lidars in this layout, which may have any number of rings
_MAX_RINGS: Final = 4096


def read_key_scan(path: Path) -> NDArray[np.float32]:
    """(N, 5) x, y, z in metres, intensity and ring.

    Raises:
        DatasetNotFoundError: If there is no such file.
        FileFormatError: If it is damaged or of another format.
    """
    scan = read_scan(path, NUM_COLUMNS)
    ring = scan[has_return(scan[:, :3]), 4]
    if not ((ring >= _NO_RING) & (ring < _MAX_RINGS) & (ring == np.floor(ring))).all():
        msg = (
            f"scan {path}: read as five float32 a point, its fifth column does not count "
            f"rings (whole numbers from {_NO_RING}, unknown, to {_MAX_RINGS - 1}). Write five "
            "columns, x y z intensity ring; a column of zeros will do for a lidar without."
        )
        raise FileFormatError(msg)
    check_intensity(scan, path, "the intensity, is not in 0 to 255")
    return scan
