"""How a data worker lives: with one thread, deaf to signals, and no longer than its parent."""

import ctypes
import multiprocessing
import os
import signal
import sys

import torch

_PR_SET_PDEATHSIG = 1  # from Linux's prctl.h
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # from glibc's malloc.h
_KEPT_BYTES = 1 << 26
_MAPPED_BYTES = 1 << 25  # the largest that glibc takes


def start_worker(parent: int, worker: int) -> None:
    """Set up a worker process, as PyTorch's loader calls it.

    A signal to a whole process group must reach the run only: it still needs its workers for the
    step that it finishes. A run that is killed cannot end its workers, so the system does.

    Args:
        parent: Process id of the run.
        worker: Number of the worker.
    """
    del worker
    torch.set_num_threads(1)
    keep_freed_memory()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1):
        signal.signal(number, signal.SIG_IGN)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL))
    if os.getppid() != parent:  # it ended before it was asked for
        os._exit(1)


def keep_freed_memory() -> None:
    """Let the C library keep up to 64 MiB that are free, where it is glibc.

    By itself it returns the arrays of every frame to the system, which fills each page of 4 KiB
    with zeros when the next frame asks for it: a third of the time to read a scan of PandaSet.
    """
    if sys.platform == "linux" and hasattr(library := ctypes.CDLL(None), "mallopt"):
        library.mallopt(_M_TRIM_THRESHOLD, _KEPT_BYTES)
        library.mallopt(_M_MMAP_THRESHOLD, _MAPPED_BYTES)


def end_workers() -> None:
    """Kill the workers that are still there when the run's process ends.

    PyTorch's loader asks them to end, unless an error reaches it in the middle of that. Python then
    sends them the signal that they are deaf to, and would wait for them for ever.
    """
    for child in multiprocessing.active_children():
        if child.daemon:
            child.kill()
