"""LAS, LAZ and E57, which optional packages read.

Shape letters: N points.
"""

import os
import struct
from pathlib import Path
from typing import Final

import numpy as np

from lidistill.data.scan_formats.columns import MAX_UNPACKED
from lidistill.errors import FileFormatError, require
from lidistill.reading.files import open_file
from lidistill.structures import Array

_HEADER: Final = 227  # bytes of the oldest LAS header
_VLR: Final = 54  # bytes of the smallest variable length record
_EXTENDED_VLR: Final = 60
_E57_RECORD: Final = 32  # bytes a point that its reader allocates: x, y, z, intensity as float64
_E57_NAMES: Final = {"cartesianX": "x", "cartesianY": "y", "cartesianZ": "z"}


def read_las(path: Path) -> dict[str, Array]:
    """Columns of a LAS or LAZ file, scaled; ``classification`` keeps its name.

    Raises:
        FileFormatError: If it is damaged, or unpacks to more than ``MAX_UNPACKED`` bytes.
        MissingPackageError: If ``laspy`` is not installed.

    References:
        ASPRS, "LAS Specification 1.4 - R15", section 2.
    """
    laspy = require("laspy", extra="las")
    compression = require("lazrs", extra="las")
    _check_las_header(path)
    damaged = (laspy.LaspyException, compression.LazrsError, struct.error, OSError, OverflowError)
    try:
        # With its pool of threads a process that was forked after a first scan would wait for ever.
        with laspy.open(path, laz_backend=laspy.LazBackend.Lazrs) as reader:
            header = reader.header
            available = MAX_UNPACKED if header.are_points_compressed else path.stat().st_size
            claimed = header.point_count * header.point_format.size
            if not 0 < claimed <= available:
                raise _too_many(path, f"{header.point_count} points", f"{claimed} bytes")
            points = reader.read().points
            if len(points) != header.point_count:
                raise _damaged(path, f"only {len(points)} of {header.point_count} points")
            names = [name for name in points.point_format.dimension_names if name not in "XYZ"]
            table = {name: np.asarray(points[name]) for name in ("x", "y", "z", *names)}
    except (*damaged, ValueError, IndexError, KeyError, TypeError, AttributeError) as error:
        raise _damaged(path, " ".join(str(error).split())) from error
    return {name: values for name, values in table.items() if values.ndim == 1}


def read_e57(path: Path) -> dict[str, Array]:
    """Columns of the only scan of an E57 file, in the scanner's own frame.

    Points that the file marks as invalid are left out by its reader.

    Raises:
        FileFormatError: If it is damaged, has more than one scan, or has no Cartesian coordinates.
        MissingPackageError: If ``pye57`` is not installed.

    References:
        ASTM E2807, "Standard Specification for 3D Imaging Data Exchange".
    """
    pye57 = require("pye57", extra="e57")
    with open_file(path) as file:
        if file.read(8) != b"ASTM-E57":
            raise _damaged(path, "it does not start with an E57 header")
    damaged = (pye57.libe57.E57Exception, RuntimeError, OSError, OverflowError, MemoryError)
    try:
        archive = pye57.E57(str(path))
        try:
            if archive.scan_count != 1:
                raise _damaged(path, f"{archive.scan_count} scans in one file, expected 1")
            header = archive.get_header(0)
            num_points = int(header.point_count)
            if not 0 < num_points * _E57_RECORD <= MAX_UNPACKED:
                raise _too_many(path, f"{num_points} points", f"{num_points * _E57_RECORD} bytes")
            if not set(_E57_NAMES) <= set(header.point_fields):
                found = ", ".join(header.point_fields)
                raise _damaged(path, f"its points have {found}, expected cartesianX, Y and Z")
            table = archive.read_scan(
                0, intensity=True, transform=False, ignore_missing_fields=True
            )
        finally:
            archive.close()
    except (*damaged, ValueError, KeyError, TypeError, AttributeError) as error:
        raise _damaged(path, " ".join(str(error).split())) from error
    return {_E57_NAMES.get(name, name): np.asarray(values) for name, values in table.items()}


def _check_las_header(path: Path) -> None:
    """Refuse counts that the file cannot hold, before its reader loops over them."""
    with open_file(path) as file:
        start = file.read(375)
        num_bytes = file.seek(0, os.SEEK_END)
    if len(start) < _HEADER or start[:4] != b"LASF":
        raise _damaged(path, "it does not start with a LAS header")
    header_size, offset, num_records = struct.unpack_from("<HII", start, 94)
    fits = header_size + num_records * _VLR <= offset <= num_bytes
    if start[25] >= 4 and len(start) >= 247:
        (num_extended,) = struct.unpack_from("<I", start, 243)
        fits &= num_extended * _EXTENDED_VLR <= num_bytes
    if not fits:
        raise _damaged(path, "its header counts more than the file has")


def _damaged(path: Path, reason: str) -> FileFormatError:
    return FileFormatError(f"scan {path} cannot be read ({reason}); copy or write it again.")


def _too_many(path: Path, num: str, size: str) -> FileFormatError:
    msg = (
        f"scan {path} claims {num} ({size}), expected at least one and no more than the file can "
        f"hold or {MAX_UNPACKED} bytes unpacked; it is damaged, or is no single scan."
    )
    return FileFormatError(msg)
