"""How a data worker lives: with one thread, deaf to signals, and no longer than its parent."""

import contextlib
import ctypes
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from types import FrameType

import torch

from lidistill.distributed.parent_process import STOP_SIGNALS, end_with_parent
from lidistill.errors import RunStoppedError

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # from glibc's malloc.h
_KEPT_BYTES = 1 << 26
_MAPPED_BYTES = 1 << 25  # the largest that glibc takes
_DEAD = "DataLoader worker (pid"  # in every error that PyTorch has for it


def start_worker(run: int, start_method: str, worker: int) -> None:
    """Set up a worker process, as PyTorch's loader calls it.

    A signal to a whole process group must reach the run only: it still needs its workers for the
    step that it finishes. A run that is killed cannot end its workers, so the system does.

    Args:
        run: Process id of the run.
        start_method: How the worker was started. The parent of one that the fork server started is
            that server, which ends with the run.
        worker: Number of the worker.
    """
    del worker
    torch.set_num_threads(1)
    keep_freed_memory()
    for number in STOP_SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    served = start_method == "forkserver"
    there = end_with_parent(signal.SIGKILL, os.getppid() if served else run)
    main = multiprocessing.parent_process()
    if not there or (served and main is not None and not main.is_alive()):
        os._exit(1)  # it ended before it was asked for


def keep_freed_memory() -> None:
    """Let the C library keep up to 64 MiB that are free, where it is glibc.

    By itself it returns the arrays of every frame to the system, which fills each page of 4 KiB
    with zeros when the next frame asks for it: a third of the time to read a scan of PandaSet.
    """
    if sys.platform == "linux" and hasattr(library := ctypes.CDLL(None), "mallopt"):
        library.mallopt(_M_TRIM_THRESHOLD, _KEPT_BYTES)
        library.mallopt(_M_MMAP_THRESHOLD, _MAPPED_BYTES)


class WorkerDeaths:
    """A signal handler that keeps the death of a data worker for whoever waits for a batch.

    PyTorch's own raises it at once, in whatever line the main thread is: in the middle of a save,
    of tidying up, of the loss curve of a run that is done.

    Args:
        handler: PyTorch's, which raises where a worker has died.
    """

    def __init__(self, handler: Callable[[int, FrameType | None], object]) -> None:
        self._handler = handler
        self._found = ""
        self._waited_for = False

    def __call__(self, number: int, frame: FrameType | None) -> None:
        """Note what PyTorch's handler raises; raise it, once, where a batch is waited for."""
        try:
            self._handler(number, frame)
        except RuntimeError as error:
            if _DEAD not in str(error):
                raise
            self._found = str(error)
            if self._waited_for:
                self._waited_for = False
                raise

    @contextlib.contextmanager
    def raised(self) -> Iterator[None]:
        """Where a batch is waited for: a death before or during that is an error here.

        Raises:
            RunStoppedError: If a worker has died.
        """
        with worker_losses():
            try:
                self._waited_for = True
                if self._found:
                    raise RuntimeError(self._found)
                yield
            finally:
                self._waited_for = False

    def forget(self) -> None:
        """The workers are not needed any more."""
        self._found = ""


def watch_workers() -> WorkerDeaths:
    """Put a handler that waits in the place of the one that PyTorch sets when workers start.

    It stays for good, since PyTorch sets its own only once. Beside the main thread, which alone has
    handlers, nothing is noted, and PyTorch looks every five seconds.
    """
    there = signal.getsignal(signal.SIGCHLD)
    if isinstance(there, WorkerDeaths):
        return there
    if threading.current_thread() is not threading.main_thread() or not callable(there):
        return WorkerDeaths(signal.default_int_handler)  # which is never called
    deaths = WorkerDeaths(there)
    signal.signal(signal.SIGCHLD, deaths)
    return deaths


@contextlib.contextmanager
def worker_losses() -> Iterator[None]:
    """Say in one line that a data worker is gone.

    Raises:
        RunStoppedError: Instead of what PyTorch raises then.
    """
    try:
        yield
    except (RuntimeError, ConnectionError, EOFError) as error:
        broken_off = not isinstance(error, RuntimeError) and "DataLoader worker" not in str(error)
        if _DEAD not in str(error) and not broken_off:  # raised by what makes the samples
            raise
        text = " ".join(str(error).split()) or "it ended while it sent a batch"
        msg = (
            f"a data worker was killed ({text}), often because memory ran out; the same command "
            "goes on from the last checkpoint, with fewer workers if need be."
        )
        raise RunStoppedError(msg) from error


def end_workers() -> None:
    """Kill the workers that are still there when the run's process ends.

    PyTorch's loader asks them to end, unless an error reaches it in the middle of that. Python then
    sends them the signal that they are deaf to, and would wait for them for ever.
    """
    if hasattr(signal, "SIGCHLD"):
        # PyTorch would make an error of their end, in the middle of Python's own.
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    for child in multiprocessing.active_children():
        if child.daemon:
            child.kill()
