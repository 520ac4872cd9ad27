"""Progress of anything that takes more than a few seconds: a bar on a terminal, lines in a log."""

import logging
import multiprocessing
import time
from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import Self, TypeVar

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Column
from rich.text import Text

logger = logging.getLogger(__name__)
T = TypeVar("T")

_LOG_SECONDS = 30.0
_CUT = Column(no_wrap=True, overflow="ellipsis", ratio=3)


class _TimeLeft(TimeRemainingColumn):
    """Time left, in words that say so."""

    def render(self, task: Task) -> Text:
        """See ``TimeRemainingColumn.render``."""
        return super().render(task) + Text(" left", style="progress.remaining")


class ProgressBar:
    """A bar with a text that can change; on anything but a terminal a log line now and then.

    Args:
        title: What is going on.
        total: Number of steps; None where it is not known.
        done: Steps that are done already.
    """

    def __init__(self, title: str, *, total: int | None, done: int = 0) -> None:
        self._title, self._total, self._done = title, total, done
        self._first = done
        self._console = Console(stderr=True)
        # The bars of two processes would write over each other: one that helps another draws none.
        self._is_drawn = self._console.is_terminal and multiprocessing.parent_process() is None
        self._bar = Progress(
            TextColumn("[bold]{task.description}", table_column=Column(no_wrap=True)),
            BarColumn(bar_width=None, table_column=Column(ratio=1, max_width=40)),
            MofNCompleteColumn(table_column=Column(no_wrap=True)),
            _TimeLeft(table_column=Column(no_wrap=True)),
            # The longest and least important comes last, and is cut where the terminal is narrow.
            TextColumn("{task.fields[text]}", table_column=_CUT),
            console=self._console,
            disable=not self._is_drawn,
            expand=True,
        )
        self._task = self._bar.add_task(title, total=total, completed=done, text="")
        self._started = self._logged = time.monotonic()

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bar.stop()

    def advance(self, text: str = "") -> None:
        """One step further."""
        self.to(self._done + 1, text)

    def to(self, done: int, text: str = "") -> None:
        """So many steps are done."""
        self._done = done
        self._bar.update(self._task, completed=self._done, text=text)
        now = time.monotonic()
        if not self._is_drawn and now - self._logged >= _LOG_SECONDS:
            self._logged = now
            if self._total is None:
                logger.info("%s %d", self._title, self._done)
                return
            rate = (now - self._started) / max(1, self._done - self._first)
            left = rate * (self._total - self._done)
            words = f" {text}" if text else ""
            logger.info(
                "%s %d/%d%s, %.0f s left", self._title, self._done, self._total, words, left
            )


def track(items: Iterable[T], title: str, *, total: int) -> Iterator[T]:
    """Go through items under a progress bar."""
    with ProgressBar(title, total=total) as bar:
        for item in items:
            yield item
            bar.advance()
