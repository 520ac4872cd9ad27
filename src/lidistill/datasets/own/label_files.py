"""Label files of a user's own scans: .label as SemanticKITTI has them, or .npy."""

from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from lidistill.reading.files import read_file
from lidistill.scan_formats.arrays import read_array
from lidistill.scan_formats.binary import read_label_ids

_CLASS_BITS: Final = 0xFFFF  # of a .label file, as in SemanticKITTI; the others count instances


def read_ids(path: Path, num_points: int) -> NDArray[np.generic]:
    """(N,) raw class ids of a scan, or what a .npy holds in their place."""
    if path.suffix.lower() == ".npy":
        return read_array(read_file(path), str(path))
    return read_label_ids(path, "<u4", num_points) & _CLASS_BITS
