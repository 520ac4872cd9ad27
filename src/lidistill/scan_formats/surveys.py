"""LAS, LAZ and E57, which optional packages read.

Shape letters: N points.
"""

import json
import os
import struct
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from lidistill.errors import FileFormatError, require
from lidistill.reading.child_process import run_in_child
from lidistill.reading.files import open_file
from lidistill.records import Array
from lidistill.scan_formats.columns import MAX_POINTS, MAX_UNPACKED, check_points

_HEADER: Final = 227  # bytes of the oldest LAS header
_VLR: Final = 54  # bytes of the smallest variable length record
_EXTENDED_VLR: Final = 60
_MAX_VLRS: Final = 1000
_MAX_DESCRIPTION: Final = 4096  # bytes of what a file says of its compression; real ones have 60
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
    require("lazrs", extra="las")
    damaged = (laspy.LaspyException, struct.error, OSError, OverflowError)
    try:
        with open_file(path, max_bytes=MAX_UNPACKED) as file:
            num_bytes = _check_las_header(file.read(375), file.seek(0, os.SEEK_END), path)
            file.seek(0)
            header = laspy.LasHeader.read_from(file)
            available = MAX_UNPACKED if header.are_points_compressed else num_bytes
            claimed = header.point_count * header.point_format.size
            if not 0 < claimed <= available:
                raise _too_many(path, f"{header.point_count} points", f"{claimed} bytes")
            check_points(header.point_count, path)
            if header.are_points_compressed:
                records = _unpack(path, header)
            else:
                file.seek(header.offset_to_point_data)
                records = file.read(claimed)
        if len(records) != claimed:
            raise _damaged(path, f"only {len(records)} of {claimed} bytes of points")
        return _las_columns(laspy, header, records)
    except (*damaged, ValueError, IndexError, KeyError, TypeError, AttributeError) as error:
        raise _damaged(path, " ".join(str(error).split())[:200]) from error


def _unpack(path: Path, header: Any) -> bytes:
    descriptions = header.vlrs.get("LasZipVlr")
    if len(descriptions) != 1 or len(descriptions[0].record_data) > _MAX_DESCRIPTION:
        raise _damaged(path, "it does not say how it is compressed")
    return run_in_child(
        Path(__file__).with_name("laz_child.py"),
        str(path),
        *(str(n) for n in (header.offset_to_point_data, header.point_count)),
        str(header.point_format.size),
        bytes(descriptions[0].record_data).hex(),
    )


def _las_columns(laspy: Any, header: Any, records: bytes) -> dict[str, Array]:
    packed: NDArray[Any] = np.frombuffer(records, header.point_format.dtype())
    points = laspy.ScaleAwarePointRecord(
        packed, header.point_format, scales=header.scales, offsets=header.offsets
    )
    names = [name for name in points.point_format.dimension_names if name not in "XYZ"]
    table = {name: np.asarray(points[name]) for name in ("x", "y", "z", *names)}
    return {name: values for name, values in table.items() if values.ndim == 1}


def read_e57(path: Path) -> dict[str, Array]:
    """Columns of the only scan of an E57 file, in the scanner's own frame.

    Points that the file marks as invalid are NaN.

    Raises:
        FileFormatError: If it is damaged, has more than one scan, or has no Cartesian coordinates.
        MissingPackageError: If ``pye57`` is not installed.

    References:
        ASTM E2807, "Standard Specification for 3D Imaging Data Exchange".
    """
    require("pye57", extra="e57")
    with open_file(path, max_bytes=MAX_UNPACKED) as file:
        if file.read(8) != b"ASTM-E57":
            raise _damaged(path, "it does not start with an E57 header")
    try:
        script = Path(__file__).with_name("e57_child.py")
        head, _, values = run_in_child(script, str(path), str(MAX_POINTS)).partition(b"\n")
        names = json.loads(head)["names"]
        table = np.frombuffer(values, "<f8").reshape(len(names), -1)
    except ValueError as error:
        raise _damaged(path, str(error)) from error
    return {_E57_NAMES.get(name, name): row for name, row in zip(names, table, strict=True)}


def _check_las_header(start: bytes, num_bytes: int, path: Path) -> int:
    """Refuse counts that the file cannot hold, before its reader loops over them."""
    if len(start) < _HEADER or start[:4] != b"LASF":
        raise _damaged(path, "it does not start with a LAS header")
    header_size, offset, num_records = struct.unpack_from("<HII", start, 94)
    fits = header_size + num_records * _VLR <= offset <= num_bytes
    if start[25] >= 4 and len(start) >= 247:
        (num_extended,) = struct.unpack_from("<I", start, 243)
        fits &= num_extended * _EXTENDED_VLR <= num_bytes
    if not fits or num_records > _MAX_VLRS:
        raise _damaged(path, "its header counts more than the file has")
    return num_bytes


def _damaged(path: Path, reason: str) -> FileFormatError:
    return FileFormatError(f"scan {path} cannot be read ({reason}); copy or write it again.")


def _too_many(path: Path, num: str, size: str) -> FileFormatError:
    msg = (
        f"scan {path} claims {num} ({size}), expected at least one and no more than the file can "
        f"hold or {MAX_UNPACKED} bytes unpacked; it is damaged, or is no single scan."
    )
    return FileFormatError(msg)
