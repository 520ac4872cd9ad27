"""Scans of every driver: the right values in spite of sizes and fields that others leave out."""

from collections import Counter

import numpy as np
import pytest

from lidistill.bags.clouds import cloud_records
from lidistill.bags.messages import Cloud, Field, Header

CODES = {"i1": 1, "u1": 2, "i2": 3, "u2": 4, "i4": 5, "u4": 6, "f4": 7, "f8": 8}
SPEC = {"x": "f4", "y": "f4", "z": "f4", "intensity": "u1", "time": "f8", "ring": "u2"}
OFFSETS = {"x": 0, "y": 4, "z": 8, "intensity": 13, "time": 17, "ring": 25}  # odd ones, too
NUM = 12
STEP = 30


def table(seed=0):
    rng = np.random.default_rng(seed)
    points = np.zeros(NUM, dtype=[(name, "<" + code) for name, code in SPEC.items()])
    for name in SPEC:
        points[name] = rng.uniform(0, 100, NUM)
    return points


def message(points=None, *, big=False, height=1, padding=0, last=True, count=1, **changes):
    """A cloud as a driver writes it; ``last``: with the padding behind the last row."""
    points = table() if points is None else points
    order = ">" if big else "<"
    raw = np.zeros((NUM, STEP), dtype=np.uint8)
    for name, code in SPEC.items():
        column = points[name].astype(order + code)
        start = OFFSETS[name]
        raw[:, start : start + column.itemsize] = column.view(np.uint8).reshape(NUM, -1)
    rows = np.pad(raw.reshape(height, -1), ((0, 0), (0, padding)), constant_values=7)
    data = rows.reshape(-1)
    values = {
        "header": Header(stamp_ns=1, frame="lidar"),
        "height": height,
        "width": NUM // height,
        "fields": tuple(
            Field(name=name, offset=OFFSETS[name], datatype=CODES[code], count=count)
            for name, code in SPEC.items()
        ),
        "big_endian": big,
        "point_step": STEP,
        "row_step": rows.shape[1],
        "data": data if last else data[: data.size - padding],
    }
    return Cloud(**(values | changes))


@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize("height", [1, 3])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"padding": 5},
        {"padding": 5, "last": False},
        {"row_step": 0},
        {"row_step": STEP * NUM},  # of the whole cloud
        {"row_step": 1},
        {"count": 0},
    ],
)
def test_values_are_exact(big, height, options):
    found = cloud_records(message(big=big, height=height, **options), Counter())
    np.testing.assert_array_equal(found, table())
    assert found.dtype == table().dtype


def test_a_row_step_that_does_not_fit_is_said():
    notes = Counter()
    cloud_records(message(row_step=0), notes)
    assert notes == {"scans whose row_step does not fit: taken as rows without padding": 1}


@pytest.mark.parametrize("value", [np.inf, -np.inf, np.nan])
@pytest.mark.parametrize("axes", ["x", "yz", "xyz"])
def test_points_with_a_coordinate_that_is_not_finite_have_none(value, axes):
    points, notes = table(), Counter()
    for axis in axes:
        points[axis][[2, 5]] = value
    found = cloud_records(message(points), notes)
    for name in SPEC:
        expected = table()[name]
        if name in "xyz":
            expected[[2, 5]] = np.nan
        np.testing.assert_array_equal(found[name], expected)
    already = np.isnan(value) and axes == "xyz"
    assert sum(notes.values()) == (0 if already else 2)


def test_a_cloud_without_a_point_is_none():
    notes = Counter()
    empty = np.zeros(0, dtype=np.uint8)
    assert cloud_records(message(width=0, row_step=0, data=empty), notes) is None
    assert not notes  # whoever asked says what becomes of them


def field(name="extra", offset=0, datatype=7, count=1):
    return Field(name=name, offset=offset, datatype=datatype, count=count)


def test_fields_of_several_numbers_are_left_out_and_said():
    notes = Counter()
    fields = (*message().fields, field("normal", 0, 7, 3), field("_", 3, 2, 4))
    found = cloud_records(message(fields=fields), notes)
    assert found.dtype.names == tuple(SPEC)
    assert notes == {"scans whose field 'normal' has several numbers: left out": 1}


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ([field("x")], "two fields with the name 'x'"),
        ([field(datatype=9)], "of the type 9, expected 1 to 8"),
        ([field(offset=27)], "4 bytes at 27, which lies outside of the 30 bytes"),
        ([field(count=1 << 31)], "which lies outside of the 30 bytes"),
        ([field(f"f{number}", datatype=8) for number in range(20)], "fields of 183 bytes"),
        ([field("\x1b[2J", offset=27)], r"'\\x1b\[2J'"),
    ],
)
def test_fields_that_contradict_the_points_are_an_error(fields, said):
    with pytest.raises(ValueError, match=said):
        cloud_records(message(fields=(*message().fields, *fields)), Counter())


def test_a_cloud_without_coordinates_is_an_error():
    with pytest.raises(ValueError, match="expected x, y and z among them"):
        cloud_records(message(fields=message().fields[1:]), Counter())
