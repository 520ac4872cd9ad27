"""Compilation of the simulator's inner loops.

Importing this never fails: where numba is not installed, ``require("numba", extra="sim")`` at the
point of use tells the user, before a loop would run at the speed of plain Python.
"""

from collections.abc import Callable
from typing import TypeVar, cast

F = TypeVar("F", bound=Callable[..., object])


def compiled(function: F) -> F:
    """Compile a loop over arrays to machine code, in the strict arithmetic of IEEE 754.

    No reordering and one thread: the same input gives the same bytes. The plain Python function
    stays reachable as ``py_func``.
    """
    try:
        import numba  # noqa: PLC0415  optional package
    except ImportError:
        return function
    return cast("F", numba.njit(cache=True, nogil=True, error_model="numpy")(function))
