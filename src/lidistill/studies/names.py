"""What things are called in a study: names that become folders, columns, lines and figures."""

from typing import Annotated, Final, TypeAlias

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
