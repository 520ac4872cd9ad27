"""PandaSet's ``.pkl.gz`` tables without pandas and without running anything that is in the file.

The few names that such files use become inert records, and plain code reads the columns out of
them: neither pandas nor NumPy is ever called by the file.
"""

import math
import re
import struct
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import deflate
import numpy as np

from lidistill.data.inert_pickle import BROKEN, Record, RefusedError, load_inert
from lidistill.errors import FileFormatError
from lidistill.reading.files import read_file
from lidistill.structures import Array

MAX_BYTES: Final = 1 << 26
"""Decompressed size at which a file is refused; PandaSet's largest have about 10 MB."""
_GZIP: Final = 31  # zlib's name for its header and checksum
_NUMBER = re.compile(r"(b1|[iuf][1248])\Z")


class _DataFrame(Record): ...


class _Manager(Record): ...


class _Block(Record): ...


class _NewIndex(Record): ...


class _Index(Record): ...


class _Strings(Record): ...


class _StringType(Record): ...


class _Slice(Record): ...


class _Encoded(Record): ...


class _Dtype(Record): ...


class _NdArray(Record): ...


class _Array(Record): ...


class _FromBuffer(Record): ...


_ADMITTED: Final[dict[tuple[str, str], type[Record]]] = {
    ("pandas", "DataFrame"): _DataFrame,
    ("pandas.core.frame", "DataFrame"): _DataFrame,
    ("pandas.core.internals", "BlockManager"): _Manager,
    ("pandas.core.internals.managers", "BlockManager"): _Manager,
    ("pandas._libs.internals", "_unpickle_block"): _Block,
    ("pandas.core.indexes.base", "_new_Index"): _NewIndex,
    ("pandas", "Index"): _Index,
    ("pandas", "RangeIndex"): _Index,
    ("pandas.core.indexes.base", "Index"): _Index,
    ("pandas.core.indexes.range", "RangeIndex"): _Index,
    ("pandas.core.indexes.numeric", "Int64Index"): _Index,
    ("pandas.core.indexes.numeric", "UInt64Index"): _Index,
    ("pandas.core.indexes.numeric", "Float64Index"): _Index,
    ("pandas._libs.arrays", "__pyx_unpickle_NDArrayBacked"): _Strings,
    ("pandas.arrays", "StringArray"): _StringType,
    ("pandas.core.arrays.string_", "StringArray"): _StringType,
    ("pandas.core.arrays.string_", "StringArrayNumpySemantics"): _StringType,
    ("pandas", "StringDtype"): _StringType,
    ("pandas.core.arrays.string_", "StringDtype"): _StringType,
    ("builtins", "slice"): _Slice,
    ("__builtin__", "slice"): _Slice,
    ("_codecs", "encode"): _Encoded,
    ("numpy", "dtype"): _Dtype,
    ("numpy", "ndarray"): _NdArray,
    ("numpy.core.multiarray", "_reconstruct"): _Array,
    ("numpy._core.multiarray", "_reconstruct"): _Array,
    ("numpy.core.numeric", "_frombuffer"): _FromBuffer,
    ("numpy._core.numeric", "_frombuffer"): _FromBuffer,
}
"""Every name that these tables use, by module; each stands for a record and nothing else."""


def read_dataframe(path: Path, *, max_bytes: int = MAX_BYTES) -> dict[str, Array]:
    """Columns of a gzipped pandas table, by name.

    Args:
        path: A ``.pkl.gz`` file of PandaSet, written by any pandas from 0.25 to 3.
        max_bytes: Largest decompressed size that is read.

    Returns:
        One (rows,) array a column: booleans, integers, floats, or objects that are strings, numbers
        or None.

    Raises:
        DatasetNotFoundError: If there is no such file.
        FileFormatError: If the file is damaged, too large, no such table, or asks for a name that
            such a table does not need; nothing in it is run.
    """
    content = _decompress(path, max_bytes)
    try:
        return _columns(load_inert(content, _ADMITTED))
    except RefusedError as refusal:
        msg = (
            f"{path}: {refusal}, which no PandaSet file needs; refused, nothing was run. "
            "Take the file from the data set's own archive again."
        )
        raise FileFormatError(msg) from None
    except BROKEN as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        msg = (
            f"{path}: not a table that pandas pickled, or damaged ({reason}); "
            "take the file from the data set's own archive again."
        )
        raise FileFormatError(msg) from error


def _decompress(path: Path, max_bytes: int) -> bytes | bytearray:
    """Content of a gzip file, whose checksum is compared; members may follow one another."""
    packed, left = read_file(path, max_bytes=max_bytes), max_bytes + 1
    whole = _single_member(packed, max_bytes)
    if whole is not None:
        return whole
    members: list[bytes] = []
    try:
        while packed or not members:
            member = zlib.decompressobj(wbits=_GZIP)
            members.append(member.decompress(packed, left))
            left -= len(members[-1])
            if left <= 0:
                msg = f"{path}: more than {max_bytes} bytes once decompressed; refused."
                raise FileFormatError(msg)
            if not member.eof:
                msg = "it ends too early"
                raise EOFError(msg)
            packed = member.unused_data.lstrip(b"\0")
    except (EOFError, zlib.error) as error:
        msg = f"{path}: truncated or not a gzip file ({error}); copy or download it again."
        raise FileFormatError(msg) from error
    return members[0] if len(members) == 1 else b"".join(members)


