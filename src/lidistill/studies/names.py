"""What things are called in a study: names that become folders, columns, lines and figures."""

from typing import Annotated, Any, Final, TypeAlias

from pydantic import AfterValidator

from lidistill.reading.names import path_part, shown

STUDENT: Final = "student"
"""Name of the distillation in a cell; probes have those that the study gives."""
MEAN: Final = "mean"
"""Name of the mean over all probes of a benchmark, for each seed that has all of them."""
DONE: Final = "cell.json"
"""What a finished cell has found, in its folder."""
FAILED: Final = "failed.json"
"""Why a cell failed when it ran last, in its folder."""
LOG: Final = "output.txt"
"""What a cell that runs in a process of its own prints, in its folder."""
_OWN: Final = frozenset({STUDENT, MEAN, DONE, FAILED, LOG})
_MAX_LABEL: Final = 80


def with_texts_as_names(values: Any, path: str = "") -> Any:
    """A copy of what a study's file holds, in which numbers that name something are texts.

    ``64:`` is a number for YAML, and a good name for a width.

    Args:
        values: Mappings, lists and values.
        path: Where they stand, for the message.

    Raises:
        ValueError: If a name is neither a text nor a number.
    """
    if isinstance(values, list):
        return [with_texts_as_names(one, f"{path}.{i}") for i, one in enumerate(values)]
    if not isinstance(values, dict):
        return values
    found: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(name, bool) or not isinstance(name, str | int | float):
            read = "; YAML reads yes, no, on and off as true and false" if name in {0, 1} else ""
            msg = f"{path.lstrip('.') or 'the file'}: found the name {name}{read}; put it in quotes"
            raise ValueError(msg)  # noqa: TRY004  told like all that is wrong in a study
        if str(name) in found:
            msg = f"{path.lstrip('.') or 'the file'}: {shown(str(name))} is there twice; keep one"
            raise ValueError(msg)
        found[str(name)] = with_texts_as_names(value, f"{path}.{name}")
    return found


def _label(name: str) -> str:
    """A name that a table's line and a figure can show.

    Raises:
        ValueError: If it is empty, too long, or holds what is not printed.
    """
    if not 0 < len(name.strip()) <= _MAX_LABEL or not name.isprintable():
        msg = f"the name {shown(name)} fits no table, expected 1 to {_MAX_LABEL} letters and signs"
        raise ValueError(msg)
    return name


def _probe_name(name: str) -> str:
    """The name of a probe, which has a folder in that of its cell, and a column of the table.

    Raises:
        ValueError: If something else there has it.
    """
    if name in _OWN or name.startswith("."):
        msg = f"the name {shown(name)} is the study's own; call the probe something else"
        raise ValueError(msg)
    return name


Label: TypeAlias = Annotated[str, AfterValidator(_label)]
"""Of an axis, a series, a value."""
Name: TypeAlias = Annotated[Label, AfterValidator(lambda name: path_part(name, "name"))]
"""Of a benchmark."""
ProbeName: TypeAlias = Annotated[Name, AfterValidator(_probe_name)]
