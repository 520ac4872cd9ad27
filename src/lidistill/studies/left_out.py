"""``null`` for a benchmark, an axis or a series of it: the study without it."""

from collections.abc import Collection, Sequence
from typing import Any

from lidistill.errors import unknown_name


def without_left_out(values: dict[str, Any], known: dict[str, Any]) -> dict[str, Any]:
    """Values of a study without what is ``null`` in them, and without what was for that alone.

    Args:
        values: As a file and the command line give them, not checked.
        known: As the file alone gives them.

    Raises:
        UnknownNameError: If the command line leaves out what is not there.
    """
    _check(values, known, ("benchmarks",))
    _check(values, known, ("axes",))
    for axis in _mapping(values.get("axes")):
        _check(values, known, ("axes", axis))
    benchmarks = _mapping(values.get("benchmarks"))
    gone = {name for name, benchmark in benchmarks.items() if benchmark is None}
    left = dict(values)
    if benchmarks:
        left["benchmarks"] = {n: one for n, one in benchmarks.items() if n not in gone} or None
    if "axes" in values:
        left["axes"] = _left(values["axes"], ("axis", "series", "value"), gone)
    return left


def _check(values: dict[str, Any], known: dict[str, Any], path: tuple[str, ...]) -> None:
    """See to it that what is left out below a key is known there."""
    for key in path:
        values, known = _mapping(values.get(key)), _mapping(known.get(key))
    for name, part in values.items():
        if part is None and name not in known:
            raise unknown_name(f"name to leave out of {'.'.join(path)}", str(name), known)


def _mapping(values: Any) -> dict[Any, Any]:
    return values if isinstance(values, dict) else {}


def _for_what_is_left(value: Any, gone: Collection[str]) -> Any:
    """A value of an axis without the benchmarks that are gone; None if it was for no other."""
    if not isinstance(value, dict) or not isinstance(only := value.get("only"), dict):
        return value
    left = {name: changes for name, changes in only.items() if name not in gone}
    return None if only and not left else value | {"only": left}


def _left(part: Any, levels: Sequence[str], gone: Collection[str]) -> Any:
    """All axes, an axis, a series or a value without what is left out; None if nothing is left.

    Args:
        part: As it was given, not checked.
        levels: What lies in it, level by level; a value holds none.
        gone: Benchmarks that are left out.
    """
    if not levels:
        return {} if part is None else _for_what_is_left(part, gone)
    if not isinstance(part, dict) or not part:
        return part
    looked = ((name, _left(inner, levels[1:], gone)) for name, inner in part.items())
    return {name: inner for name, inner in looked if inner is not None} or None
