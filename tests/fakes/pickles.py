"""Pickles written instruction by instruction, the way other programs wrote them or never should."""

import gzip
import pickle
import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np


@dataclass(frozen=True)
class Global:
    module: str
    name: str


@dataclass(frozen=True)
class Call:
    """A call, or with ``new`` an object made without one, and the state it is given."""

    function: Global
    args: tuple[object, ...]
    state: object = None
    new: bool = False


def assemble(value: object, *, protocol: int = 3) -> bytes:
    return b"\x80" + bytes([protocol]) + _encode(value) + pickle.STOP


def write_pickle(path: Path, value: object) -> Path:
    return write_gzip(path, assemble(value))


def write_gzip(path: Path, content: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(content, 1))
    return path


def _encode(value: object) -> bytes:  # noqa: PLR0911  one line for each kind
    match value:
        case Global(module, name):
            return pickle.GLOBAL + f"{module}\n{name}\n".encode()
        case Call(function, args, state, new):
            made = _encode(function) + _encode(args) + (pickle.NEWOBJ if new else pickle.REDUCE)
            return made if state is None else made + _encode(state) + pickle.BUILD
        case tuple():
            return pickle.MARK + b"".join(map(_encode, value)) + pickle.TUPLE
        case list():
            return pickle.EMPTY_LIST + pickle.MARK + b"".join(map(_encode, value)) + pickle.APPENDS
        case dict():
            pairs = b"".join(_encode(key) + _encode(item) for key, item in value.items())
            return pickle.EMPTY_DICT + pickle.MARK + pairs + pickle.SETITEMS
        case bytes():
            return pickle.BINBYTES + struct.pack("<I", len(value)) + value
        case str():
            text = value.encode()
            return pickle.BINUNICODE + struct.pack("<I", len(text)) + text
        case None | bool():
            return {None: pickle.NONE, True: pickle.NEWTRUE, False: pickle.NEWFALSE}[value]
        case int():
            return pickle.BININT + struct.pack("<i", value)
        case _:
            return pickle.BINFLOAT + struct.pack(">d", value)


def old_array(values: np.ndarray) -> Call:
    """An array as NumPy 1 pickled it."""
    kind = "O8" if values.dtype == object else values.dtype.str[1:]
    order = "|" if values.dtype == object else "<"
    data = values.ravel().tolist() if values.dtype == object else values.tobytes()
    dtype = Call(Global("numpy", "dtype"), (kind, 0, 1), (3, order, None, None, None, -1, -1, 0))
    empty = (Global("numpy", "ndarray"), (0,), b"b")
    state = (1, values.shape, dtype, False, data)
    return Call(Global("numpy.core.multiarray", "_reconstruct"), empty, state)


def old_dataframe(columns: dict[str, np.ndarray], *, counted: bool = False) -> Call:
    """A table as pandas 0.25 pickled it, with the module names of then.

    Its rows are named backwards, or counted from 0.
    """
    base = "pandas.core.indexes.base"
    names = np.array(list(columns), dtype=object)
    index = Call(
        Global(base, "_new_Index"),
        (Global(base, "Index"), {"data": old_array(names), "name": None}),
    )
    num_rows = len(next(iter(columns.values())))
    names_of_rows = np.arange(num_rows) if counted else np.arange(num_rows)[::-1].copy()
    rows = Call(
        Global(base, "_new_Index"),
        (
            Global("pandas.core.indexes.numeric", "Int64Index"),
            {"data": old_array(names_of_rows), "name": None},
        ),
    )
    axes = [index, rows]
    blocks = [
        {
            "values": old_array(values[None]),
            "mgr_locs": Call(Global("builtins", "slice"), (place, place + 1, 1)),
        }
        for place, values in enumerate(columns.values())
    ]
    state = (axes, [], [], {"0.14.1": {"axes": axes, "blocks": blocks}})
    manager = Call(Global("pandas.core.internals.managers", "BlockManager"), (), state, new=True)
    return Call(
        Global("pandas.core.frame", "DataFrame"),
        (),
        {"_data": manager, "_typ": "dataframe", "_metadata": []},
        new=True,
    )
