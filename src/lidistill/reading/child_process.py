"""Reading in a process of its own, for libraries that a damaged file can make end theirs.

A library in C++ or Rust may abort, or take all memory; in a child with bounds of its own that is
an error like any other.
"""

import os
import subprocess
import sys
from pathlib import Path
from typing import Final

_LIMITED: Final = Path(__file__).with_name("bounded_child.py")
_MEMORY: Final = 512 * 2**20  # bytes that the child may take
_CPU: Final = 10  # seconds
_CLOCK: Final = 60  # seconds; a machine under load is slow
_QUIET: Final = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")


def run_in_child(script: Path, *arguments: str) -> bytes:
    """What a script of ours writes to its standard output, run in a process with bounds.

    It sees the same packages, and imports only what it needs, so that it starts in milliseconds.
    A data worker, whom Python forbids children of its own kind, may call this, too.

    Args:
        script: A file of this package that calls its own ``main`` when it is run.
        arguments: What it finds in ``sys.argv[1:]``.

    Raises:
        ValueError: If it ends with an error, is ended, or takes too long; with the reason.
    """
    limits = (str(_MEMORY), str(_CPU))
    command = [sys.executable, "-S", "-P", str(_LIMITED), *limits, str(script), *arguments]
    packages = os.pathsep.join(path for path in sys.path if path)
    child = subprocess.Popen(  # noqa: S603  our own script
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=os.environ | _QUIET | {"PYTHONPATH": packages, "RUST_BACKTRACE": "0"},
    )
    with child:
        try:
            output, complaint = child.communicate(timeout=_CLOCK)
        except subprocess.TimeoutExpired as error:
            msg = f"its reader had not finished after {_CLOCK} s"
            raise ValueError(msg) from error
        finally:
            if child.poll() is None:
                child.kill()
    if child.returncode:
        raise ValueError(_reason(child.returncode, complaint))
    return output


def _reason(status: int, complaint: bytes) -> str:
    lines = [line.strip() for line in complaint[-4096:].decode("utf-8", "replace").splitlines()]
    # Rust's last line only says how to see more.
    said = next((line for line in reversed(lines) if line and not line.startswith("note:")), "")
    said = "".join(c for c in said if c.isprintable())[:160]
    if status > 0:
        return said or f"its reader ended with status {status}"
    return f"its reader was ended by signal {-status}" + (f" ({said})" if said else "")
