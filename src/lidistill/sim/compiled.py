"""Compilation of the simulator's inner loops."""

from collections.abc import Callable
from typing import TypeVar, cast

import numba

F = TypeVar("F", bound=Callable[..., object])


def compiled(function: F) -> F:
    """Compile a loop over arrays to machine code, in the strict arithmetic of IEEE 754.

    No reordering and one thread: the same input gives the same bytes. The plain Python function
    stays reachable as ``py_func``.
    """
    return cast("F", numba.njit(cache=True, nogil=True, error_model="numpy")(function))
