"""Loading a pickle without running it: its names become records that only remember.

A pickle is a program. Every name it may use is listed by the caller and stands for a class of
records here, so that building objects from the file calls nothing but their constructor.
"""

import io
import pickle
import pickletools
import warnings
from collections.abc import Mapping
from typing import Any, Final

_MAX_OPCODES: Final = 1_000_000
_MAX_TUPLES: Final = 10_000  # nested ones are hashed recursively, down to the end of the stack

_OPCODES: Final = frozenset(
    [
        *("PROTO", "FRAME", "STOP", "MARK", "POP", "POP_MARK", "DUP"),
        *("MEMOIZE", "BINPUT", "LONG_BINPUT", "BINGET", "LONG_BINGET"),
        *("NONE", "NEWTRUE", "NEWFALSE", "BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT"),
        *("SHORT_BINBYTES", "BINBYTES", "BINBYTES8", "BYTEARRAY8"),
        *("BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"),
        *("EMPTY_TUPLE", "TUPLE", "TUPLE1", "TUPLE2", "TUPLE3"),
        *("EMPTY_LIST", "APPEND", "APPENDS", "EMPTY_DICT", "SETITEM", "SETITEMS"),
        *("GLOBAL", "STACK_GLOBAL", "NEWOBJ", "REDUCE", "BUILD"),
    ]
)
"""What pickles of protocol 2 to 5 need; no persistent ids, extensions or out-of-band buffers."""

BROKEN: Final = (
    pickle.UnpicklingError,
    ArithmeticError,
    AttributeError,
    EOFError,
    LookupError,
    MemoryError,
    TypeError,
    ValueError,
)
"""What damaged or hostile bytes make of the unpickler, and of the reading of its records."""


class RefusedError(Exception):
    """The pickle asks for something that is not admitted."""


class Record:
    """Remembers the arguments and the state that a pickle gives an object; does nothing."""

    __slots__ = ("args", "state")
    args: tuple[Any, ...]
    state: Any

    def __new__(cls, *args: Any) -> "Record":
        """A record of a call with these arguments."""
        record = super().__new__(cls)
        record.args, record.state = args, None
        return record

    def __setstate__(self, state: Any) -> None:
        self.state = state


class _Unpickler(pickle.Unpickler):
    def __init__(
        self, content: io.BytesIO, admitted: Mapping[tuple[str, str], type[Record]]
    ) -> None:
        super().__init__(content)
        self._admitted = admitted

    def find_class(self, module: str, name: str) -> type[Record]:
        """Only the names of the table."""
        if (module, name) not in self._admitted:
            msg = f"its pickle asks for '{module}.{name}'"
            raise RefusedError(msg)
        return self._admitted[module, name]


def load_inert(content: bytes | bytearray, admitted: Mapping[tuple[str, str], type[Record]]) -> Any:
    """Object of a pickle, made of records, lists, tuples, dictionaries, strings and numbers.

    Args:
        content: The pickle, protocol 2 to 5.
        admitted: Kind of record for every (module, name) that the pickle may use.

    Raises:
        RefusedError: If the pickle asks for another name or another kind of instruction.
        pickle.UnpicklingError: Or another of ``BROKEN``, if it is damaged.
    """
    file = io.BytesIO(content)
    with warnings.catch_warnings():
        # Decoding the arguments of an instruction that is refused anyway may warn.
        warnings.simplefilter("ignore")
        _scan(file, len(content))
    file.seek(0)
    return _Unpickler(file, admitted).load()


def _scan(content: io.BytesIO, size: int) -> None:
    """Check every instruction and its length before any is carried out.

    The unpickler reserves memory for whatever length or memo number an instruction claims.
    """
    tuples = 0
    for count, (opcode, argument, _) in enumerate(pickletools.genops(content)):
        if opcode.name not in _OPCODES:
            msg = f"its pickle uses the instruction {opcode.name}"
            raise RefusedError(msg)
        if opcode.name.endswith("BINPUT") and int(argument or 0) > size:
            msg = f"memo number {argument} in a pickle of {size} bytes"
            raise pickle.UnpicklingError(msg)
        tuples += opcode.name.startswith("TUPLE")
        if count > _MAX_OPCODES or tuples > _MAX_TUPLES:
            msg = "more instructions than any such table needs"
            raise pickle.UnpicklingError(msg)