def _single_member(packed: bytes, max_bytes: int) -> bytearray | None:
    """Content of a gzip file of one member, in a third of zlib's time; None if it is another.

    libdeflate does not say where a member ends, so the file's last bytes must be its checksum and
    its size.
    """
    checksum, size = struct.unpack("<II", packed[-8:].rjust(8, b"\0"))
    if not 0 < size <= max_bytes:
        return None
    try:
        whole = deflate.gzip_decompress(packed, size)
    except deflate.DeflateError:
        return None
    return whole if len(whole) == size and deflate.crc32(whole) == checksum else None


def _columns(root: Any) -> dict[str, Array]:
    state = _expect(root, _DataFrame, "the pickle holds no DataFrame").state
    manager = _expect(state.get("_mgr", state.get("_data")), _Manager, "the DataFrame is empty")
    if manager.args:
        blocks, axes = manager.args
        placed = [(block.args[0], block.args[1]) for block in blocks if isinstance(block, _Block)]
    else:
        modern = manager.state[3]["0.14.1"]
        axes = modern["axes"]
        placed = [(block["values"], block["mgr_locs"]) for block in modern["blocks"]]
    names = _names(axes[0])
    columns: dict[str, Array] = {}
    for values, placement in placed:
        rows = np.atleast_2d(_array(values))
        columns |= {names[at]: row for at, row in zip(_places(placement), rows, strict=True)}
    if columns.keys() != set(names) or len({len(column) for column in columns.values()}) > 1:
        msg = f"its columns {names} do not all have the same number of values"
        raise ValueError(msg)
    return {name: columns[name] for name in names}


def _expect(record: Any, kind: type[Record], message: str) -> Record:
    if not isinstance(record, kind):
        raise TypeError(message)
    return record


def _names(index: Any) -> list[str]:
    _, state = _expect(index, _NewIndex, "its column names are no pandas Index").args
    if "data" not in state:
        msg = "its columns have numbers for names"
        raise ValueError(msg)
    names = [str(name) for name in _array(state["data"]).tolist()]
    if len(set(names)) != len(names):
        msg = f"its column names {names} repeat"
        raise ValueError(msg)
    return names


def _places(placement: Any) -> Sequence[int]:
    if isinstance(placement, _Slice):
        return range(*placement.args)
    return [int(place) for place in _array(placement)]


def _array(record: Any) -> Array:
    if isinstance(record, _Strings):
        # Its state names the array, and depending on the version of pandas a dtype and a dict.
        record = next((part for part in record.state if isinstance(part, _Array)), None)
    if isinstance(record, _FromBuffer):
        data, dtype, shape, order = record.args
        return _numbers(data, dtype, shape, order)
    _, shape, dtype, fortran, data = _expect(record, _Array, "a column is no plain array").state
    if isinstance(dtype, _Dtype) and dtype.args[0] in ("O", "O8"):
        return _objects(data, shape, fortran=bool(fortran))
    return _numbers(data, dtype, shape, "F" if fortran else "C")


def _numbers(data: Any, dtype: Any, shape: tuple[int, ...], order: str) -> Array:
    code = _expect(dtype, _Dtype, "an array has no dtype").args[0]
    if not (isinstance(code, str) and _NUMBER.match(code)):
        msg = "an array has a dtype that is no plain number"
        raise ValueError(msg)
    if isinstance(data, _Encoded):
        text, encoding = data.args
        if encoding != "latin1":
            msg = "its bytes are not encoded as latin1"
            raise ValueError(msg)
        data = text.encode("latin1")
    big_endian = dtype.state is not None and dtype.state[1] == ">"
    flat = np.frombuffer(data, dtype=np.dtype(code).newbyteorder(">" if big_endian else "<"))
    native = flat.astype(flat.dtype.newbyteorder("="), copy=False)
    return native.reshape(_checked(shape, len(flat)), order="F" if order == "F" else "C")


def _objects(data: Any, shape: tuple[int, ...], *, fortran: bool) -> Array:
    if not isinstance(data, list):
        msg = "an array of objects holds no list"
        raise TypeError(msg)
    for item in data:
        if not (item is None or isinstance(item, str | bool | int | float)):
            msg = f"an array holds a {type(item).__name__.strip('_')}, not text or a number"
            raise TypeError(msg)
    flat = np.empty(len(data), dtype=object)
    flat[:] = data
    return flat.reshape(_checked(shape, len(flat)), order="F" if fortran else "C")


def _checked(shape: tuple[int, ...], size: int) -> tuple[int, ...]:
    whole = len(shape) in {1, 2} and all(isinstance(n, int) and n >= 0 for n in shape)
    if not whole or math.prod(shape) != size:
        msg = f"an array holds {size} values, which do not fit the shape it claims"
        raise ValueError(msg)
    return shape
