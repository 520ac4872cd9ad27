"""How a data worker lives: with one thread, deaf to signals, and no longer than its parent."""

import ctypes
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable
from types import FrameType

import torch

from lidistill.distributed.parent_process import STOP_SIGNALS, end_with_parent

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # from glibc's malloc.h
_KEPT_BYTES = 1 << 26
_MAPPED_BYTES = 1 << 25  # the largest that glibc takes


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


def report_death_once() -> None:
    """Let PyTorch's loader raise the death of a worker once, not at every child that ends later.

    It raises from a signal handler, so a second error would hit whoever is handling the first one.
    To be called when workers have been started, which is when PyTorch sets its handler.
    """
    if threading.current_thread() is not threading.main_thread():
        return
    raises = signal.getsignal(signal.SIGCHLD)
    if not callable(raises) or isinstance(raises, _Once):
        return
    signal.signal(signal.SIGCHLD, _Once(raises))


class _Once:
    """A signal handler that rests while it works, and for good where it raises."""

    def __init__(self, handler: Callable[[int, FrameType | None], object]) -> None:
        self._handler = handler

    def __call__(self, number: int, frame: FrameType | None) -> None:
        signal.signal(number, signal.SIG_DFL)
        self._handler(number, frame)
        signal.signal(number, self)


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
