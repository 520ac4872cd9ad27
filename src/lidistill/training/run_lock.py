"""One run folder, one run: a lock that ends with its process, however that ends."""

import os
import socket
from pathlib import Path
from types import TracebackType
from typing import Self

from lidistill.errors import TrainingError

_NAME = ".lock"
_held: set[Path] = set()


class RunLock:
    """Holds a run folder for this process.

    The lock is a POSIX record lock: the system lets go of it when the process ends, a data worker
    that was forked does not inherit it, and it holds across the machines of a shared file system.

    Args:
        run: The run folder; made where it is not there.
    """

    def __init__(self, run: Path) -> None:
        self._run = run.resolve()

    def __enter__(self) -> Self:
        """Take the folder.

        Raises:
            TrainingError: If another run has it.
        """
        import fcntl  # noqa: PLC0415  Windows, where nothing is trained, has none

        self._run.mkdir(parents=True, exist_ok=True)
        file = self._run / _NAME
        # A second lock by the same process would succeed, and closing its file would free both.
        if self._run in _held:
            raise _taken(self._run, "this process")
        self._descriptor = os.open(file, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.lockf(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError) as error:
            os.close(self._descriptor)
            raise _taken(self._run, file.read_text(encoding="utf-8", errors="replace")) from error
        owner = f"process {os.getpid()} on {socket.gethostname()}"
        os.ftruncate(self._descriptor, 0)
        os.write(self._descriptor, owner.encode())
        _held.add(self._run)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        _held.discard(self._run)
        os.close(self._descriptor)


def _taken(run: Path, owner: str) -> TrainingError:
    return TrainingError(
        f"{run} is in use by another run ({owner or 'unknown'}); wait for it, stop it, or give "
        "another output=FOLDER."
    )
