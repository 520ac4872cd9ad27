"""Keep the memory of large temporary arrays instead of handing it back after each operation."""

import ctypes
import platform
from functools import cache

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
"""Parameters of ``mallopt``, from glibc's malloc.h."""
_LARGEST = 1 << 30
"""Bytes; larger arrays still get pages of their own."""


@cache
def keep_freed_memory() -> bool:
    """Tell glibc to reuse freed blocks of up to a gigabyte instead of unmapping them.

    By default each temporary above 32 MB is mapped afresh, and the kernel clears its pages one
    fault at a time: a third of a training step on the CPU. The process keeps its peak memory.

    Returns:
        Whether it was done; False, and nothing happens, where the C library is another one.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    library = ctypes.CDLL(None)
    done = [
        library.mallopt(_MMAP_THRESHOLD, _LARGEST),
        library.mallopt(_TRIM_THRESHOLD, 2 * _LARGEST - 1),
    ]
    return all(done)
