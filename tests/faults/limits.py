"""What hostile input may cost."""

import time
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager

MIB = 1 << 20


@contextmanager
def bounded(*, mebibytes: int = 200, seconds: float = 10) -> Iterator[None]:
    """The code inside takes no more memory beside the package itself, and no more CPU time."""
    tracemalloc.start()
    start = time.process_time()
    try:
        yield
        taken = time.process_time() - start
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < mebibytes * MIB, f"{peak / MIB:.0f} MiB"
    assert taken < seconds, f"{taken:.1f} s"
