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

from lidistill.reading.names import shown

_MAX_OPCODES: Final = 1_000_000
_MAX_TUPLES: Final = 10_000  # nested ones are hashed recursively, down to the end of the stack
_MAX_ITEMS: Final = 10_000  # of dictionaries; numbers can be chosen so that all of them collide

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
            msg = f"its pickle asks for {shown(f'{module}.{name}')}"
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
    tuples = items = 0
    depths = [0]  # of the stack, since each mark
    for count, (opcode, argument, _) in enumerate(pickletools.genops(content)):
        if opcode.name not in _OPCODES:
            msg = f"its pickle uses the instruction {opcode.name}"
            raise RefusedError(msg)
        if opcode.name.endswith("BINPUT") and int(argument or 0) > size:
            msg = f"memo number {argument} in a pickle of {size} bytes"
            raise pickle.UnpicklingError(msg)
        tuples += opcode.name.startswith("TUPLE")
        items += 2 if opcode.name == "SETITEM" else 0
        items += depths[-1] if opcode.name == "SETITEMS" else 0
        _follow(opcode.name, depths)
        if count > _MAX_OPCODES or tuples > _MAX_TUPLES or items > 2 * _MAX_ITEMS:
            msg = "more instructions than any such table needs"
            raise pickle.UnpicklingError(msg)


def _effect(opcode: pickletools.OpcodeInfo) -> tuple[bool, int]:
    """Whether an instruction takes all down to a mark, and by how much the rest grows."""
    before, marked = opcode.stack_before, pickletools.markobject in opcode.stack_before
    if marked:
        before = before[: before.index(pickletools.markobject)]
    return marked, len(opcode.stack_after) - len(before)


_EFFECTS: Final = {opcode.name: _effect(opcode) for opcode in pickletools.opcodes}


def _follow(name: str, depths: list[int]) -> None:
    """What an instruction does to the stack: how much lies on it since each mark."""
    marked, growth = _EFFECTS[name]
    if name == "MARK":
        depths.append(0)
        return
    if name == "POP" and depths[-1] == 0:
        marked, growth = True, 0  # a mark, where nothing lies on it
    if marked:
        if len(depths) == 1:
            msg = "an instruction looks for a mark that is not there"
            raise pickle.UnpicklingError(msg)
        depths.pop()
    depths[-1] += growth
