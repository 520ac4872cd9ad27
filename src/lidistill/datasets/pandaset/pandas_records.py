"""The names that a pickled pandas table may use; each becomes a record that does nothing."""

from typing import Any, Final

from lidistill.reading.inert_pickle import Record


class NotPlainError(ValueError):
    """A sound array of values that are no numbers or texts."""


def expect(record: Any, kind: type[Record], message: str) -> Record:
    """The record, which must be of a kind.

    Raises:
        TypeError: If it is another.
    """
    if not isinstance(record, kind):
        raise TypeError(message)
    return record


class DataFrame(Record):
    """The table."""


class Manager(Record):
    """Its blocks of columns of one type, and its two axes."""


class Block(Record):
    """Values of some columns, and their places among the columns."""


class NewIndex(Record):
    """Names of the columns, or of the rows."""


class IndexType(Record):
    """What kind of index ``NewIndex`` makes."""


class Backed(Record):
    """An array inside another: text, categories or times."""


class BackedType(Record):
    """What kind of array ``Backed`` makes, or its type of values."""


class Masked(Record):
    """Numbers of which some may be missing: values, and a mask."""


class Arrow(Record):
    """An array inside of which Arrow holds the values; its state has them as ``_pa_array``."""


class ArrowChunks(Record):
    """Arrow's arrays one after the other, and their type."""


class ArrowArray(Record):
    """One of them; its argument is type, length, gaps, start, buffers, children, dictionary."""


class ArrowType(Record):
    """Name of the type of its values."""


class ArrowBuffer(Record):
    """Its bytes."""


class ByteArray(Record):
    """The same in pickles of protocol 3 and 4."""


class Missing(Record):
    """What stands in place of a value; here only a part of a type's description."""


class CategoryType(Record):
    """The values that codes stand for."""


class Slice(Record):
    """Places of columns: first, end, step."""


class Encoded(Record):
    """Bytes that Python 2 wrote as text."""


class Dtype(Record):
    """Type of an array's numbers."""


class NdArray(Record):
    """The class of plain arrays, and nothing else."""


class PlainArray(Record):
    """An array; its state is version, shape, dtype, order and data."""


class FromBuffer(Record):
    """An array; its arguments are data, dtype, shape and order."""


def _arrays(kind: type[Record], *places: str) -> dict[tuple[str, str], type[Record]]:
    return {(place.rpartition(":")[0], place.rpartition(":")[2]): kind for place in places}


_INDEX: Final = "pandas.core.indexes"
_ARRAYS: Final = "pandas.core.arrays"

ADMITTED: Final[dict[tuple[str, str], type[Record]]] = {
    **_arrays(DataFrame, "pandas:DataFrame", "pandas.core.frame:DataFrame"),
    **_arrays(
        Manager,
        "pandas.core.internals:BlockManager",
        "pandas.core.internals.managers:BlockManager",
    ),
    **_arrays(Block, "pandas._libs.internals:_unpickle_block"),
    **_arrays(NewIndex, f"{_INDEX}.base:_new_Index"),
    **_arrays(IndexType, "pandas:Index", "pandas:RangeIndex", "pandas:MultiIndex"),
    **_arrays(IndexType, f"{_INDEX}.base:Index", f"{_INDEX}.range:RangeIndex"),
    **_arrays(IndexType, f"{_INDEX}.multi:MultiIndex", "pandas.core.indexes.frozen:FrozenList"),
    **_arrays(IndexType, *(f"{_INDEX}.numeric:{n}64Index" for n in ("Int", "UInt", "Float"))),
    **_arrays(Backed, "pandas._libs.arrays:__pyx_unpickle_NDArrayBacked"),
    **_arrays(BackedType, "pandas:Categorical", f"{_ARRAYS}.categorical:Categorical"),
    **_arrays(BackedType, "pandas.arrays:StringArray", "pandas:StringDtype"),
    **_arrays(BackedType, "pandas.arrays:DatetimeArray", f"{_ARRAYS}.datetimes:DatetimeArray"),
    **_arrays(BackedType, "pandas.arrays:TimedeltaArray", f"{_ARRAYS}.timedeltas:TimedeltaArray"),
    **_arrays(
        BackedType,
        *(
            f"{_ARRAYS}.string_:{name}"
            for name in ("StringArray", "StringArrayNumpySemantics", "StringDtype")
        ),
    ),
    **_arrays(Arrow, *(f"pandas.arrays:Arrow{n}Array" for n in ("String", "Extension"))),
    **_arrays(Arrow, f"{_ARRAYS}.string_arrow:ArrowStringArray"),
    **_arrays(Arrow, f"{_ARRAYS}.string_arrow:ArrowStringArrayNumpySemantics"),
    **_arrays(Arrow, f"{_ARRAYS}.arrow.array:ArrowExtensionArray"),
    **_arrays(BackedType, "pandas:ArrowDtype", "pandas.core.dtypes.dtypes:ArrowDtype"),
    **_arrays(Missing, "pandas:NA", "pandas._libs.missing:NA"),
    **_arrays(ArrowChunks, "pyarrow.lib:chunked_array"),
    **_arrays(ArrowArray, "pyarrow.lib:_restore_array"),
    **_arrays(ArrowType, "pyarrow.lib:type_for_alias"),
    **_arrays(ArrowBuffer, "pyarrow.lib:py_buffer"),
    **_arrays(ByteArray, "builtins:bytearray"),
    **_arrays(CategoryType, "pandas:CategoricalDtype"),
    **_arrays(CategoryType, "pandas.core.dtypes.dtypes:CategoricalDtype"),
    **_arrays(Masked, *(f"pandas.arrays:{n}Array" for n in ("Integer", "Floating", "Boolean"))),
    **_arrays(Masked, f"{_ARRAYS}.integer:IntegerArray", f"{_ARRAYS}.floating:FloatingArray"),
    **_arrays(Masked, f"{_ARRAYS}.boolean:BooleanArray"),
    **_arrays(
        BackedType,
        *(
            f"{place}:{sign}Int{bits}Dtype"
            for place in ("pandas", f"{_ARRAYS}.integer")
            for sign in ("", "U")
            for bits in (8, 16, 32, 64)
        ),
        *(
            f"{place}:Float{bits}Dtype"
            for place in ("pandas", f"{_ARRAYS}.floating")
            for bits in (32, 64)
        ),
        "pandas:BooleanDtype",
        f"{_ARRAYS}.boolean:BooleanDtype",
    ),
    **_arrays(Slice, "builtins:slice", "__builtin__:slice"),
    **_arrays(Encoded, "_codecs:encode"),
    **_arrays(Dtype, "numpy:dtype"),
    **_arrays(NdArray, "numpy:ndarray"),
    **_arrays(
        PlainArray, "numpy.core.multiarray:_reconstruct", "numpy._core.multiarray:_reconstruct"
    ),
    **_arrays(FromBuffer, "numpy.core.numeric:_frombuffer", "numpy._core.numeric:_frombuffer"),
}
"""Every name that these tables use, by module; each stands for a record and nothing else."""
