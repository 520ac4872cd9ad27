"""A file of which only so much is read, and the rest is mapped."""

import io
import mmap
import platform
import sys
from typing import BinaryIO, Final

import torch
from torch import Tensor

from lidistill.reading.names import shown
from lidistill.reading.torch_objects import Storage

_MAX_PLAIN: Final = 1 << 26
"""Bytes of names and numbers, all that is read at once; with an optimiser 1 MB."""
_MAX_PIECE: Final = 1 << 22
_MAX_LINE: Final = 1000  # of a class's name
_MAP_NORESERVE: Final = 0x4000
"""Of Linux on the processors below; Python has a name for it from 3.13 on."""


class Budgeted(io.RawIOBase):
    """A file of which only so much is read, piece by piece: names and numbers, no values."""

    def __init__(self, file: BinaryIO) -> None:
        super().__init__()
        self._file, self._left = file, _MAX_PLAIN

    def read(self, size: int = -1, /) -> bytes:
        """See ``io.RawIOBase.read``."""
        if size > min(self._left, _MAX_PIECE) and size > 0:
            msg = f"it announces {size} bytes of names and numbers"
            raise ValueError(msg)
        piece = self._file.read(size if size >= 0 else _MAX_PIECE)
        self._left -= len(piece)
        if self._left < 0:
            msg = f"it has more than {_MAX_PLAIN} bytes of names and numbers"
            raise ValueError(msg)
        return piece

    def readline(self, size: int | None = -1, /) -> bytes:  # noqa: ARG002  as of its base
        """See ``io.RawIOBase.readline``."""
        return self._file.readline(_MAX_LINE)

    def seek(self, offset: int, whence: int = 0, /) -> int:
        """See ``io.RawIOBase.seek``."""
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        """See ``io.RawIOBase.tell``."""
        return self._file.tell()

    def seekable(self) -> bool:
        """See ``io.RawIOBase.seekable``."""
        return True

    def readable(self) -> bool:
        """See ``io.RawIOBase.readable``."""
        return True


class Mapped:
    """Storages of a file by their keys.

    Args:
        file: Open for reading.
    """

    def __init__(self, file: BinaryIO) -> None:
        self.places: dict[str, tuple[int, int]] = {}  # first byte, bytes
        self._memory = _private_map(file)

    def view(self, storage: Storage, dtype: torch.dtype) -> Tensor:
        """All values of a storage; none is read before it is used."""
        place, size = self.places.get(storage.key, (0, -1))
        size = min(size, len(self._memory) - place)
        if size < storage.nbytes:
            found = "is missing" if size < 0 else f"has {size} bytes, expected {storage.nbytes}"
            msg = f"its storage {shown(storage.key)} {found}; it was cut off or damaged"
            raise ValueError(msg)
        count = storage.nbytes // dtype.itemsize
        if count == 0:
            return torch.empty(0, dtype=dtype)
        return torch.frombuffer(self._memory, dtype=dtype, count=count, offset=place)


def _private_map(file: BinaryIO) -> mmap.mmap:
    """The whole file as memory that can be written, and that changes no file."""
    if sys.platform == "linux" and platform.machine() in {"x86_64", "aarch64"}:
        # Otherwise Linux refuses a file that is larger than the memory.
        return mmap.mmap(file.fileno(), 0, flags=mmap.MAP_PRIVATE | _MAP_NORESERVE)
    return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
