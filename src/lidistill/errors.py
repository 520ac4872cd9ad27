"""The exception family: what a user can mend, said in one line."""

import difflib
import importlib
import pickle
import re
from collections.abc import Iterable
from types import ModuleType


class LidistillError(Exception):
    """Base of every error that the user, not the programmer, can mend.

    The message is one line: what was found, what was expected, what to do.
    """

    exit_status = 2
    """Of the command that ends with this error."""


class ConfigError(LidistillError):
    """A recipe, an override or an argument does not say what it must."""


class UnknownNameError(ConfigError):
    """A name that is not in its table."""


class DatasetNotFoundError(LidistillError):
    """A data set, or a part of it that was asked for, is not on disk."""


class FileFormatError(LidistillError):
    """A file is there but is not what it should be."""


class WeightsNotFoundError(LidistillError):
    """Weights of a network are nowhere to be found."""


class CheckpointError(LidistillError):
    """A checkpoint is missing, incomplete, or of another architecture."""


class MissingPackageError(LidistillError):
    """An optional package is needed and not installed."""


class UnsupportedSystemError(LidistillError):
    """The operating system lacks what is needed."""


class TrainingError(LidistillError):
    """A run cannot go on: nothing to train on, or numbers that are no longer finite."""


class RunStoppedError(LidistillError):
    """A run was asked to stop, or lost a helper, and can go on from its last checkpoint.

    Args:
        message: What happened, and that the same command goes on.
        exit_status: 143 after SIGTERM, 130 after SIGINT, 129 after SIGHUP; 75 (temporary failure)
            where a scheduler should start the same command again.
    """

    def __init__(self, message: str, *, exit_status: int = 75) -> None:
        super().__init__(message)
        self.exit_status = exit_status


_MAX_NAME = 100
"""Characters of a name that is compared with others, and shown: the cost is their product."""
_MAX_NAMES = 12
"""As many known names as an error lists."""

UNREADABLE = (
    OSError,
    RuntimeError,
    EOFError,
    pickle.UnpicklingError,
    KeyError,
    IndexError,
    TypeError,
    ValueError,
    AttributeError,
)
"""What ``torch.load`` raises on files that are not what they should be."""


def first_line(error: BaseException) -> str:
    """The first line of an error's text, or its name where it has none."""
    line = next(iter(str(error).splitlines()), "")
    if asked := re.search(r"\bGLOBAL ([\w.]+)", str(error)):
        return f"it asks for {asked[1]}; refused, nothing was run"
    # What torch.load says next is advice to run the code in the file.
    return line.partition(". In PyTorch 2.6")[0] or type(error).__name__


def suggestion(name: str, known: Iterable[str]) -> str:
    """Text that names the nearest known name, or some of them where none is near."""
    names = sorted(known)
    near = difflib.get_close_matches(name[:_MAX_NAME], names, n=1, cutoff=0.5)
    if near:
        return f"did you mean {near[0]!r}?"
    further = f" and {len(names) - _MAX_NAMES} more" if len(names) > _MAX_NAMES + 1 else ""
    shown = names[:_MAX_NAMES] if further else names
    return f"known: {', '.join(shown) or 'none'}{further}."


def unknown_name(kind: str, name: str, known: Iterable[str]) -> UnknownNameError:
    """Error for a name missing from a table, with the nearest known one."""
    return UnknownNameError(f"unknown {kind} {name[:_MAX_NAME]!r}; {suggestion(name, known)}")


def require(module: str, *, extra: str) -> ModuleType:
    """Import an optional package at its point of use.

    Args:
        module: Name to import, for example ``"embreex"``.
        extra: The lidistill extra that installs it.

    Raises:
        MissingPackageError: If it is not installed.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        msg = (
            f"this needs the package {module!r} ({error}); "
            f"install lidistill again with its extra [{extra}]."
        )
        raise MissingPackageError(msg) from error
