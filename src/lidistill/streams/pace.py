"""Work on what a source gives: all of it in turn, or always the newest, and the time it takes."""

import threading
import time
from array import array
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Generic, TypeVar

import numpy as np

from lidistill.errors import FileFormatError, LidistillError

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """What came and what became of it."""

    num_received: int
    num_done: int
    num_dropped: int
    """Taken over by a newer one before anybody had the time to look at them."""
    num_failed: int
    """Such that could not be used."""
    first_failure: str
    """Why the first of them could not; empty where all could."""
    seconds: float
    """From the first that came to the end of the work on the last."""
    latency: tuple[float, ...]
    """Seconds from arrival to the end of the work: median, 99th percentile, largest. NaN where
    nothing was done."""


@dataclass(slots=True)
class _Notes:
    """Counted while it runs; 8 bytes for each that was done."""

    received: int = 0
    dropped: int = 0
    failed: int = 0
    reason: str = ""
    latencies: "array[float]" = field(default_factory=lambda: array("d"))
    start: float = 0.0

    def arrived(self) -> float:
        """Now, noted as the beginning where it is the first time."""
        now = time.perf_counter()
        self.start = self.start if self.received else now
        self.received += 1
        return now

    def work(self, handle: Callable[[T], None], item: T, arrived: float) -> None:
        """Handle one; one that cannot be used ends nothing."""
        try:
            handle(item)
        except FileFormatError as error:
            self.failed += 1
            self.reason = self.reason or str(error)
        else:
            self.latencies.append(time.perf_counter() - arrived)

    def result(self) -> Pace:
        """All of it."""
        times = np.frombuffer(self.latencies) if self.latencies else np.full(1, np.nan)
        return Pace(
            num_received=self.received,
            num_done=len(self.latencies),
            num_dropped=self.dropped,
            num_failed=self.failed,
            first_failure=self.reason,
            seconds=time.perf_counter() - self.start if self.received else 0.0,
            latency=(*map(float, np.quantile(times, [0.5, 0.99, 1.0])),),
        )


def all_in_turn(source: Iterable[T], handle: Callable[[T], None]) -> Pace:
    """Handle everything, one after the other, however long it takes.

    Args:
        source: Where it comes from.
        handle: What is done; a ``FileFormatError`` of it is counted.
    """
    notes = _Notes()
    for item in source:
        notes.work(handle, item, notes.arrived())
    return notes.result()


def newest_first(source: Iterable[T], handle: Callable[[T], None]) -> Pace:
    """Handle what came last; what comes in the meantime is dropped but for the newest.

    The source is read by a thread of its own, so nothing waits for the work and no queue grows: at
    most one item waits. Ctrl-C ends it like the end of the source.

    Args:
        source: Where it comes from; may wait for the next.
        handle: What is done; a ``FileFormatError`` of it is counted.

    Raises:
        LidistillError: What the source raised, after the work on all that came before.
        OSError: Likewise, where it could not be read on.
    """
    notes = _Notes()
    box: _Newest[T] = _Newest(notes)
    threading.Thread(target=box.fill, args=(source,), daemon=True).start()
    try:
        for item, arrived in box:
            notes.work(handle, item, arrived)
    except KeyboardInterrupt:
        pass
    if box.error is not None:
        raise box.error
    return notes.result()


class _Newest(Generic[T]):
    """Room for one item; a newer one takes its place."""

    def __init__(self, notes: _Notes) -> None:
        self._notes = notes
        self._waiting: list[tuple[T, float]] = []
        self._ended = False
        self._changed = threading.Condition()
        self.error: LidistillError | OSError | None = None

    def fill(self, source: Iterable[T]) -> None:
        """Put in all that a source gives."""
        try:
            for item in source:
                with self._changed:
                    arrived = self._notes.arrived()
                    self._notes.dropped += len(self._waiting)
                    self._waiting = [(item, arrived)]
                    self._changed.notify()
        except (LidistillError, OSError) as error:
            self.error = error
        finally:
            with self._changed:
                self._ended = True
                self._changed.notify()

    def __iter__(self) -> Iterator[tuple[T, float]]:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._ended)
                if not self._waiting:
                    return
                found = self._waiting.pop()
            yield found
