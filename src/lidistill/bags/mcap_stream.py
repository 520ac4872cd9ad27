"""MCAP that comes through a pipe: read once, from front to end, and never waited for twice."""

import struct
from collections.abc import Collection, Iterator
from typing import BinaryIO, Final, cast

from lidistill.bags.mcap import MAGIC, McapFile
from lidistill.bags.records import RawMessage
from lidistill.errors import FileFormatError, first_line
from lidistill.reading.names import shown

_ENDLESS: Final = 1 << 62
"""Bytes that a stream is taken to have."""
_BLOCK: Final = 1 << 20


class StreamEndError(EOFError):
    """Whoever writes has closed the pipe."""


class _Forward:
    """What ``McapFile`` asks of a file, of one that only goes forward.

    Args:
        pipe: Open for reading.
    """

    def __init__(self, pipe: BinaryIO) -> None:
        self._pipe, self._position = pipe, 0

    def seek(self, position: int) -> None:
        """Go forward to an offset.

        Raises:
            StreamEndError: If it lies behind the end.
        """
        assert position >= self._position  # noqa: S101  records are walked from front to end
        while position > self._position:
            self.read(min(_BLOCK, position - self._position))

    def read(self, size: int) -> bytes:
        """Just so many bytes, however long they take to come.

        Raises:
            StreamEndError: If the stream ends before.
        """
        parts = []
        left = size
        while left:
            part = self._pipe.read(left)
            if not part:
                raise StreamEndError
            parts.append(part)
            left -= len(part)
        self._position += size
        return b"".join(parts)


def stream_messages(pipe: BinaryIO, *, where: str) -> Iterator[RawMessage]:
    """All messages of a stream, as they come; it may end anywhere.

    Args:
        pipe: Open for reading.
        where: What to call it in errors.

    Raises:
        FileFormatError: If it is no MCAP, or damaged.
    """
    forward = _Forward(pipe)
    try:
        start = forward.read(len(MAGIC))
    except StreamEndError as error:
        msg = f"{where} ended before it began; is the program that writes it running?"
        raise FileFormatError(msg) from error
    if start != MAGIC:
        msg = f"{where} begins with {shown(start)}, expected MCAP; give other bags as files."
        raise FileFormatError(msg)
    # Seeking forward and reading are all that is asked of the file.
    reader = McapFile(cast("BinaryIO", forward), _ENDLESS)
    try:
        yield from reader.messages(_EveryTopic())
    except StreamEndError:
        return
    except (ValueError, struct.error, OverflowError) as error:
        msg = f"{where} is damaged: {shown(first_line(error))}; write it again."
        raise FileFormatError(msg) from error


class _EveryTopic(Collection[str]):
    """Holds any name."""

    def __contains__(self, name: object) -> bool:
        return True

    def __iter__(self) -> Iterator[str]:
        return iter(())

    def __len__(self) -> int:
        return 0
