"""Standard output and standard error where nobody reads them any more, or they are full."""

import contextlib
import os
import select
import sys
from collections.abc import Iterator

from lidistill.cli.terminal import visible

CLOSED_PIPE = 141
"""Exit status where the reader of standard output is gone: 128 + SIGPIPE, as of any program that
this signal ends. What was asked for may be unfinished, so it is not 0."""


@contextlib.contextmanager
def guarded_output() -> Iterator[None]:
    """Write out what is printed inside, and end in order where that cannot be done.

    Raises:
        SystemExit: With ``CLOSED_PIPE``, and without a word, where the reader is gone; with 2 after
            one line where what is printed cannot be written.
    """
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # closed by whoever started this process
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: PTH123, SIM115
    try:
        try:
            yield
        finally:
            sys.stdout.flush()
    except BrokenPipeError:
        if not reader_is_gone():
            raise
        _discard()
        sys.exit(CLOSED_PIPE)
    except OSError as error:
        _discard()
        complain(f"standard output cannot be written: {error.strerror}; free some space.")
        sys.exit(2)


def reader_is_gone() -> bool:
    """Whether standard output is a pipe that nobody reads any more."""
    try:
        descriptor = sys.stdout.fileno()
    except (OSError, ValueError):  # not a file of the system, as in a notebook
        return False
    waiting = select.poll()
    waiting.register(descriptor, 0)
    return any(event & select.POLLERR for _, event in waiting.poll(0))


def complain(text: str) -> None:
    """One line on standard error, if it can still be written: a terminal may have closed."""
    line = " ".join(part.strip() for part in text.splitlines())
    with contextlib.suppress(OSError):
        sys.stderr.write(f"error: {visible(line, sys.stderr.encoding or 'utf-8')}\n")


def _discard() -> None:
    """Let what is not yet written go nowhere, so that Python's own end does not fail on it."""
    sink = os.open(os.devnull, os.O_WRONLY)
    os.dup2(sink, sys.stdout.fileno())
    os.close(sink)
