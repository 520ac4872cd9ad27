"""Writing that survives a crash: a side file, on the disk before it takes the old one's name."""

import hashlib
import os
import stat
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

SIDE: Final = ".writing-"
"""What the name of everything begins with that is being written."""
_PIECE: Final = 1 << 22  # bytes read at a time


def side_of(path: Path) -> Path:
    """A name beside a path that no other process or thread writes to."""
    return path.with_name(f"{SIDE}{uuid.uuid4().hex}{path.suffix[:20]}")


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A file that takes a path's place when all of it is written; before that nobody sees it.

    The side file has a name of its own, so several processes may write one path at a time: the
    last one stays, whole. It has the permissions of any new file, whoever creates it anew inside.

    Raises:
        OSError: If it cannot be written; what was there before is left as it was.
    """
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
