"""Loops compiled by numba, and the one switch between them and their definitions.

An operation is written twice at most: plainly in NumPy or PyTorch, which defines it, and as
compiled loops or kernels, which compute the same in a fraction of the time. The environment
variable ``LIDISTILL_COMPILE`` alone says which of the two runs, whatever the size of the input: 1,
the default, or 0. The simulator's loops have no second form and are compiled under both.
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, ParamSpec, TypeVar, cast

import numba

from lidistill.errors import ConfigError

P = ParamSpec("P")
R = TypeVar("R")

SWITCH: Final = "LIDISTILL_COMPILE"
"""Environment variable, 0 or 1."""


def compiling() -> bool:
    """Whether compiled loops and kernels run; else the definitions do.

    Raises:
        ConfigError: If the switch is set to anything but 0 or 1.
    """
    value = os.environ.get(SWITCH, "1")
    if value not in {"0", "1"}:
        msg = (
            f"{SWITCH} is {value!r}, expected 1 (compiled loops, the default) or 0 (definitions in "
            "NumPy and PyTorch, to compare with); unset it, or set one of these."
        )
        raise ConfigError(msg)
    return value == "1"


def compiled(function: Callable[P, R]) -> Callable[P, R]:
    """Compile a loop; sums may be reordered, NaN and infinity keep their meaning."""
    relaxed = {"nsz", "arcp", "contract", "reassoc"}
    jit = numba.njit(nogil=True, cache=True, fastmath=relaxed, error_model="numpy")
    return cast("Callable[P, R]", jit(function))


def compiled_exactly(function: Callable[P, R]) -> Callable[P, R]:
    """Compile a loop that rounds as it is written: the same input gives the same bytes.

    The plain Python function stays reachable as ``py_func``.
    """
    return cast("Callable[P, R]", numba.njit(nogil=True, cache=True, error_model="numpy")(function))


def is_kept(function: Callable[..., Any]) -> bool:
    """Whether a compiled loop lies on disk, where another process finds it.

    A loop whose source has changed since may be taken for one that is there.
    """
    loop = cast("Any", function)
    if not hasattr(loop, "stats"):  # numba is told to compile nothing
        return True
    name = f"{Path(loop.py_func.__code__.co_filename).stem}.{loop.py_func.__qualname__}"
    return any(Path(loop.stats.cache_path).glob(f"{name}-*.nbi"))
