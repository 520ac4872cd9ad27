import gzip
import os
import pickle
import struct
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from fakes.pickles import Call, Global, assemble, old_array, old_dataframe, write_gzip, write_pickle
from faults.limits import bounded

from lidistill.datasets.pandaset.dataframe_pickle import read_dataframe
from lidistill.datasets.pandaset.tables import read_points
from lidistill.errors import DatasetNotFoundError, FileFormatError, LidistillError

COLUMNS = {
    "x": np.array([1.5, -2.0, 3.25]),
    "y": np.array([0.5, 0.25, 9.0], dtype=np.float32),
    "d": np.array([0, 1, 1]),
    "label": np.array(["Car", "-", "Bus"], dtype=object),
}


def read(path: Path, **options: int) -> dict[str, np.ndarray]:
    table = read_dataframe(path, **options)
    table.index()
    return dict(zip(table.names, table.columns(table.names), strict=True))


def assert_equal_tables(found: dict[str, np.ndarray], expected: dict[str, np.ndarray]) -> None:
    assert list(found) == list(expected)
    for name, values in expected.items():
        assert found[name].dtype == values.dtype
        np.testing.assert_array_equal(found[name], values)


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_a_table_of_todays_pandas_is_read_as_pandas_reads_it(protocol: int, tmp_path: Path) -> None:
    table = pd.DataFrame(COLUMNS | {"flag": np.array([True, False, True]), "x2": COLUMNS["x"] * 2})
    table.index = pd.Index([7, 3, 5])
    path = write_gzip(tmp_path / "00.pkl.gz", pickle.dumps(table, protocol=protocol))
    assert_equal_tables(read(path), {name: table[name].to_numpy() for name in table})


def test_text_columns_of_pandas_3_are_read(tmp_path: Path) -> None:
    path = tmp_path / "00.pkl.gz"
    pd.DataFrame({"a": ["Car", "Bus"], "b": [1, 2]}).to_pickle(path)
    assert read(path)["a"].tolist() == ["Car", "Bus"]


def test_columns_kept_in_column_order_in_memory_are_read(tmp_path: Path) -> None:
    values = np.asfortranarray(np.arange(12.0).reshape(4, 3))
    table = pd.DataFrame(values, columns=["x", "y", "z"])[["z", "x"]]
    table.to_pickle(tmp_path / "00.pkl.gz")
    expected = {"z": values[:, 2], "x": values[:, 0]}
    assert_equal_tables(read(tmp_path / "00.pkl.gz"), expected)


def test_a_table_of_an_old_pandas_is_read(tmp_path: Path) -> None:
    path = write_pickle(tmp_path / "00.pkl.gz", old_dataframe(COLUMNS))
    assert_equal_tables(read(path), COLUMNS)


def test_big_endian_numbers_are_read(tmp_path: Path) -> None:
    table = pd.DataFrame({"x": np.array([1.0, 2.0], dtype=">f8")})
    table.to_pickle(tmp_path / "00.pkl.gz")
    found = read(tmp_path / "00.pkl.gz")["x"]
    assert found.tolist() == [1.0, 2.0]
    assert found.dtype == np.float64


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("os", "system"),
        ("posix", "system"),
        ("subprocess", "Popen"),
        ("builtins", "eval"),
        ("builtins", "exec"),
        ("builtins", "getattr"),
        ("builtins", "__import__"),
        ("operator", "attrgetter"),
        ("functools", "partial"),
        ("numpy", "load"),
        ("numpy", "fromfile"),
        ("numpy.core.multiarray", "fromfile"),
        ("pandas", "read_pickle"),
        ("pandas", "eval"),
        ("pandas.io.common", "get_handle"),
        ("lidistill.reading.inert_pickle", "load_inert"),
    ],
)
def test_a_forbidden_name_is_refused_by_name(module: str, name: str, tmp_path: Path) -> None:
    call = Call(Global(module, name), (f"touch {tmp_path / 'run'}",))
    path = write_pickle(tmp_path / "00.pkl.gz", call)
    with pytest.raises(FileFormatError, match=f"asks for '{module}.{name}'.*nothing was run"):
        read(path)
    assert not (tmp_path / "run").exists()


