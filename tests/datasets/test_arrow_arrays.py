"""Tables of pandas 3 where pyarrow is installed: texts, and names of columns, in Arrow's form."""

import pickle

import numpy as np
import pandas as pd
import pytest
from faults.limits import bounded

from lidistill.datasets.pandaset.arrow_arrays import arrow_values
from lidistill.datasets.pandaset.dataframe_pickle import read_dataframe
from lidistill.datasets.pandaset.pandas_records import (
    ArrowArray,
    ArrowBuffer,
    ArrowChunks,
    ArrowType,
    NotPlainError,
)
from lidistill.errors import FileFormatError

arrow = pytest.importorskip("pyarrow")


@pytest.fixture(autouse=True)
def arrow_texts():
    with pd.option_context("mode.string_storage", "pyarrow"):
        yield


def columns_of(path):
    table = read_dataframe(path)
    return dict(zip(table.names, table.columns(table.names), strict=True))


@pytest.mark.parametrize("protocol", [3, 4, 5])
def test_a_table_as_pandas_3_writes_it_is_read(tmp_path, protocol):
    names = ["Car", "", "Fußgänger"]
    table = pd.DataFrame({"x": [1.5, 2.5, -3.0], "label": names, "d": [0, 1, 1]})
    assert type(table.columns.array).__name__ == "ArrowStringArray"
    path = tmp_path / "00.pkl"
    path.write_bytes(pickle.dumps(table, protocol=protocol))
    found = columns_of(path)
    assert list(found) == ["x", "label", "d"]
    assert found["x"].tolist() == [1.5, 2.5, -3.0]
    assert found["label"].tolist() == names
    assert found["d"].tolist() == [0, 1, 1]


def test_parts_of_a_table_and_tables_put_together_are_read(tmp_path):
    table = pd.DataFrame({"label": list("abcdef"), "x": np.arange(6)})
    path = tmp_path / "00.pkl"
    for some in (table[2:5], table.iloc[::-1], pd.concat([table, table])):
        some.to_pickle(path)
        found = columns_of(path)
        assert found["label"].tolist() == some["label"].tolist()
        assert read_dataframe(path).index().tolist() == some.index.tolist()


@pytest.mark.parametrize("kind", ["double", "float", "int8", "uint16", "int64"])
def test_numbers_in_arrows_form_are_read(tmp_path, kind):
    path = tmp_path / "00.pkl"
    pd.DataFrame({"x": np.arange(5)}).astype({"x": f"{kind}[pyarrow]"})[1:].to_pickle(path)
    assert columns_of(path)["x"].tolist() == [1, 2, 3, 4]


@pytest.mark.parametrize("values", [["a", None], pd.array([1, None], dtype="int64[pyarrow]")])
def test_missing_values_are_named(tmp_path, values):
    path = tmp_path / "00.pkl"
    pd.DataFrame({"x": values}).to_pickle(path)
    with pytest.raises(FileFormatError, match=r"1 of 2 values are missing \(NA\)"):
        columns_of(path)


def test_values_of_other_types_are_named(tmp_path):
    path = tmp_path / "00.pkl"
    pd.DataFrame({"x": pd.array([True, False], dtype="bool[pyarrow]")}).to_pickle(path)
    with pytest.raises(FileFormatError, match="its values have the type 'bool'"):
        columns_of(path)


def part(length, ends, content, *, kind="string", start=0):
    buffers = [None, ArrowBuffer(np.asarray(ends, "<i4").tobytes()), ArrowBuffer(content)]
    return ArrowArray((ArrowType(kind), length, 0, start, buffers, [], None))


@pytest.mark.parametrize(
    ("record", "said"),
    [
        (part(5, [0, 1], b"a"), "claims 6 values from 0 on, and holds 2"),
        (part(1, [0, 1], b"a", start=9), "claims 2 values from 9 on"),
        (part(-1, [0, 1], b"a"), "claims -1 values"),
        (part(1 << 40, [0, 1], b"a"), "claims 1099511627776 values"),
        (part(2, [0, 2, 1], b"ab"), "do not lie one after the other"),
        (part(1, [0, 9], b"a"), "do not lie one after the other"),
        (part(1, [0, 500], b"a" * 500), "a text of 500 bytes, expected at most 200"),
        (part(1, [0, 1], b"\xff"), "decode"),
        (part(3, [0], b"a" * 8, kind="double"), "claims 3 values from 0 on, and holds 0"),
        (ArrowChunks([part(1 << 20, np.zeros((1 << 20) + 1), b"")] * 9_999, None), "claims"),
        (ArrowChunks([part(999, range(1000), b"a" * 999)] * 9_999, None), "claims 999 values"),
        (ArrowChunks([part(1, [0, 200], b"a" * 200)] * 10_001, None), "no list of parts"),
        (ArrowChunks([], None), "no list of parts"),
    ],
)
def test_what_does_not_hold_what_it_claims_is_refused(record, said):
    with bounded(mebibytes=256), pytest.raises(ValueError, match=said):
        arrow_values(record)


def test_what_is_no_array_of_arrows_is_refused():
    with pytest.raises(TypeError):
        arrow_values(ArrowType("string"))
    with pytest.raises(NotPlainError):
        arrow_values(part(1, [0, 1], b"a", kind="dictionary"))
