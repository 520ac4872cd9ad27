"""Writes the points of an E57 file to standard output; run by ``run_in_child`` alone.

First a line of JSON, ``{"names": [...]}``, then the (N,) float64 values of each name. The library
parses XML that may unfold without bounds, and is in C++.
"""

import importlib
import json
import sys
from typing import Any

_AXES = ("cartesianX", "cartesianY", "cartesianZ")
_INVALID = "cartesianInvalidState"


def columns(path: str, max_points: int) -> dict[str, Any]:
    """(N,) values of every number of a point, by its name in the file.

    Points that the file marks as invalid are NaN, and stay in their rows.

    Args:
        path: The file.
        max_points: More than so many are refused.
    """
    numpy = importlib.import_module("numpy")
    archive = importlib.import_module("pye57").E57(path)
    if archive.scan_count != 1:
        sys.exit(f"{archive.scan_count} scans in one file, expected 1")
    header = archive.get_header(0)
    if not 0 < header.point_count <= max_points:
        sys.exit(f"it claims {header.point_count} points, expected 1 to {max_points}")
    if not set(_AXES) <= set(header.point_fields):
        found = ", ".join(header.point_fields)[:100]
        sys.exit(f"its points have {found}, expected cartesianX, Y and Z")
    table = archive.read_scan_raw(0, ignore_unsupported_fields=True)
    invalid = table.pop(_INVALID, None)
    table = {name: numpy.asarray(values, dtype="<f8") for name, values in table.items()}
    if invalid is not None:
        for axis in _AXES:
            table[axis][numpy.asarray(invalid) != 0] = numpy.nan
    return table


if __name__ == "__main__":
    try:
        table = columns(sys.argv[1], int(sys.argv[2]))
    except Exception as error:  # noqa: BLE001  whatever it is, the parent names the file
        sys.exit(" ".join(str(error).split())[:160] or type(error).__name__)
    sys.stdout.buffer.write(json.dumps({"names": list(table)}).encode() + b"\n")
    for values in table.values():
        sys.stdout.buffer.write(values.tobytes())
