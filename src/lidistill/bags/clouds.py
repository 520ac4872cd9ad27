"""Scans: ``sensor_msgs/PointCloud2`` as structured arrays.

Shape letters: N points.
"""

from collections import Counter
from typing import Final

import numpy as np
from numpy.typing import NDArray

from lidistill.bags.messages import Cloud, Field, rows
from lidistill.reading.names import shown

_NUMBERS: Final = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 8: "f8"}
_FILLER: Final = ("", "_")
"""Names of fields that PCL writes to fill up a point."""
_MAX_OVERLAP: Final = 4
"""Times that fields may cover the bytes of a point; rgb and rgba share some."""


def cloud_records(cloud: Cloud, notes: Counter[str]) -> NDArray[np.void] | None:
    """(N,) structured points, packed, little-endian; None of a message without points.

    A point with a coordinate that is not finite has none: all three become NaN, which is how
    a beam that did not come back is written everywhere else.

    Args:
        cloud: The message.
        notes: What was left out or converted, counted; added to.

    Raises:
        ValueError: If its fields or sizes contradict each other.
    """
    step, width, height = cloud.point_step, cloud.width, cloud.height
    if not height * width and not cloud.data.size:
        return None
    names, codes, offsets = _layout(cloud, notes)
    if not height * width:
        msg = f"{cloud.data.size} bytes for {height} rows of {width} points"
        raise ValueError(msg)
    packed = rows(
        cloud.data, height=height, row_bytes=width * step, step=cloud.row_step, what="a cloud"
    )
    if cloud.row_step != width * step and cloud.data.size == height * width * step:
        notes["scans whose row_step does not fit: taken as rows without padding"] += 1
    layout = {"names": names, "formats": codes, "offsets": offsets, "itemsize": step}
    flat = np.ascontiguousarray(packed).reshape(-1)
    records = flat.view(np.dtype(layout))  # type: ignore[call-overload]
    plain = np.dtype([(name, "<" + code[1:]) for name, code in zip(names, codes, strict=True)])
    points = np.empty(len(records), dtype=plain)
    for name in names:
        points[name] = records[name]
    _blank(points, notes)
    return points


def _layout(cloud: Cloud, notes: Counter[str]) -> tuple[list[str], list[str], list[int]]:
    """Names, types and offsets of the fields with one number a point."""
    order = ">" if cloud.big_endian else "<"
    names: list[str] = []
    codes, offsets, covered = [], [], 0
    for field in cloud.fields:
        if field.name in _FILLER:
            continue
        covered += _size(field, cloud.point_step)
        if field.name in names:
            msg = f"two fields with the name {shown(field.name)}"
            raise ValueError(msg)
        if field.count > 1:
            notes[f"scans whose field {shown(field.name)} has several numbers: left out"] += 1
            continue
        names.append(field.name)
        codes.append(order + _NUMBERS[field.datatype])
        offsets.append(field.offset)
    if covered > _MAX_OVERLAP * cloud.point_step:
        msg = f"fields of {covered} bytes in points of {cloud.point_step}"
        raise ValueError(msg)
    if not {"x", "y", "z"} <= {name.lower() for name in names}:
        msg = f"the fields {shown(', '.join(names))}, expected x, y and z among them"
        raise ValueError(msg)
    return names, codes, offsets


def _size(field: Field, step: int) -> int:
    """Bytes of a field; one whose count is 0 has one number, as PCL reads it."""
    code = _NUMBERS.get(field.datatype)
    if code is None:
        msg = f"a field {shown(field.name)} of the type {field.datatype}, expected 1 to 8"
        raise ValueError(msg)
    size = np.dtype(code).itemsize * max(field.count, 1)
    if field.offset + size > step:
        msg = (
            f"a field {shown(field.name)} of {size} bytes at {field.offset}, which lies outside of "
            f"the {step} bytes of a point"
        )
        raise ValueError(msg)
    return size


def _blank(points: NDArray[np.void], notes: Counter[str]) -> None:
    axes = [name for name in points.dtype.names or () if name.lower() in {"x", "y", "z"}]
    floats = [name for name in axes if points.dtype[name].kind == "f"]
    finite = np.logical_and.reduce([np.isfinite(points[name]) for name in floats] or [True])
    blank = np.logical_and.reduce([np.isnan(points[name]) for name in floats] or [False])
    changed = ~finite & ~blank
    if np.any(changed):
        if len(floats) != 3:
            msg = "coordinates that are not finite, and others that are whole numbers"
            raise ValueError(msg)
        for name in floats:
            points[name][changed] = np.nan
        notes["points with an infinite coordinate or only some that are NaN: all three NaN"] += int(
            changed.sum()
        )
