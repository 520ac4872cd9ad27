"""Arrays of a pickled pandas table, from the records that its pickle leaves.

Sizes that the file claims are compared with the bytes it holds before anything is built.
"""

import math
import re
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from lidistill.datasets.pandaset.arrow_arrays import arrow_values
from lidistill.datasets.pandaset.pandas_records import (
    Arrow,
    Backed,
    CategoryType,
    Dtype,
    Encoded,
    FromBuffer,
    Masked,
    NewIndex,
    NotPlainError,
    PlainArray,
    expect,
)
from lidistill.reading.names import shown
from lidistill.records import Array

MAX_NAMES: Final = 1 << 22
"""Rows that an index may count without holding their names."""
_NUMBER: Final = re.compile(r"(b1|[iuf][1248])\Z")


def array_of(record: Any) -> Array:
    """Values of any array that these tables hold; a missing float is NaN.

    Raises:
        NotPlainError: If they are no numbers or texts, or some are missing.
        ValueError: Or another of ``BROKEN``, if the record is damaged.
    """
    if isinstance(record, Masked):
        return _masked(record.state)
    if isinstance(record, Backed):
        return _backed(record)
    if isinstance(record, Arrow):
        return arrow_values(record.state["_pa_array"])
    if isinstance(record, FromBuffer):
        data, dtype, shape, order = record.args
        return _numbers(data, dtype, shape, order)
    state = expect(record, PlainArray, "a column is no plain array").state
    _, shape, dtype, fortran, data = state
    if isinstance(dtype, Dtype) and dtype.args[0] in ("O", "O8"):
        return _objects(data, shape, fortran=bool(fortran))
    return _numbers(data, dtype, shape, "F" if fortran else "C")


def index_array(record: Any) -> Array:
    """Names of the columns or the rows, one after the other.

    Raises:
        NotPlainError: If they are no plain list, such as those of several levels.
        ValueError: Or another of ``BROKEN``, if the record is damaged.
    """
    _, state = expect(record, NewIndex, "its names are no pandas Index").args
    if "data" in state:
        return array_of(state["data"]).ravel()
    if not {"start", "stop", "step"} <= state.keys():
        msg = "its index has several levels; write the table with a plain one (reset_index)"
        raise NotPlainError(msg)
    whole = range(int(state["start"]), int(state["stop"]), int(state["step"]))
    if max(abs(whole.start), abs(whole.stop)) > 1 << 62 or len(whole) > MAX_NAMES:
        msg = f"it claims the names {shown(whole.start)} to {shown(whole.stop)}"
        raise ValueError(msg)
    return np.arange(whole.start, whole.stop, whole.step, dtype=np.int64)


def _masked(state: dict[str, Any]) -> Array:
    values, missing = array_of(state["_data"]), array_of(state["_mask"])
    if missing.dtype != np.bool_ or missing.shape != values.shape:
        msg = "the mask of a column does not fit its values"
        raise ValueError(msg)
    if not missing.any():
        return values
    if values.dtype.kind != "f":
        raise _lacks(int(missing.sum()), missing.size)
    return np.where(missing, np.nan, values)


def _backed(record: Backed) -> Array:
    # Its state names the array, and depending on the version of pandas a dtype and a dict.
    inner = next((part for part in record.state if isinstance(part, PlainArray | FromBuffer)), None)
    values: NDArray[Any] = array_of(inner)
    category = next((part for part in record.state if isinstance(part, CategoryType)), None)
    if category is None:
        return values
    names = index_array(category.state["categories"])
    if values.dtype.kind != "i" or (values < -1).any() or (values >= len(names)).any():
        msg = "the codes of a column of categories do not fit its categories"
        raise ValueError(msg)
    if (values < 0).any():
        raise _lacks(int((values < 0).sum()), values.size)
    return names[values]


def _lacks(missing: int, size: int) -> NotPlainError:
    return NotPlainError(f"{missing} of {size} values are missing (NA); fill or drop them")


def _numbers(data: Any, dtype: Any, shape: tuple[int, ...], order: str) -> Array:
    record = expect(dtype, Dtype, "an array has no dtype")
    code = record.args[0]
    if not (isinstance(code, str) and _NUMBER.match(code)):
        msg = "an array has a dtype that is no plain number"
        raise NotPlainError(msg)
    big_endian = record.state is not None and record.state[1] == ">"
    plain = np.dtype(code).newbyteorder(">" if big_endian else "<")
    text = data.args[0] if isinstance(data, Encoded) else data
    if not isinstance(text, str if isinstance(data, Encoded) else bytes | bytearray):
        msg = "an array holds no bytes"
        raise TypeError(msg)
    _check_shape(shape, len(text) // plain.itemsize, exact=len(text) % plain.itemsize == 0)
    if isinstance(text, str):
        if data.args[1] != "latin1":
            msg = "its bytes are not encoded as latin1"
            raise ValueError(msg)
        text = text.encode("latin1")
    flat = np.frombuffer(text, dtype=plain)
    return flat.reshape(shape, order="F" if order == "F" else "C")


def _objects(data: Any, shape: tuple[int, ...], *, fortran: bool) -> Array:
    if not isinstance(data, list):
        msg = "an array of objects holds no list"
        raise TypeError(msg)
    for item in data:
        if not (item is None or isinstance(item, str | bool | int | float)):
            msg = f"an array holds a {type(item).__name__.strip('_')}, not text or a number"
            raise NotPlainError(msg)
    _check_shape(shape, len(data))
    flat = np.empty(len(data), dtype=object)
    flat[:] = data
    return flat.reshape(shape, order="F" if fortran else "C")


def _check_shape(shape: tuple[int, ...], size: int, *, exact: bool = True) -> None:
    whole = len(shape) in {1, 2} and all(type(n) is int and n >= 0 for n in shape)
    if not whole or math.prod(shape) != size or not exact:
        msg = f"an array holds {size} values, which do not fit the shape it claims"
        raise ValueError(msg)
