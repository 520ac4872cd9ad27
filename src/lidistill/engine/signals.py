"""Signals: the first one asks a run to save and stop, the second one ends it at once."""

import contextlib
import signal
import threading
from types import FrameType, TracebackType
from typing import Self

from lidistill.errors import RunStoppedError

EXIT_STATUS = {signal.SIGTERM: 143, signal.SIGINT: 130, signal.SIGUSR1: 75}
"""Exit status after each signal. 75 (temporary failure) is for schedulers: start it again."""


class StopSignals:
    """Notices SIGTERM, SIGINT and SIGUSR1 while it is entered.

    After the first one the system's own handling is back, so a second one ends the process even
    where it hangs. Outside the main thread, where Python cannot handle signals, nothing is noticed.
    """

    def __init__(self) -> None:
        self.received: signal.Signals | None = None
        """The first signal that came."""
        self._before: dict[signal.Signals, object] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for number in EXIT_STATUS:
                self._before[number] = signal.signal(number, self._notice)
        return self

    def _notice(self, number: int, frame: FrameType | None) -> None:
        del frame
        self.received = signal.Signals(number)
        for each in EXIT_STATUS:
            signal.signal(each, signal.SIG_DFL)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for number, handler in self._before.items():
            with contextlib.suppress(TypeError):  # a handler that was not set from Python
                signal.signal(number, handler)  # type: ignore[arg-type]


def stopped(number: int, step: int) -> RunStoppedError:
    """The error that ends a run which has saved after a signal."""
    name = signal.Signals(number).name
    msg = f"stopped by {name}; step {step} is saved, the same command goes on from there."
    return RunStoppedError(msg, exit_status=EXIT_STATUS[signal.Signals(number)])
