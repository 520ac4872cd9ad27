"""What every command prints with, and the arguments they share."""

import errno
import json
import logging
import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

import tyro
from rich.console import Console
from rich.logging import RichHandler
from rich.text import Text

from lidistill.cli.terminal import visible
from lidistill.distributed.launcher import launched_world_size
from lidistill.errors import ConfigError


class _Output(Console):
    """A console to which no text brings control characters or signs that it cannot show."""

    def render_str(self, text: str, **options: Any) -> Text:
        """See ``Console.render_str``."""
        return super().render_str(visible(text, self.encoding), **options)

    def on_broken_pipe(self) -> None:
        """Leave it to ``streams``; rich would end with status 1."""
        raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))


class _PlainFormatter(logging.Formatter):
    """Messages without control characters."""

    def format(self, record: logging.LogRecord) -> str:
        """See ``Formatter.format``."""
        return visible(super().format(record), sys.stderr.encoding or "utf-8")


OUT = _Output(soft_wrap=True, markup=False)

Folder = Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="FOLDER")]
Run = Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")]
Output = Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="OUTPUT")]
RecipeName = Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="RECIPE")]
Overrides = Annotated[
    tuple[str, ...], tyro.conf.Positional, tyro.conf.arg(metavar="[KEY=VALUE ...]")
]


def start_logging(*, quiet: bool) -> None:
    """Log to standard error: with times on a terminal, one line a message in a pipe.

    Args:
        quiet: Print nothing but errors.
    """
    console = Console(stderr=True)
    handler: logging.Handler = logging.StreamHandler()
    if console.is_terminal:
        handler = RichHandler(console=console, show_path=False, show_level=False)
    handler.setFormatter(_PlainFormatter("%(message)s"))
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    OUT.quiet = quiet
    if quiet:
        logging.getLogger().setLevel(logging.ERROR)
    for noisy in ("httpx", "httpx2", "matplotlib", "PIL", "transformers"):
        logging.getLogger(noisy).setLevel(logging.WARNING)


def positive(name: str, number: int) -> int:
    """The number, if it is one or more.

    Raises:
        ConfigError: If it is not.
    """
    if number < 1:
        msg = f"--{name} {number}: expected 1 or more."
        raise ConfigError(msg)
    return number


def one_process(command: str) -> None:
    """See to it that a command that shares nothing is not started several times.

    Args:
        command: Its name.

    Raises:
        ConfigError: If it is, as by torchrun.
    """
    if launched_world_size() > 1:
        msg = f"{command} works in one process and shares nothing; call it without torchrun."
        raise ConfigError(msg)


def print_json(record: dict[str, Any]) -> None:
    """One JSON object on standard output, at once: a program may wait for it."""
    if not OUT.quiet:
        sys.stdout.write(json.dumps(record, indent=1) + "\n")
        sys.stdout.flush()


def print_figures(figures: Iterable[Path]) -> None:
    """One line for each figure that was written."""
    for figure in figures:
        OUT.print(f"figure      {figure}")
