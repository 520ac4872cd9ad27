"""Values that pandas 3 keeps in Arrow's form, from the records that a pickle leaves of them.

Where ``pyarrow`` is installed, pandas 3 holds texts in this form, names of columns included.

References:
    "Arrow Columnar Format", version 1.5: fixed-size primitive and variable-size binary layout.
"""

from itertools import pairwise
from typing import Any, Final

import numpy as np

from lidistill.datasets.pandaset.pandas_records import (
    ArrowArray,
    ArrowBuffer,
    ArrowChunks,
    ArrowType,
    ByteArray,
    NotPlainError,
    expect,
)
from lidistill.reading.names import shown
from lidistill.records import Array

_OFFSETS: Final = {"string": "<i4", "large_string": "<i8"}
_NUMBERS: Final = {
    "double": "<f8",
    "float": "<f4",
    "halffloat": "<f2",
    **{
        f"{sign}int{bits}": f"<{sign or 'i'}{bits // 8}"
        for sign in ("", "u")
        for bits in (8, 16, 32, 64)
    },
}
_MAX_CHUNKS: Final = 10_000
_MAX_VALUES: Final = 1 << 21  # of a column: rows of a table
_MAX_LETTERS: Final = 1 << 25
_MAX_TEXT: Final = 200  # bytes; names of classes and columns


def arrow_values(record: Any) -> Array:
    """(N,) numbers, or objects that are texts.

    Raises:
        NotPlainError: If they are neither, or some are missing.
        ValueError: Or another of ``BROKEN``, if the record is damaged.
    """
    parts = record.args[0] if isinstance(record, ArrowChunks) else [record]
    if not isinstance(parts, list) or not 0 < len(parts) <= _MAX_CHUNKS:
        msg = "the values of a column are no list of parts"
        raise ValueError(msg)
    free = _MAX_VALUES
    for part in parts:  # many may be of the same bytes
        free -= _claimed(part, most=free)
    arrays, letters = list[Array](), 0
    for part in parts:
        array = _one(part)
        letters += sum(map(len, array)) if array.dtype == np.object_ else 0
        if letters > _MAX_LETTERS:
            msg = f"its texts have more than {_MAX_LETTERS} letters"
            raise ValueError(msg)
        arrays.append(array)
    return np.concatenate(arrays)


def _claimed(record: Any, *, most: int) -> int:
    """How many values a part says it has."""
    (described,) = expect(record, ArrowArray, "a column holds nothing of Arrow's").args
    _, length, _, start, *_ = described
    if any(type(number) is not int or number < 0 for number in (length, start)) or length > most:
        msg = f"it claims {shown(length)} values from {shown(start)} on"
        raise ValueError(msg)
    return int(length)


def _one(record: Any) -> Array:
    (described,) = record.args
    kind, length, num_missing, start, buffers, *_ = described
    (name,) = expect(kind, ArrowType, "values of Arrow's have no type").args
    if num_missing:
        msg = f"{shown(num_missing)} of {shown(length)} values are missing (NA); fill or drop them"
        raise NotPlainError(msg)
    contents = [_content(buffer) for buffer in buffers[1:]]
    if name in _NUMBERS:
        return _part(contents[0], _NUMBERS[name], start, length)
    if name not in _OFFSETS:
        msg = f"its values have the type {shown(name)}"
        raise NotPlainError(msg)
    return _texts(_part(contents[0], _OFFSETS[name], start, length + 1), contents[1])


def _content(buffer: Any) -> bytes | bytearray:
    """Bytes of a buffer; None stands for one that is empty."""
    if buffer is None:
        return b""
    (content,) = expect(buffer, ArrowBuffer, "values of Arrow's are no buffer").args
    if isinstance(content, ByteArray):
        (content,) = content.args
    if not isinstance(content, bytes | bytearray):
        msg = "a buffer holds no bytes"
        raise TypeError(msg)
    return content


def _part(content: bytes | bytearray, dtype: str, start: int, length: int) -> Array:
    if length == 1 and not content and dtype in _OFFSETS.values():
        return np.zeros(1, dtype)  # of no text at all
    found = len(content) // np.dtype(dtype).itemsize
    if start + length > found:
        msg = f"it claims {shown(length)} values from {shown(start)} on, and holds {found}"
        raise ValueError(msg)
    return np.frombuffer(content, dtype)[start : start + length]


def _texts(ends: Array, content: bytes | bytearray) -> Array:
    """(N,) texts, which lie between (N + 1,) places in the content."""
    lengths = np.diff(ends)
    if ends[0] < 0 or ends[-1] > len(content) or (lengths < 0).any():
        msg = "its texts do not lie one after the other"
        raise ValueError(msg)
    if lengths.max(initial=0) > _MAX_TEXT:
        msg = f"it holds a text of {lengths.max()} bytes, expected at most {_MAX_TEXT}"
        raise ValueError(msg)
    texts = np.empty(len(ends) - 1, dtype=object)
    texts[:] = [content[first:last].decode() for first, last in pairwise(ends.tolist())]
    return texts
