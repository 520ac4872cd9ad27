"""One run folder, one run: a lock that ends with its process, however that ends."""

import errno
import importlib
import os
import socket
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from lidistill.errors import TrainingError

_NAME: Final = ".lock"
_NO_LOCKS: Final = (errno.ENOSYS, errno.ENOTSUP, errno.ENOLCK)
_LONGEST: Final = 512  # of a line about who holds it, bytes


class RunLock:
    """Holds a run folder for this process.

    The system lets go of the lock when the process ends, a data worker that was forked does not
    keep it, and it holds across the machines of a file system that they share. Where a file system
    has no locks that is an error: a file that stands for one would outlive a killed run.

    Args:
        run: The run folder; made where it is not there.
        patience: Seconds to wait for another one.
    """

    def __init__(self, run: Path, *, patience: float = 0.0) -> None:
        self._run = run.resolve()
        # At the point of use: on a system without locks the import itself warns.
        self._library: Any = importlib.import_module("filelock")
        self._lock = self._library.FileLock(
            self._run / _NAME,
            timeout=patience,
            mode=0o644,
            fallback_to_soft=False,
            preserve_lock_file=True,
            on_acquired=_sign,
        )

    def __enter__(self) -> Self:
        """Take the folder.

        Raises:
            TrainingError: If another run has it, or no run can have it to itself.
        """
        self._run.mkdir(parents=True, exist_ok=True)
        try:
            self._lock.acquire()
        except self._library.Timeout as error:
            msg = (
                f"{self._run} is in use by another run ({self._owner()}); wait for it, stop it, or "
                "give another output=FOLDER."
            )
            raise TrainingError(msg) from error
        except OSError as error:
            if error.errno not in _NO_LOCKS:
                raise
            msg = (
                f"the file system of {self._run} has no locks, so two runs could write there at "
                "once; give an output=FOLDER on another one."
            )
            raise TrainingError(msg) from error
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._lock.release()

    def _owner(self) -> str:
        """Who holds the folder, as it has signed."""
        with (self._run / _NAME).open("rb") as file:
            owner = file.read(_LONGEST).decode("utf-8", errors="replace")
        return "this process" if owner == _own_name() else owner or "unknown"


def is_held(run: Path) -> bool:
    """Whether a process has a run folder now."""
    if not (run / _NAME).is_file():
        return False
    try:
        with RunLock(run):
            return False
    except TrainingError:
        return True


def _own_name() -> str:
    return f"process {os.getpid()} on {socket.gethostname()}"


def _sign(descriptor: int) -> None:
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, _own_name().encode(), 0)