class _Payload:
    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, (f"touch {self.target}",)


def test_a_payload_inside_an_ordinary_table_is_not_run(tmp_path: Path) -> None:
    table = pd.DataFrame({"class": np.array([_Payload(tmp_path / "run"), 1], dtype=object)})
    path = write_gzip(tmp_path / "00.pkl.gz", pickle.dumps(table))
    with pytest.raises(FileFormatError, match=r"'(posix|nt).system'"):
        read(path)
    assert not (tmp_path / "run").exists()


def test_a_dotted_name_does_not_reach_into_an_admitted_module(tmp_path: Path) -> None:
    content = pickle.PROTO + b"\x04" + _text("numpy") + _text("ndarray.tofile")
    path = write_gzip(tmp_path / "00.pkl.gz", content + pickle.STACK_GLOBAL + pickle.STOP)
    with pytest.raises(FileFormatError, match=r"asks for 'numpy.ndarray.tofile'"):
        read(path)


def _text(text: str) -> bytes:
    return pickle.SHORT_BINUNICODE + bytes([len(text)]) + text.encode()


def _object_array(shape: tuple[int, ...], data: object) -> Call:
    array = old_array(np.array([None], dtype=object))
    version, _, dtype, fortran, _ = array.state  # type: ignore[misc]
    return Call(array.function, array.args, (version, shape, dtype, fortran, data))


def _table_of(values: Call) -> Call:
    table = old_dataframe({"class": np.zeros(1)})
    manager = table.state["_data"]  # type: ignore[index]
    manager.state[3]["0.14.1"]["blocks"][0]["values"] = values
    return table


HUGE = 2**31 - 1
HOSTILE = {
    "a persistent id": b"\x80\x03" + pickle.PERSID + b"1\n.",
    "a binary persistent id": b"\x80\x03K\x01" + pickle.BINPERSID + b".",
    "an extension code": b"\x80\x03" + pickle.EXT1 + b"\x01.",
    "an instance of protocol 0": pickle.MARK + pickle.INST + b"os\nsystem\n.",
    "an out-of-band buffer": b"\x80\x05" + pickle.NEXT_BUFFER + b".",
    "a length beyond the end": b"\x80\x05" + pickle.BYTEARRAY8 + struct.pack("<Q", 1 << 45) + b".",
    "a negative length": b"\x80\x03" + b"T" + struct.pack("<i", -5) + b".",
    "a negative long": b"\x80\x03" + pickle.LONG4 + struct.pack("<i", -5) + b".",
    "a huge memo number": b"\x80\x03N" + pickle.LONG_BINPUT + struct.pack("<I", HUGE) + b".",
    "a memo number never set": b"\x80\x03" + pickle.BINGET + b"\x07.",
    "an empty stack": b"\x80\x03.",
    "a future protocol": b"\x80\x09N.",
    "nothing": b"",
    "text": b"not a pickle at all\n",
    "a bare number": assemble(3),
    "a state for a class": assemble(Global("pandas", "DataFrame"))[:-1] + b"}b.",
    "items for a record": assemble(Call(Global("pandas", "DataFrame"), ()))[:-1] + b"K\x01K\x02s.",
    "an item for a record": assemble(Call(Global("pandas", "DataFrame"), ()))[:-1] + b"K\x01a.",
    "tuples in tuples": b"\x80\x03)" + pickle.TUPLE1 * 300_000 + b".",
    "no table": assemble(Call(Global("pandas", "DataFrame"), (), {"_mgr": None}, new=True)),
    "a state that is no dict": assemble(Call(Global("pandas", "DataFrame"), (), (1, 2), new=True)),
    "an object array of any size": assemble(_table_of(_object_array((HUGE, HUGE), [None]))),
    "a negative shape": assemble(_table_of(_object_array((-1, -1), [None]))),
    "objects without a list": assemble(_table_of(_object_array((1, 1), "x"))),
    "objects that are lists": assemble(_table_of(_object_array((1, 1), [[1]]))),
    "objects that are records": assemble(
        _table_of(_object_array((1, 1), [Call(Global("builtins", "slice"), (0, 1, 1))]))
    ),
    "a call of the array type": assemble(_table_of(Call(Global("numpy", "ndarray"), ((HUGE,),)))),
}


