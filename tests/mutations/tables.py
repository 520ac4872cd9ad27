"""Hostile and damaged versions of PandaSet's gzipped pickles."""

import gzip
import pickle
import random
import struct

import numpy as np
import pandas as pd
from fakes.pickles import Call, Global, assemble, old_dataframe
from mutations.damage import Mutation, Spot


def _pickled(spot: Spot, content: bytes) -> None:
    spot.path.write_bytes(gzip.compress(content, 1))


def _columns(spot: Spot) -> dict[str, np.ndarray]:
    table = pd.read_pickle(spot.path)
    return {str(name): table[name].to_numpy().copy() for name in table}


def forbidden_name(spot: Spot, rng: random.Random) -> None:
    module, name, argument = rng.choice(
        [
            ("posix", "system", f"touch {spot.outside / 'executed'}"),
            ("builtins", "eval", f"open({str(spot.outside / 'executed')!r}, 'w')"),
            ("builtins", "exec", f"open({str(spot.outside / 'executed')!r}, 'w')"),
            ("pathlib", "Path", "x"),
            ("numpy", "load", "x"),
        ]
    )
    _pickled(
        spot, assemble(Call(Global(module, name), (argument,)), protocol=rng.choice([2, 3, 4]))
    )


def forbidden_inside(spot: Spot, rng: random.Random) -> None:
    touch = Call(Global("os", "system"), (f"touch {spot.outside / 'executed'}",))
    frame = Call(Global("pandas.core.frame", "DataFrame"), (), {"_data": touch}, new=True)
    _pickled(spot, assemble(frame))


def nested_tuples(spot: Spot, rng: random.Random) -> None:
    _pickled(spot, b"\x80\x03" + b")" + b"\x85" * 500_000 + b".")


def nested_lists(spot: Spot, rng: random.Random) -> None:
    _pickled(spot, b"\x80\x03" + b"]" * 400_000 + b"a" * 399_999 + b".")


def doubling(spot: Spot, rng: random.Random) -> None:
    _pickled(spot, b"\x80\x04]\x94" + b"(h\x00h\x00e]\x94" * 30 + b".")


def memo_bomb(spot: Spot, rng: random.Random) -> None:
    _pickled(spot, b"\x80\x03" + b"Nr" + struct.pack("<I", 0xFFFFFFF0) + b".")


def claimed_length(spot: Spot, rng: random.Random) -> None:
    _pickled(spot, b"\x80\x04\x8e" + struct.pack("<Q", 1 << 40) + b"x.")


def gzip_bomb(spot: Spot, rng: random.Random) -> None:
    block = gzip.compress(bytes(1 << 26), 9)
    spot.path.write_bytes(block * 80)  # 5 GiB once decompressed


def gzip_in_one_string(spot: Spot, rng: random.Random) -> None:
    size = 900 << 20
    start = b"\x80\x04\x8e" + struct.pack("<Q", size)
    zeros = gzip.compress(bytes(1 << 26), 9)
    rest = gzip.compress(bytes(size % (1 << 26)) + b".", 9)
    spot.path.write_bytes(gzip.compress(start) + zeros * (size >> 26) + rest)


def objects(spot: Spot, rng: random.Random) -> None:
    columns = _columns(spot)
    name = rng.choice(list(columns))
    columns[name] = np.array([str(value) for value in columns[name]], dtype=object)
    _pickled(spot, assemble(old_dataframe(columns)))


def dropped_column(spot: Spot, rng: random.Random) -> None:
    columns = _columns(spot)
    columns.pop(rng.choice(list(columns)))
    _pickled(spot, assemble(old_dataframe(columns or {"nothing": np.zeros(3)})))


def fewer_rows(spot: Spot, rng: random.Random) -> None:
    columns = {name: values[:-1] for name, values in _columns(spot).items()}
    _pickled(spot, assemble(old_dataframe(columns, counted=True)))  # else it is a valid selection


def no_rows(spot: Spot, rng: random.Random) -> None:
    columns = {name: values[:0] for name, values in _columns(spot).items()}
    _pickled(spot, assemble(old_dataframe(columns)))


def no_table(spot: Spot, rng: random.Random) -> None:
    value = rng.choice([None, 3, [1, 2], {"x": [1.0]}, "text", np.arange(3)])
    _pickled(spot, pickle.dumps(value))


def bad_checksum(spot: Spot, rng: random.Random) -> None:
    content = bytearray(spot.path.read_bytes())
    content[-rng.randrange(1, 9)] ^= 1 << rng.randrange(8)
    spot.path.write_bytes(content)


def _value(value: float, names: str) -> Mutation:
    def set_one(spot: Spot, rng: random.Random) -> None:
        columns = _columns(spot)
        name = rng.choice([name for name in columns if name in names.split()])
        columns[name] = columns[name].astype(np.float64)
        columns[name][:6] = value  # both lidars
        _pickled(spot, assemble(old_dataframe(columns)))

    return set_one


TABLE_FILE: dict[str, Mutation] = {
    "forbidden name": forbidden_name,
    "forbidden name inside": forbidden_inside,
    "nested tuples": nested_tuples,
    "nested lists": nested_lists,
    "doubling": doubling,
    "memo bomb": memo_bomb,
    "claimed length": claimed_length,
    "gzip bomb": gzip_bomb,
    "900 MiB in one string": gzip_in_one_string,
    "objects": objects,
    "dropped column": dropped_column,
    "fewer rows": fewer_rows,
    "no rows": no_rows,
    "no table": no_table,
    "bad checksum": bad_checksum,
}
SCAN_TABLE = TABLE_FILE | {
    "NaN": _value(np.nan, "x y z i d"),
    "infinity": _value(np.inf, "x y z i"),
    "1e300": _value(1e300, "x y z i"),
    "5e4": _value(5e4, "x y z i"),
    "-7": _value(-7.0, "i d"),
}
CLASS_TABLE = TABLE_FILE | {
    "NaN": _value(np.nan, "class"),
    "1e300": _value(1e300, "class"),
    "99": _value(99, "class"),
}
