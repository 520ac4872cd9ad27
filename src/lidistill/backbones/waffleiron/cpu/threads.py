"""Work on rows dealt out to threads, each of which runs PyTorch and compiled loops alone.

One long task per thread, instead of a team of threads for every small operation: nothing waits
between the operations, and what a thread touches stays in the cache of its core.
"""

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cache, partial
from itertools import pairwise
from threading import Barrier
from typing import TypeVar

import torch

T = TypeVar("T")

_FEWEST_ROWS = 64
"""Below this many rows a second thread costs more than it saves."""


@cache
def _pool(num_threads: int) -> ThreadPoolExecutor:
    """Threads that compute without a team of their own and without recording gradients."""
    everyone = Barrier(num_threads)

    def alone() -> None:
        torch.get_num_threads()  # PyTorch sets a thread up on first use; only then a number stays
        torch.set_num_threads(1)
        torch.set_grad_enabled(False)
        everyone.wait()  # so that each of these tasks has a thread of its own

    pool = ThreadPoolExecutor(num_threads, thread_name_prefix="lidistill")
    for task in [pool.submit(alone) for _ in range(num_threads)]:
        task.result()
    torch.set_num_threads(num_threads)  # what the calling thread had
    return pool


if hasattr(os, "register_at_fork"):  # threads do not survive in the child
    os.register_at_fork(after_in_child=_pool.cache_clear)


def split_rows(num_rows: int) -> list[tuple[int, int]]:
    """Equal ranges of rows, one for each thread that PyTorch may use."""
    shares = max(1, min(torch.get_num_threads(), num_rows // _FEWEST_ROWS))
    ends = [num_rows * share // shares for share in range(shares + 1)]
    return list(pairwise(ends))


def _in_inference_mode(task: Callable[[int, int, int], None], worker: int, *share: int) -> None:
    with torch.inference_mode():
        task(worker, *share)


def run_split(num_rows: int, task: Callable[[int, int, int], None]) -> int:
    """Call ``task(worker, start, stop)`` on equal shares of rows, at the same time.

    No share records gradients. All are in inference mode where the caller is, since what it has
    made there may be written nowhere else; autocast reaches none of them.

    Returns:
        Number of workers; the shares depend on nothing but it and the number of rows.
    """
    shares = split_rows(num_rows)
    if len(shares) == 1:
        task(0, *shares[0])
        return 1
    pool = _pool(torch.get_num_threads())
    if torch.is_inference_mode_enabled():
        task = partial(_in_inference_mode, task)
    running = [pool.submit(task, worker, *share) for worker, share in enumerate(shares)]
    for future in running:
        future.result()
    return len(shares)


def run_alone(task: Callable[[], T]) -> T:
    """Call a task in one of these threads, where PyTorch has no team, and wait for it."""
    return _pool(torch.get_num_threads()).submit(task).result()


def chunks(start: int, stop: int, size: int) -> Iterator[slice]:
    """Consecutive slices of at most ``size`` rows."""
    for first in range(start, stop, size):
        yield slice(first, min(first + size, stop))