@pytest.mark.parametrize("content", HOSTILE.values(), ids=HOSTILE)
def test_hostile_or_broken_content_ends_in_one_line(content: bytes, tmp_path: Path) -> None:
    path = write_gzip(tmp_path / "00.pkl.gz", content)
    with pytest.raises(FileFormatError) as caught:
        read(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("dtype", ["V1000000", "M8[ns]", "S5", "U9", "f8,f8", "c16", [1], None])
def test_an_array_of_anything_but_plain_numbers_is_refused(dtype: object, tmp_path: Path) -> None:
    array = old_array(np.zeros((1, 1)))
    made = Call(Global("numpy", "dtype"), (dtype, 0, 1))
    values = Call(array.function, array.args, (1, (1, 1), made, False, b"\0" * 8))
    path = write_pickle(tmp_path / "00.pkl.gz", _table_of(values))
    with pytest.raises(FileFormatError, match="no plain number"):
        read(path)


def test_every_truncation_of_a_table_is_an_error(tmp_path: Path) -> None:
    content = pickle.dumps(pd.DataFrame(COLUMNS))
    for length in range(0, len(content), 7):
        path = write_gzip(tmp_path / "00.pkl.gz", content[:length])
        with pytest.raises(FileFormatError):
            read(path)


def test_damaged_bytes_end_in_a_table_or_in_one_line(tmp_path: Path) -> None:
    content = bytearray(assemble(old_dataframe(COLUMNS)))
    rng = np.random.default_rng(0)
    outcomes = set()
    for _ in range(600):
        damaged = bytearray(content)
        damaged[rng.integers(len(content))] = rng.integers(256)
        try:
            read(write_gzip(tmp_path / "00.pkl.gz", bytes(damaged)))
            outcomes.add("read")
        except LidistillError as error:
            outcomes.add("one line" if "\n" not in str(error) else "several lines")
    assert outcomes == {"read", "one line"}


def test_members_of_a_gzip_file_may_follow_one_another(tmp_path: Path) -> None:
    content = pickle.dumps(pd.DataFrame(COLUMNS))
    third = len(content) // 3
    parts = [content[:third], content[third : 2 * third], content[2 * third :]]
    path = tmp_path / "00.pkl.gz"
    for end in (b"", bytes(512)):
        path.write_bytes(b"".join(gzip.compress(part) for part in parts) + end)
        assert_equal_tables(read(path), COLUMNS)
    path.write_bytes(gzip.compress(content[:third]) + gzip.compress(content[third : 2 * third]))
    with pytest.raises(FileFormatError):  # of one size, but the rest is missing
        read(path)


@pytest.mark.parametrize("place", [-1, -5, 0, 30])
def test_a_wrong_checksum_size_or_header_of_a_gzip_file_is_an_error(
    place: int, tmp_path: Path
) -> None:
    content = bytearray(gzip.compress(pickle.dumps(pd.DataFrame(COLUMNS))))
    content[place] ^= 1
    (tmp_path / "00.pkl.gz").write_bytes(content)
    with pytest.raises(FileFormatError, match="not a gzip file"):
        read(tmp_path / "00.pkl.gz")


def test_what_follows_a_gzip_file_and_is_none_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "00.pkl.gz"
    path.write_bytes(gzip.compress(pickle.dumps(pd.DataFrame(COLUMNS))) + b"more than nothing")
    with pytest.raises(FileFormatError, match="not a gzip file"):
        read(path)


def test_a_truncated_gzip_file_is_an_error(tmp_path: Path) -> None:
    path = write_pickle(tmp_path / "00.pkl.gz", old_dataframe(COLUMNS))
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(FileFormatError, match="truncated or not a gzip file"):
        read(path)


def test_a_file_that_is_not_gzipped_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "00.pkl.gz"
    path.write_bytes(b"plain text")
    with pytest.raises(FileFormatError, match="not a gzip file"):
        read(path)


def test_a_missing_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DatasetNotFoundError, match="does not exist"):
        read(tmp_path / "00.pkl.gz")


