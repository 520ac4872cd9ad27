"""Runs a script under bounds of memory and time; started by ``child_process.run_in_child`` alone.

Imports nothing but the standard library, so that the process starts in milliseconds.
"""

import runpy
import sys


def limit(memory: int, seconds: int) -> None:
    """Bound this process; where the system has no such bounds, only the parent's clock does.

    Args:
        memory: Bytes of address space.
        seconds: Time of a processor.
    """
    try:
        import resource  # noqa: PLC0415  Windows has none
    except ImportError:
        return
    wanted = {"RLIMIT_CORE": 0, "RLIMIT_AS": memory, "RLIMIT_CPU": seconds}
    for name, bound in wanted.items():
        _, hard = resource.getrlimit(getattr(resource, name))
        most = bound if hard == resource.RLIM_INFINITY else min(bound, hard)
        try:
            resource.setrlimit(getattr(resource, name), (most, most))
        except (ValueError, OSError):  # macOS knows RLIMIT_AS and refuses it
            continue


if __name__ == "__main__":
    _, memory, seconds, script, *arguments = sys.argv
    limit(int(memory), int(seconds))
    sys.argv = [script, *arguments]
    runpy.run_path(script, run_name="__main__")
