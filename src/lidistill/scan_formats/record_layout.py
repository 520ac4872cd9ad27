"""What a scan is that should be nothing but float32 records, and is not."""

from typing import Final

import numpy as np

_NUM_TELLING: Final = 4096  # numbers looked at
_SMALLEST: Final = 1e-3
_LARGEST: Final = 1e4
_SHARE: Final = 0.8  # of real scans: at most 0.38 of float32 in pairs, at least 0.93 of float64
_MAGIC: Final = {
    b"\x93NUMPY": "a NumPy file (.npy)",
    b"# .PCD": "a PCD file",
    b"VERSION ": "a PCD file",
    b"ply\n": "a PLY file",
    b"ply\r": "a PLY file",
    b"PK\x03\x04": "a zip archive (.npz)",
    b"\x1f\x8b": "a gzip file",
}


def other_layout(content: bytes) -> str | None:
    """Name of the layout that bytes clearly have, where it is not float32 records.

    Float32 numbers read in pairs as float64 are of every size from 1e-308 on; those of a scan that
    was written as float64 are metres, intensities and rings.
    """
    for magic, name in _MAGIC.items():
        if content.startswith(magic):
            return name
    numbers = np.frombuffer(content[: len(content) // 8 * 8][: 8 * _NUM_TELLING], dtype="<f8")
    sizes = np.abs(numbers[numbers != 0])
    usual = np.count_nonzero((sizes >= _SMALLEST) & (sizes <= _LARGEST))
    if len(sizes) > len(numbers) // 4 and usual >= _SHARE * len(sizes):
        return "float64 records"
    return None