def test_a_gzip_bomb_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    path = tmp_path / "00.pkl.gz"
    path.write_bytes(gzip.compress(bytes(1 << 25), 9))
    with pytest.raises(FileFormatError, match="more than 100000 bytes"):
        read(path, max_bytes=100_000)


def test_pandas_is_not_imported_by_the_reader() -> None:
    source = sys.modules[read_dataframe.__module__]
    assert not hasattr(source, "pandas")
    assert not hasattr(source, "pd")


NULLABLE = {
    "class": pd.array([7, 8, 13], dtype="Int64"),
    "d": pd.array([0, 1, 1], dtype="UInt8"),
    "x": pd.array([0.5, 1.5, -2.0], dtype="Float32"),
    "flag": pd.array([True, False, True], dtype="boolean"),
    "kind": pd.Categorical([30, 7, 30]),
}


def test_nullable_and_categorical_columns_are_read(tmp_path: Path) -> None:
    path = tmp_path / "00.pkl.gz"
    pd.DataFrame(NULLABLE | {"t": pd.to_datetime(["2020-01-01"] * 3)}).to_pickle(path)
    table = read_dataframe(path)
    found = dict(zip(NULLABLE, table.columns(list(NULLABLE)), strict=True))
    for name, values in NULLABLE.items():
        assert found[name].tolist() == list(values)
    assert [found[name].dtype for name in ("class", "d", "x")] == [np.int64, np.uint8, np.float32]
    with pytest.raises(FileFormatError, match=r"column 't': .*no plain number"):
        table.columns(["t"])  # beside the others it does no harm


@pytest.mark.parametrize(
    "values", [pd.array([7, None, 9], dtype="Int64"), pd.Categorical([7, None, 9])]
)
def test_missing_values_are_named_not_guessed(values: object, tmp_path: Path) -> None:
    pd.DataFrame({"class": values}).to_pickle(tmp_path / "00.pkl.gz")
    with pytest.raises(FileFormatError, match=r"column 'class': 1 of 3 values are missing"):
        read(tmp_path / "00.pkl.gz")


def test_a_missing_float_is_nan(tmp_path: Path) -> None:
    column = pd.array([0.5, None], dtype="Float64")
    pd.DataFrame({"x": column}).to_pickle(tmp_path / "00.pkl.gz")
    np.testing.assert_array_equal(read(tmp_path / "00.pkl.gz")["x"], [0.5, np.nan])


@pytest.mark.parametrize("name", ["00.pkl", "00.pkl.gz"])
@pytest.mark.parametrize("compression", ["gzip", None])
def test_the_content_tells_whether_a_table_is_gzipped(
    name: str, compression: str | None, tmp_path: Path
) -> None:
    pd.DataFrame(COLUMNS).to_pickle(tmp_path / name, compression=compression)
    assert read(tmp_path / name)["x"].tolist() == COLUMNS["x"].tolist()


