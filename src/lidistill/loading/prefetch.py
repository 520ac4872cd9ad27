"""The next item is made while the present one is worked on."""

from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

S = TypeVar("S")
T = TypeVar("T")


def prefetch(make: Callable[[S], T], items: Iterable[S]) -> Generator[T, None, None]:
    """What is made of each item, in their order; a thread makes the next one in the meantime.

    Reading a file, unpacking it and compiled loops let other threads run, and so do the products of
    a network. One thing is ahead at most. The order in which things are made is that of the items,
    by one thread, so nothing depends on how fast the caller is.

    Args:
        make: Makes one; a thread calls it, and never twice at a time.
        items: What it is made of. They are taken by the caller's thread, one ahead, too.

    Yields:
        One for each item.

    Raises:
        Exception: What ``make`` raises, when it is the turn of that item; none is made after it.
    """
    remaining = iter(items)
    with ThreadPoolExecutor(1, thread_name_prefix="lidistill-ahead") as thread:

        def begun() -> list[Future[T]]:
            return [thread.submit(make, item) for item in islice(remaining, 1)]

        waiting = begun()
        while waiting:
            made = waiting.pop().result()
            waiting = begun()
            yield made
