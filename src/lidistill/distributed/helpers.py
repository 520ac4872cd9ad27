"""Processes that work for this one, and end with it."""

import multiprocessing
import os
import signal
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager

from lidistill.distributed.parent_process import end_with_parent
from lidistill.errors import RunStoppedError


@contextmanager
def helper_processes(number: int) -> Iterator[ProcessPoolExecutor]:
    """Fresh processes, since forking a process that runs threads may hang it.

    Where the caller ends with an error, or is interrupted, they are asked to end, too: SIGTERM lets
    a run save, and ends everything else. A script must guard its entry by ``__name__``.

    Args:
        number: How many.

    Raises:
        RunStoppedError: If one of them has ended before its work was done.
    """
    others = set(multiprocessing.active_children())
    executor = ProcessPoolExecutor(
        number,
        mp_context=multiprocessing.get_context("spawn"),
        initializer=_begin,
        initargs=(os.getpid(),),
    )
    try:
        yield executor
    except BaseException as error:
        for process in set(multiprocessing.active_children()) - others:
            process.terminate()
        if isinstance(error, BrokenProcessPool):
            msg = (
                "a process that helps this one has ended before its work was done; its output, or "
                "the system's log where memory was short, says why. The same command goes on from "
                "what is finished."
            )
            raise RunStoppedError(msg) from error
        raise
    finally:
        executor.shutdown(cancel_futures=True)


def _begin(parent: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal sends Ctrl-C to all; one answers
    if not end_with_parent(signal.SIGTERM, parent):
        os.kill(os.getpid(), signal.SIGTERM)