@pytest.mark.parametrize(
    "index", [[7, 3, 5], [0.5, 2.0, 1.0], ["b", "a", "c"], range(10, 1, -3), range(3)]
)
def test_the_index_is_read(index: object, tmp_path: Path) -> None:
    pd.DataFrame({"x": [1, 2, 3]}, index=index).to_pickle(tmp_path / "00.pkl.gz")  # type: ignore[call-overload]
    assert read_dataframe(tmp_path / "00.pkl.gz").index().tolist() == list(index)  # type: ignore[call-overload]


def test_an_index_of_several_levels_is_named(tmp_path: Path) -> None:
    levels = pd.MultiIndex.from_tuples([(0, 1), (1, 2)])
    pd.DataFrame({"x": [1, 2]}, index=levels).to_pickle(tmp_path / "00.pkl.gz")
    table = read_dataframe(tmp_path / "00.pkl.gz")
    with pytest.raises(FileFormatError, match=r"several levels.*reset_index"):
        table.index()


def _claimed_rows(stop: int) -> bytes:
    table = old_dataframe({"class": np.zeros(1)})
    named = {"name": None, "start": 0, "stop": stop, "step": 1}
    kind = Global("pandas.core.indexes.range", "RangeIndex")
    axes = table.state["_data"].state[3]["0.14.1"]["axes"]  # type: ignore[index]
    axes[1] = Call(Global("pandas.core.indexes.base", "_new_Index"), (kind, named))
    return assemble(table)


def _colliding_keys(mark: bytes) -> bytes:
    """A dictionary whose keys all have the hash 0."""
    prime = (1 << 61) - 1
    pairs = (b"\x8a\x0a" + (prime * n).to_bytes(10, "little") + b"N" for n in range(80_000))
    return b"\x80\x03}(" + b"".join(pairs) + mark + b"u."


def _shared_array(kind: str, order: str, encoded: bool) -> bytes:
    """Five columns that are one array of 30 MiB, which is kept once in the file."""
    num_bytes = 30 << 20
    array = old_array(np.zeros((1, 1)))
    dtype = Call(Global("numpy", "dtype"), (kind, 0, 1), (3, order, None, None, None, -1, -1, 0))
    size = num_bytes // int(kind[1])
    data = b"\0" * num_bytes
    held = Call(Global("_codecs", "encode"), (data.decode(), "latin1")) if encoded else data
    block = Call(array.function, array.args, (1, (1, size), dtype, False, held))
    names = ("x", "y", "z", "i", "d")
    table = old_dataframe({name: np.zeros(1) for name in names})
    for one in table.state["_data"].state[3]["0.14.1"]["blocks"]:  # type: ignore[index]
        one["values"] = 77_777
    whole = assemble(block)[2:-1]
    return (
        b"\x80\x03"
        + whole
        + b"q\x000"
        + assemble(table)[2:].replace(assemble(77_777)[2:-1], b"h\x00")
    )


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(lambda: _claimed_rows((1 << 31) - 1), id="rows"),
        pytest.param(lambda: _colliding_keys(b""), id="keys"),
        pytest.param(lambda: _colliding_keys(b"(0"), id="keys behind a mark"),
        pytest.param(lambda: _shared_array("f8", ">", False), id="big-endian"),
        pytest.param(lambda: _shared_array("i1", "|", True), id="latin1"),
        pytest.param(lambda: b"\x80\x03c" + b"a" * (1 << 20) + b"\nb\n.", id="a long name"),
        pytest.param(
            lambda: assemble(old_dataframe({c * (1 << 18): np.zeros(1) for c in "abcdefgh"})),
            id="long columns",
        ),
    ],
)
def test_hostile_tables_end_in_one_short_line(content: Callable[[], bytes], tmp_path: Path) -> None:
    path = write_gzip(tmp_path / "00.pkl.gz", content())
    with bounded(mebibytes=160), pytest.raises(FileFormatError) as caught:
        read_points(path, 0)
    message = str(caught.value)
    assert len(message) < 450 + len(str(path))
    assert message.isprintable()
