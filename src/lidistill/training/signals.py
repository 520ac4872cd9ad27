"""Signals: the first one asks a run to save and stop, the second one ends it at once."""

import contextlib
import os
import signal
import threading
import time
from types import FrameType, TracebackType
from typing import Self

from lidistill.distributed.parent_process import STOP_SIGNALS
from lidistill.errors import RunStoppedError

_RESTART = {"SIGUSR1": 75}
EXIT_STATUS = {number: _RESTART.get(number.name, 128 + number) for number in STOP_SIGNALS}
"""Exit status after each signal. 75 (temporary failure) is for schedulers: start it again."""

TOGETHER_S = 1.0
"""Signals within so many seconds of the first are one request."""


class StopSignals:
    """Notices SIGTERM, SIGINT, SIGHUP and SIGUSR1 while it is entered.

    SIGHUP comes when a terminal closes; under ``nohup``, which has it ignored, it stays ignored.

    What comes within a second of the first is the same request: a launcher passes on to its
    processes what they have got already where all of a group are signalled. A later one ends the
    process at once, even where it waits for another process and runs no Python. Outside the main
    thread, where Python cannot handle signals, nothing is noticed.
    """

    def __init__(self) -> None:
        self.received: signal.Signals | None = None
        """The first signal that came."""
        self._before: dict[signal.Signals, object] = {}
        self._wakeup = -1
        self._pipe = (-1, -1)

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            reader, writer = self._pipe = os.pipe()
            os.set_blocking(writer, False)
            self._wakeup = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
            threading.Thread(target=_end_at_the_second, args=(reader,), daemon=True).start()
            for number in EXIT_STATUS:
                if number.name == "SIGHUP" and signal.getsignal(number) is signal.SIG_IGN:
                    continue
                self._before[number] = signal.signal(number, self._notice)
        return self

    def _notice(self, number: int, frame: FrameType | None) -> None:
        del frame
        self.received = self.received or signal.Signals(number)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for number, handler in self._before.items():
            with contextlib.suppress(TypeError):  # a handler that was not set from Python
                signal.signal(number, handler)  # type: ignore[arg-type]
        if self._before:
            signal.set_wakeup_fd(self._wakeup)
            os.close(self._pipe[1])  # ends the thread


def _end_at_the_second(reader: int) -> None:
    """End the process at a signal that comes after the first; the system writes each into a pipe.

    A thread, since Python's own handlers wait until the main thread runs Python again.
    """
    first: float | None = None
    with os.fdopen(reader, "rb", buffering=0) as pipe:
        while number := pipe.read(1):
            if number[0] not in EXIT_STATUS:
                continue
            first = first or time.monotonic()
            if time.monotonic() - first > TOGETHER_S:
                os._exit(128 + number[0])


def stopped(number: int, step: int) -> RunStoppedError:
    """The error that ends a run which has saved after a signal."""
    return stopped_by(number, f"step {step} is saved")


def stopped_by(number: int, saved: str) -> RunStoppedError:
    """The error that ends a command after a signal.

    Args:
        number: The signal.
        saved: What is kept.
    """
    name = signal.Signals(number).name
    msg = f"stopped by {name}; {saved}, the same command goes on from there."
    return RunStoppedError(msg, exit_status=EXIT_STATUS[signal.Signals(number)])
