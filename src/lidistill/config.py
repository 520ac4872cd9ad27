"""What recipes are made of: the strict base model, and numbers that many of them share."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal, TypeAlias, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

Side: TypeAlias = Annotated[int, Field(ge=1, le=1 << 14)]
Size: TypeAlias = tuple[Side, Side]
"""Height and width of images and planes; the largest of the recipes has 896 pixels."""
Precision: TypeAlias = Literal["fp32", "bf16", "fp16"]
"""Arithmetic of training: of the matrix products, that is; weights stay in 32 bits."""
FrozenPrecision: TypeAlias = Literal["fp32", "bf16"]
"""Arithmetic of a network that does not train, where fp16 would overflow without being noticed."""
TeacherPrecision: TypeAlias = FrozenPrecision | Literal["auto"]
"""``auto``: exact (fp32) on a processor, the run's 16 bits on a GPU; see ``teachers.precision``."""
InferencePrecision: TypeAlias = FrozenPrecision | Literal["auto"]
"""``auto``: bf16 where the machine is fast in it and the first scans show that it changes next to
nothing (``backbones.checked``), else exact."""
Workers: TypeAlias = Annotated[int, Field(ge=0, le=256)]
"""Processes that read data; beyond a few a core they only take memory, some 0.3 GB each."""
Seed: TypeAlias = Annotated[int, Field(strict=True, ge=0, lt=2**63)]


class Config(BaseModel):
    """Base of every configuration: frozen, an unknown key or no number is an error."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", validate_default=True, allow_inf_nan=False
    )


@dataclass(frozen=True, slots=True)
class OnResume:
    """How a field may differ when a run is resumed; without this it must equal the stored one."""

    rule: Literal["may change", "may move"]
    """Change, since it changes nothing that is learned but for the rounding of another device; or
    name another folder, but neither appear nor vanish."""


T = TypeVar("T")
MayChange: TypeAlias = Annotated[T, OnResume("may change")]
MayMove: TypeAlias = Annotated[T, OnResume("may move")]


def resume_rule(config: Config, key: str) -> str | None:
    """The rule of the outermost field on the way to a dotted key that has one."""
    node: object = config
    for part in key.split("."):
        if isinstance(node, Config) and part in type(node).model_fields:
            notes = type(node).model_fields[part].metadata
            if rules := [note.rule for note in notes if isinstance(note, OnResume)]:
                return rules[0]
            node = getattr(node, part)
        elif isinstance(node, Mapping) and part in node:
            node = node[part]
        elif isinstance(node, tuple) and part.isdigit() and int(part) < len(node):
            node = node[int(part)]
        else:
            return None
    return None


_WORDS: Final = (
    (r"Value error, ", ""),
    (r"Input should be a valid dictionary(?: or .*)?", "expected keys and values"),
    (r"Input should be a valid (?:tuple|list)", "expected a list"),
    (
        r"(?:Dictionary|Tuple|List) should have at least (\d+) items? .*",
        r"expected \1 or more entries",
    ),
    (
        r"(?:Dictionary|Tuple|List) should have at most (\d+) items? .*",
        r"expected at most \1 entries",
    ),
    (r"Input should be", "expected"),
)
"""How pydantic begins, and what is said here instead."""


def reason_of(message: str) -> str:
    """What pydantic says about a value, in the words of this project's errors."""
    for theirs, ours in _WORDS:
        message = re.sub(f"^{theirs}", ours, message)
    return message


def with_defaults(model: type[Config], values: dict[str, Any]) -> dict[str, Any]:
    """Values as an older version wrote them, with the defaults of keys that came later.

    Where they no longer make a configuration they come back as they are.
    """
    try:
        return model.model_validate(values).model_dump(mode="json")
    except ValidationError:
        return values


_ABSENT: Final = object()


def with_moved_keys(values: Any, moves: Mapping[str, str]) -> Any:
    """Values with former keys under their present names; what a former key says counts.

    Args:
        values: As they are written; left alone.
        moves: Dotted former key, and the dotted key that has taken its place; ``*`` in both
            stands for every entry of a list.
    """
    for former, present in _spelled_out(values, moves).items():
        found, rest = _taken(values, former.split("."))
        if found is not _ABSENT:
            values = _with(rest, present.split("."), found)
    return values


def former_keys(values: Any, moves: Mapping[str, str]) -> list[str]:
    """The former keys that values have, as ``moves`` names them."""
    return [key for key in moves if any(_has(values, k) for k in _spelled_out(values, {key: key}))]


def _spelled_out(values: Any, moves: Mapping[str, str]) -> dict[str, str]:
    """The moves with a number for each ``*``, as far as values have such a list."""
    plain: dict[str, str] = {}
    for former, present in moves.items():
        if "*" not in former.split("."):
            plain[former] = present
            continue
        entries, _ = _taken(values, former.split(".*.", 1)[0].split("."))
        for number in range(len(entries)) if isinstance(entries, list) else ():
            plain[former.replace("*", str(number), 1)] = present.replace("*", str(number), 1)
    return plain


def _has(values: Any, key: str) -> bool:
    return _taken(values, key.split("."))[0] is not _ABSENT


def _taken(node: Any, path: list[str]) -> tuple[Any, Any]:
    """What is under a path, and the rest without it."""
    key, *below = path
    if isinstance(node, list) and below:
        found, inner = _taken(node[int(key)], below)
        return found, node if found is _ABSENT else _replaced(node, int(key), inner)
    if not isinstance(node, dict) or key not in node:
        return _ABSENT, node
    if not below:
        return node[key], {name: value for name, value in node.items() if name != key}
    found, inner = _taken(node[key], below)
    return found, node if found is _ABSENT else node | {key: inner}


def _replaced(entries: list[Any], number: int, value: Any) -> list[Any]:
    return [*entries[:number], value, *entries[number + 1 :]]


def _with(node: Any, path: list[str], value: Any) -> Any:
    """A copy with a value under a path; a mapping is merged into one that is there."""
    key, *below = path
    if isinstance(node, list) and below:
        return _replaced(node, int(key), _with(node[int(key)], below, value))
    if node is not None and not isinstance(node, dict):
        return node
    there = None if node is None else node.get(key)
    if below:
        value = _with(there, below, value)
    elif isinstance(there, dict) and isinstance(value, dict):
        value = there | value
    return (node or {}) | {key: value}
