"""``null`` for a benchmark, an axis or a series of it: the study without it."""

from collections.abc import Callable, Collection
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

    def value_left(value: Any) -> Any:
        return {} if value is None else _for_what_is_left(value, gone)

    def series_left(series: Any) -> Any:
        return _left(series, value_left)

    def axis_left(axis: Any) -> Any:
        return _left(axis, series_left)

    looks = {"benchmarks": _as_it_is, "axes": axis_left}
    return values | {key: _left(values[key], look) for key, look in looks.items() if key in values}


def _check(values: dict[str, Any], known: dict[str, Any], path: tuple[str, ...]) -> None:
    """See to it that what is left out below a key is known there."""
    for key in path:
        values, known = _mapping(values.get(key)), _mapping(known.get(key))
    for name, part in values.items():
        if part is None and name not in known:
            raise unknown_name(f"name to leave out of {'.'.join(path)}", str(name), known)


def _mapping(values: Any) -> dict[Any, Any]:
    return values if isinstance(values, dict) else {}


def _as_it_is(part: Any) -> Any:
    return part


def _for_what_is_left(value: Any, gone: Collection[str]) -> Any:
    """A value of an axis without the benchmarks that are gone; None if it was for no other."""
    if not isinstance(value, dict) or not isinstance(only := value.get("only"), dict):
        return value
    left = {name: changes for name, changes in only.items() if name not in gone}
    return None if only and not left else value | {"only": left}


def _left(parts: Any, look: Callable[[Any], Any]) -> Any:
    """A mapping without the parts that are None when looked at; None if none is left."""
    if not isinstance(parts, dict) or not parts:
        return parts
    looked = ((name, look(part)) for name, part in parts.items())
    return {name: part for name, part in looked if part is not None} or None
