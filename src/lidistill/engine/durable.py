"""Writing that survives a crash: a side file, on the disk before it takes the old one's name."""

import hashlib
import os
from pathlib import Path

_PIECE = 1 << 22  # bytes read at a time


def sync(path: Path) -> None:
    """Wait until a file, or the names in a folder, are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def replace_text(path: Path, text: str) -> None:
    """Give a file new text; whoever reads it at any moment finds the old text or the new."""
    side = path.with_name(f".writing-{path.name}")
    side.write_text(text, encoding="utf-8")
    sync(side)
    side.replace(path)
    sync(path.parent)


def sha256(path: Path) -> str:
    """Checksum of a file's bytes, in hexadecimal digits."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(_PIECE):
            digest.update(piece)
    return digest.hexdigest()
