"""What was made lately, kept in memory up to a number of bytes."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

T = TypeVar("T")


class RecentlyUsed(Generic[T]):
    """Values by key; the one that was not asked for the longest is dropped first.

    One thread makes a value at a time, so that two who ask for the same wait for one computation.

    Args:
        max_bytes: Of all values together; the newest stays whatever its size.
        size: Bytes of a value.
    """

    def __init__(self, max_bytes: int, size: Callable[[T], int]) -> None:
        self._max_bytes, self._size = max_bytes, size
        self._values: OrderedDict[Hashable, T] = OrderedDict()
        self._num_bytes = 0
        self._lock = threading.RLock()

    def get(self, key: Hashable, make: Callable[[], T]) -> T:
        """The value of a key; made now where it is not there."""
        with self._lock:
            if key in self._values:
                self._values.move_to_end(key)
                return self._values[key]
            value = make()
            self._values[key] = value
            self._num_bytes += self._size(value)
            while self._num_bytes > self._max_bytes and len(self._values) > 1:
                _, dropped = self._values.popitem(last=False)
                self._num_bytes -= self._size(dropped)
            return value
