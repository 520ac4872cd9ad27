import json
import struct

import numpy as np
import pytest

from lidistill.viewer.container import MAGIC, Stored, pack, unpack


def test_arrays_lie_where_the_header_says_at_multiples_of_eight():
    xyz = np.arange(9, dtype=np.int16).reshape(3, 3)
    ids = np.array([7, 255, 0], dtype=np.uint8)
    content = pack({"xyz": Stored(array=xyz, scale=0.5), "class": Stored(array=ids)})
    (length,) = struct.unpack("<I", content[8:12])
    header = json.loads(content[12 : 12 + length])["arrays"]
    base = -(-(12 + length) // 8) * 8
    assert content[:8] == MAGIC == b"LDVIEW01"
    assert header["xyz"] == {"dtype": "int16", "shape": [3, 3], "offset": 0, "scale": 0.5}
    assert header["class"] == {"dtype": "uint8", "shape": [3], "offset": 24}
    assert np.frombuffer(content, "<i2", 9, base).tolist() == list(range(9))
    assert content[base + 24 : base + 27] == bytes([7, 255, 0])


def test_what_is_stored_by_columns_comes_back_as_rows():
    rows = np.arange(12, dtype=np.int8).reshape(4, 3)
    content = pack({"f": Stored(array=rows, by_columns=True)})
    assert content.endswith(bytes([0, 3, 6, 9, 1, 4, 7, 10, 2, 5, 8, 11]) + bytes(4))
    np.testing.assert_array_equal(unpack(content)["f"].array, rows)


def test_every_kind_of_array_comes_back():
    rng = np.random.default_rng(0)
    made = {
        name: Stored(array=(100 * rng.random((5, 2))).astype(name), zero=1.0, by_columns=True)
        for name in ("float32", "int8", "uint8", "int16", "uint16", "int32")
    }
    made["none"] = Stored(array=np.zeros((0, 64), np.int8))
    found = unpack(pack(made))
    for name, stored in made.items():
        np.testing.assert_array_equal(found[name].array, stored.array)
        assert (found[name].zero, found[name].by_columns) == (stored.zero, stored.by_columns)


def test_other_types_and_other_bytes_are_refused():
    with pytest.raises(ValueError, match="float64"):
        pack({"x": Stored(array=np.zeros(3))})
    with pytest.raises(ValueError, match="LDVIEW01"):
        unpack(b"something else")
