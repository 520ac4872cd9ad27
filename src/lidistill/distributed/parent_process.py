"""A process that ends with the one that started it, however that ends."""

import ctypes
import os
import signal
import sys
import threading
import time

STOP_SIGNALS = tuple(
    getattr(signal, name)
    for name in ("SIGTERM", "SIGINT", "SIGHUP", "SIGUSR1")
    if hasattr(signal, name)  # Windows lacks the last two
)
"""What asks a run to save and stop."""

_PR_SET_PDEATHSIG = 1  # from Linux's prctl.h
_LOOK_S = 1.0


def end_with_parent(number: signal.Signals, parent: int) -> bool:
    """Ask for a signal when the parent ends: from Linux itself, elsewhere from a thread that looks.

    Args:
        number: What this process gets then.
        parent: Process id of the parent, as it was when this process began.

    Returns:
        Whether the parent is still there; else nothing will come any more.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(number))
    elif os.getppid() == parent:
        threading.Thread(target=_watch, args=(number, parent), daemon=True).start()
    return os.getppid() == parent


def end_with_launcher() -> None:
    """Let SIGTERM reach this process when torchrun ends that has started it; else nothing.

    torchrun ends its processes unless it is killed. They would go on without it, and nobody would
    start them again. A run saves at SIGTERM, everything else ends.
    """
    if "TORCHELASTIC_RUN_ID" in os.environ and not end_with_parent(signal.SIGTERM, os.getppid()):
        os.kill(os.getpid(), signal.SIGTERM)


def _watch(number: signal.Signals, parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(_LOOK_S)
    os.kill(os.getpid(), number)
