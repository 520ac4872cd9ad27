"""From words on the command line to a call; what does not fit is one line, like any bad input."""

import contextlib
import functools
import io
from collections.abc import Callable, Iterator
from typing import Any

import tyro

from lidistill.errors import ConfigError

_HELP_INDENT = 9 * " "


def bind(function: Callable[..., None], name: str, arguments: list[str]) -> Callable[[], None]:
    """A command with its arguments, ready to be called.

    Args:
        function: The command; its signature says which arguments there are.
        name: As the user types it, for example ``lidistill probe``.
        arguments: What follows the name.

    Raises:
        ConfigError: If an argument is missing, unknown, or no value of its type.
        SystemExit: After ``--help`` has been printed.
    """

    @functools.wraps(function)
    def bound(*args: Any, **options: Any) -> Callable[[], None]:
        return functools.partial(function, *args, **options)

    box = io.StringIO()
    try:
        with contextlib.redirect_stderr(box):
            return tyro.cli(
                bound, args=arguments, prog=name, config=(tyro.conf.FlagCreatePairsOff,)
            )
    except SystemExit as stop:
        if not stop.code:
            raise
    msg = f"{_sentence(box.getvalue()) or 'these arguments do not fit'}; see {name} --help."
    raise ConfigError(msg)


def _sentence(box: str) -> str:
    """What is wrong and what was perhaps meant, out of the sections of tyro's box."""
    parts = []
    for first, *others in _sections(box):
        if first.startswith("Perhaps you meant"):
            parts.append(f"did you mean {' or '.join(others)}")
        elif not first.startswith(("For full helptext", "Argument helptext")):
            parts.append(" ".join([first, *others]).rstrip("."))
    return "; ".join(parts)


def _sections(box: str) -> Iterator[list[str]]:
    """Lines between the rules of a box, without its title and the indented help on arguments.

    Where standard output cannot show box characters, tyro draws rules of ``-`` and no sides.
    """
    section: list[str] = []
    for line in box.splitlines()[1:]:
        text = line.strip("│╭╮╰╯")
        if not text.strip(" ─-"):
            if section:
                yield section
            section = []
        elif not text.startswith(_HELP_INDENT):
            section.append(text.strip())
