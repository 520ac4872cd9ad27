"""A pickle read as what it plainly holds: nothing in it is imported, called or built.

A pickle is a program. Here its instructions move lists, dictionaries, texts and numbers about; a
class or a function stays a name, and what would be made of it is an ``Inert`` that says so.
"""

import pickletools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from lidistill.reading.names import shown

_MAX_INSTRUCTIONS: Final = 1_000_000
"""A network of 48 layers takes 20,000; with its optimiser 60,000."""
_KEYS: Final = (str, bytes, int, float, bool, type(None))

_CONSTANTS: Final = {
    "NONE": None,
    "NEWTRUE": True,
    "NEWFALSE": False,
}
_LITERALS: Final = frozenset(
    {
        *("BININT", "BININT1", "BININT2", "LONG1", "LONG4", "BINFLOAT"),
        *("SHORT_BINSTRING", "BINSTRING", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"),
        *("SHORT_BINBYTES", "BINBYTES", "BINBYTES8", "BYTEARRAY8"),
    }
)
_IGNORED: Final = frozenset({"PROTO", "FRAME", "STOP"})
_MARK: Final = object()


class ForeignError(ValueError):
    """A pickle needs what lies outside it: a class of its author's, or a form not read here."""


class HostileError(ValueError):
    """A pickle asks for what no table of weights has a use for, such as to start a program."""


@dataclass(frozen=True, slots=True)
class Name:
    """A class or a function by its name; it is never looked up."""

    module: str
    name: str

    def __str__(self) -> str:
        return shown(f"{self.module}.{self.name}", limit=80).strip("'\"")


@dataclass(frozen=True, slots=True)
class Inert:
    """Stands where a pickle makes an object; nothing was made."""

    what: str


class Source(Protocol):
    """What pickles are read from."""

    def read(self, size: int, /) -> bytes:
        """So many bytes."""
        ...

    def readline(self) -> bytes:
        """Up to the end of the line."""
        ...


Make = Callable[[Name, Any], Any]
"""From a name and what it is called with to the value; raises ``ForeignError`` if it may not."""


@dataclass(slots=True)
class _Machine:
    make: Make
    refer: Callable[[Any], Any]
    stack: list[Any] = field(default_factory=list)
    memo: dict[int, Any] = field(default_factory=dict)

    def pop_to_mark(self) -> list[Any]:
        """What was put down since the last mark."""
        at = len(self.stack) - 1
        while self.stack[at] is not _MARK:
            at -= 1
            if at < 0:
                msg = "no mark"
                raise ValueError(msg)
        items = self.stack[at + 1 :]
        del self.stack[at:]
        return items

    def fill(self, items: list[Any]) -> None:
        """Put keys and values, in turn, into the dictionary on top."""
        target = self.stack[-1]
        if isinstance(target, dict):
            # A key that is no plain value is nobody's name of a weight.
            target |= {k: v for k, v in zip(items[::2], items[1::2]) if isinstance(k, _KEYS)}  # noqa: B905

    def extend(self, items: list[Any]) -> None:
        """Put values at the end of the list on top."""
        if isinstance(self.stack[-1], list):
            self.stack[-1].extend(items)

    def pop(self, number: int) -> tuple[Any, ...]:
        """So many values from the top, the deepest first."""
        taken = tuple(self.stack[-number:]) if number else ()
        if len(taken) < number or _MARK in taken:
            msg = "its stack is empty"
            raise ValueError(msg)
        del self.stack[len(self.stack) - number :]
        return taken


def _called(machine: _Machine, number: int) -> None:
    function, *arguments = machine.pop(number)
    if not isinstance(function, Name):
        msg = "it calls what is no name"
        raise ValueError(msg)  # noqa: TRY004  whoever reads a file catches one error
    machine.stack.append(machine.make(function, arguments[0]))


def _named(machine: _Machine) -> None:
    module, name = machine.pop(2)
    machine.stack.append(Name(str(module), str(name)))


def _frozen(machine: _Machine) -> None:
    machine.pop_to_mark()
    machine.stack.append(Inert("frozenset"))


_SIMPLE: Final[dict[str, Callable[[_Machine], object]]] = {
    "MARK": lambda m: m.stack.append(_MARK),
    "POP": lambda m: m.stack.pop(),
    "POP_MARK": lambda m: m.pop_to_mark(),
    "DUP": lambda m: m.stack.append(m.stack[-1]),
    "EMPTY_DICT": lambda m: m.stack.append({}),
    "EMPTY_LIST": lambda m: m.stack.append([]),
    "EMPTY_TUPLE": lambda m: m.stack.append(()),
    "EMPTY_SET": lambda m: m.stack.append(Inert("set")),
    "TUPLE": lambda m: m.stack.append(tuple(m.pop_to_mark())),
    "TUPLE1": lambda m: m.stack.append(m.pop(1)),
    "TUPLE2": lambda m: m.stack.append(m.pop(2)),
    "TUPLE3": lambda m: m.stack.append(m.pop(3)),
    "FROZENSET": _frozen,
    "ADDITEMS": lambda m: m.pop_to_mark(),
    "APPEND": lambda m: m.extend(list(m.pop(1))),
    "APPENDS": lambda m: m.extend(m.pop_to_mark()),
    "SETITEM": lambda m: m.fill(list(m.pop(2))),
    "SETITEMS": lambda m: m.fill(m.pop_to_mark()),
    "BUILD": lambda m: m.pop(1),  # the state of an object that was not made
    "MEMOIZE": lambda m: m.memo.__setitem__(len(m.memo), m.stack[-1]),
    "STACK_GLOBAL": _named,
    "REDUCE": lambda m: _called(m, 2),
    "NEWOBJ": lambda m: _called(m, 2),
    "NEWOBJ_EX": lambda m: _called(m, 3),
    "BINPERSID": lambda m: m.stack.append(m.refer(m.pop(1)[0])),
}


def read_pickle(source: Source, *, make: Make, refer: Callable[[Any], Any]) -> Any:
    """Value of a pickle of protocol 2 to 5, made of plain values, of ``Inert`` and what is given.

    Args:
        source: Is read up to the pickle's last instruction, and no further.
        make: What comes of a call.
        refer: What comes of a persistent id.

    Raises:
        ForeignError: If it needs what it does not hold.
        ValueError: If it is damaged, or longer than that of any network.
    """
    machine = _Machine(make, refer)
    try:
        for count, (opcode, argument, _) in enumerate(pickletools.genops(source)):  # type: ignore[arg-type]
            _step(machine, opcode.name, argument)
            if count > _MAX_INSTRUCTIONS:
                msg = f"it has more than {_MAX_INSTRUCTIONS:,} instructions"
                raise ValueError(msg)
        return machine.pop(1)[0]
    except (LookupError, AttributeError, TypeError, OverflowError, UnicodeError) as error:
        msg = f"its pickle is damaged ({type(error).__name__})"
        raise ValueError(msg) from error


def _step(machine: _Machine, opcode: str, argument: Any) -> None:
    if opcode in _LITERALS:
        machine.stack.append(argument)
    elif opcode in {"BINPUT", "LONG_BINPUT"}:
        machine.memo[argument] = machine.stack[-1]
    elif opcode in {"BINGET", "LONG_BINGET"}:
        machine.stack.append(machine.memo[argument])
    elif opcode in _SIMPLE:
        _SIMPLE[opcode](machine)
    elif opcode in _CONSTANTS:
        machine.stack.append(_CONSTANTS[opcode])
    elif opcode == "GLOBAL":
        machine.stack.append(Name(*argument.split(" ", 1)))
    elif opcode not in _IGNORED:
        msg = f"its pickle has the instruction {opcode}"
        raise ForeignError(msg)
