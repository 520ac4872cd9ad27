"""Writing that survives a crash: a side file, on the disk before it takes the old one's name."""

import functools
import hashlib
import os
import platform
import re
import stat
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

SIDE: Final = ".writing-"
"""What the name of everything begins with that is being written."""
_OF_WRITER: Final = re.compile(re.escape(SIDE) + r"([0-9a-f]{16})-([0-9]{1,10})-[0-9a-f]{32}.*")
_PIECE: Final = 1 << 22  # bytes read at a time
_POLL: Final = 0.05  # seconds between two looks at a lock


def side_of(path: Path) -> Path:
    """A name beside a path that no other process or thread writes to, and that says who does."""
    writer = f"{_processes()}-{os.getpid()}"
    return path.with_name(f"{SIDE}{writer}-{uuid.uuid4().hex}{path.suffix[:20]}")


@functools.cache
def _processes() -> str:
    """Where a process id of this process means something: a machine since its last start.

    On Linux also a namespace of process ids, since containers have their own.
    """
    parts = [platform.node()]
    for place, read in (
        ("/proc/sys/kernel/random/boot_id", lambda name: Path(name).read_text("ascii")),
        ("/proc/self/ns/pid", os.readlink),
    ):
        try:
            parts.append(read(place))
        except OSError:
            parts.append("")
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


@functools.lru_cache(maxsize=4096)
def _remove_remains(folder: Path, pid: int) -> None:
    """Delete the side files of killed processes of this machine, once for each folder."""
    if os.name != "posix":  # no other way to ask for a process
        return
    for side in folder.glob(f"{SIDE}*"):
        found = _OF_WRITER.fullmatch(side.name)
        if not found or found[1] != _processes() or int(found[2]) == pid:
            continue
        try:
            os.kill(int(found[2]), 0)
        except ProcessLookupError:
            if side.is_file() and not side.is_symlink():
                side.unlink(missing_ok=True)
        except (PermissionError, OverflowError):  # somebody else's; no process id
            continue


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A file that takes a path's place when all of it is written; before that nobody sees it.

    The side file has a name of its own, so several processes may write one path at a time: the
    last one stays, whole. It has the permissions of any new file, whoever creates it anew inside.
    What killed processes of this machine have left in the folder is deleted.

    Raises:
        OSError: If it cannot be written; what was there before is left as it was.
    """
    _remove_remains(path.parent.absolute(), os.getpid())
    side = side_of(path)
    descriptor = os.open(side, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
    mode = stat.S_IMODE(os.fstat(descriptor).st_mode)  # as the umask makes it
    os.close(descriptor)
    try:
        yield side
        if stat.S_IMODE(side.stat().st_mode) != mode:
            side.chmod(mode)
        side.replace(path)
    finally:
        side.unlink(missing_ok=True)


@contextmanager
def one_at_a_time(path: Path, *, patience: float) -> Iterator[None]:
    """The code inside runs in one process after the other.

    The lock is a POSIX record lock, which ends with its process, however that ends. Where there is
    none (another system, some network file systems), or after waiting long enough, it goes on.

    Args:
        path: File to lock; made where it is not there.
        patience: Seconds to wait for another process.

    Raises:
        OSError: If the file cannot be made.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        end = time.monotonic() + patience
        while not _lock(descriptor) and time.monotonic() < end:
            time.sleep(_POLL)
        yield
    finally:
        os.close(descriptor)


def _lock(descriptor: int) -> bool:
    """Whether nobody else has the lock now, or there are no locks."""
    try:
        import fcntl  # noqa: PLC0415  Windows has none
    except ImportError:
        return True
    try:
        fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return False
    except OSError:
        return True
    return True


def sync(path: Path) -> None:
    """Wait until a file, or the names in a folder, are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def replace_text(path: Path, text: str) -> None:
    """Give a file new text; whoever reads it at any moment finds the old text or the new."""
    with replacing(path) as side:
        side.write_text(text, encoding="utf-8")
        sync(side)
    sync(path.parent)


def sha256(path: Path) -> str:
    """Checksum of a file's bytes, in hexadecimal digits."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(_PIECE):
            digest.update(piece)
    return digest.hexdigest()
