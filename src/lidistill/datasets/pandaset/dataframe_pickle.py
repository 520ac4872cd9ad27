"""PandaSet's pickled tables without pandas and without running anything that is in the file.

The few names that such files use become inert records, and plain code reads the columns out of
them: neither pandas nor NumPy is ever called by the file.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np

from lidistill.datasets.pandaset.pandas_arrays import array_of, index_array
from lidistill.datasets.pandaset.pandas_records import (
    ADMITTED,
    Block,
    DataFrame,
    Manager,
    NotPlainError,
    Slice,
    expect,
)
from lidistill.errors import FileFormatError
from lidistill.reading.files import read_file
from lidistill.reading.gzipped import gunzip
from lidistill.reading.inert_pickle import BROKEN, RefusedError, load_inert
from lidistill.reading.names import shown
from lidistill.records import Array

MAX_BYTES: Final = 1 << 25
"""Decompressed size at which a file is refused; PandaSet's largest have about 10 MB."""
MAX_ROWS: Final = 1 << 21
"""Points of a scan; both lidars of PandaSet together have 170,000."""
_MAX_COLUMNS: Final = 1000
_AGAIN: Final = "Take the file from the data set's own archive again."


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A pandas table whose columns are read when they are asked for."""

    path: Path
    places: dict[str, tuple[Any, int]] = field(repr=False)
    """Record of the values, and the row in it, of every column by name, in order."""
    rows: Any = field(repr=False)
    """Record of the names of the rows."""

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the columns, in order."""
        return tuple(self.places)

    def columns(self, names: Sequence[str]) -> list[Array]:
        """(rows,) booleans, integers, floats, or objects that are strings, numbers or None each.

        Raises:
            FileFormatError: If values are of another type, some are missing, or it is damaged.
        """
        found = []
        for name in names:
            record, row = self.places[name]
            with _blamed_on(self.path, f"its column {shown(name)}: "):
                found.append(_native(np.atleast_2d(array_of(record))[row]))
        if len({len(column) for column in found}) > 1:
            counts = ", ".join(str(len(column)) for column in found)
            msg = f"{self.path}: its columns have {counts} values; it is damaged. {_AGAIN}"
            raise FileFormatError(msg)
        return found

    def index(self) -> Array:
        """(rows,) names of the rows, which pandas joins tables by: mostly numbers.

        Raises:
            FileFormatError: If they are of another type, or damaged.
        """
        with _blamed_on(self.path, "its index: "):
            return _native(index_array(self.rows))


def _native(values: Array) -> Array:
    """A copy of its own, in the machine's byte order.

    Raises:
        ValueError: If it has more rows than any scan has points.
    """
    if len(values) > MAX_ROWS:
        msg = f"{len(values)} rows, expected at most {MAX_ROWS}"
        raise ValueError(msg)
    return np.array(values, dtype=values.dtype.newbyteorder("="))


def read_dataframe(path: Path, *, max_bytes: int = MAX_BYTES) -> Table:
    """A pickled pandas table, gzipped or not, whatever its name ends in.

    Args:
        path: A ``.pkl.gz`` or ``.pkl`` file of PandaSet, written by any pandas from 0.25 to 3.
        max_bytes: Largest decompressed size that is read.

    Raises:
        DatasetNotFoundError: If there is no such file.
        FileFormatError: If the file is damaged, too large, no such table, or asks for a name that
            such a table does not need; nothing in it is run.
    """
    content: bytes | bytearray = read_file(path, max_bytes=max_bytes)
    if not content.startswith(b"\x80"):
        try:
            content = gunzip(bytes(content), max_bytes=max_bytes)
        except ValueError as error:
            msg = f"{path}: {error}; expected a pickled table, plain or gzipped. {_AGAIN}"
            raise FileFormatError(msg) from error
    with _blamed_on(path):
        return _table(path, load_inert(content, ADMITTED))


@contextmanager
def _blamed_on(path: Path, what: str = "") -> Iterator[None]:
    """Whatever damaged or foreign content makes of the code inside becomes an error that says so.

    Raises:
        FileFormatError: If the content is refused, foreign or damaged.
    """
    try:
        yield
    except RefusedError as refusal:
        msg = (
            f"{path}: {refusal}, which no table of numbers needs; refused, nothing was run. Write "
            f"its columns as plain NumPy numbers. {_AGAIN}"
        )
        raise FileFormatError(msg) from None
    except NotPlainError as error:
        msg = f"{path}: {what}{error}. Expected plain numbers."
        raise FileFormatError(msg) from error
    except BROKEN as error:
        reason = " ".join(str(error)[:500].split())[:200] or type(error).__name__
        msg = f"{path}: {what}not a table that pandas pickled, or damaged ({reason}). {_AGAIN}"
        raise FileFormatError(msg) from error


def _table(path: Path, root: Any) -> Table:
    state = expect(root, DataFrame, "the pickle holds no DataFrame").state
    manager = expect(state.get("_mgr", state.get("_data")), Manager, "the DataFrame is empty")
    if manager.args:
        blocks, axes = manager.args
        placed = [(block.args[0], block.args[1]) for block in blocks if isinstance(block, Block)]
    else:
        modern = manager.state[3]["0.14.1"]
        axes = modern["axes"]
        placed = [(block["values"], block["mgr_locs"]) for block in modern["blocks"]]
    names = _names(axes[0])
    places: dict[str, tuple[Any, int]] = {}
    for values, placement in placed:
        for row, place in enumerate(_places(placement, len(names))):
            if names[place] in places:
                msg = f"its column {shown(names[place])} has two places"
                raise ValueError(msg)
            places[names[place]] = values, row
    if len(places) != len(names):
        msg = f"{len(names) - len(places)} of its {len(names)} columns have no values"
        raise ValueError(msg)
    return Table(path=path, places={name: places[name] for name in names}, rows=axes[1])


def _names(index: Any) -> list[str]:
    names = index_array(index)
    if len(names) > _MAX_COLUMNS:
        msg = f"it has {len(names)} columns, expected at most {_MAX_COLUMNS}"
        raise ValueError(msg)
    texts = [str(name) if isinstance(name, str) else shown(name) for name in names.tolist()]
    if len(set(texts)) != len(texts):
        msg = f"a name stands over more than one of its {len(texts)} columns"
        raise ValueError(msg)
    return texts


def _places(placement: Any, num_columns: int) -> Sequence[int]:
    """Columns of a block; more than there are in all are refused before they are counted out."""
    if isinstance(placement, Slice):
        places: Sequence[int] = range(*placement.args)
    else:
        places = array_of(placement)[: num_columns + 1].tolist()
    if len(places) > num_columns or any(not 0 <= place < num_columns for place in places):
        msg = f"a block has places that are none of its {num_columns} columns"
        raise ValueError(msg)
    return places
