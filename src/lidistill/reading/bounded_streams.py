"""Streams that are counted while they are unpacked, and end where they have gone too far."""

import zlib
from typing import Final, Protocol

_GZIP: Final = 31  # zlib's name for its header and checksum
_MAX_MEMBERS: Final = 10_000
_PIECE: Final = 1 << 16  # packed bytes taken at a time


class TooLargeError(ValueError):
    """A stream has more bytes than may come."""


class Readable(Protocol):
    """What bytes come from."""

    def read(self, size: int, /) -> bytes:
        """At most so many bytes; none at the end."""
        ...


class Counted:
    """A stream of which no more than a number of bytes is ever read.

    Args:
        stream: Where the bytes come from.
        limit: How many may come.
    """

    def __init__(self, stream: Readable, *, limit: int) -> None:
        self._stream, self.limit, self._count = stream, limit, 0

    def read(self, size: int, /) -> bytes:
        """At most so many bytes.

        Raises:
            TooLargeError: If that is more than may come.
        """
        piece = self._stream.read(size)
        self._count += len(piece)
        if self._count > self.limit:
            msg = f"it unpacks to more than {self.limit:,} bytes"
            raise TooLargeError(msg)
        return piece

    def has_room_for(self, size: int) -> bool:
        """Whether so many bytes may still come."""
        return self._count + size <= self.limit


class Gunzip:
    """Content of a gzip file, unpacked as it is read; members may follow one another.

    Args:
        file: The packed file.
    """

    def __init__(self, file: Readable) -> None:
        self._file, self._packed = file, b""
        self._members, self._member = 1, zlib.decompressobj(wbits=_GZIP)

    def read(self, size: int, /) -> bytes:
        """At most so many bytes of the content; none at its end.

        Raises:
            ValueError: If it is damaged, cut off, or has too many members.
        """
        try:
            while True:
                self._packed = self._packed or self._file.read(_PIECE)
                if self._member.eof and not self._next_member():
                    return b""
                if not self._packed:
                    msg = "it ends too early"
                    raise ValueError(msg)
                piece = self._member.decompress(self._packed, size)
                self._packed = self._member.unconsumed_tail or self._member.unused_data
                if piece:
                    return piece
        except zlib.error as error:
            raise ValueError(str(error)) from error

    def _next_member(self) -> bool:
        """Begin with what follows a member; False where nothing does, or padding."""
        while self._packed and not (rest := self._packed.lstrip(b"\0")):
            self._packed = self._file.read(_PIECE)
        self._packed = rest if self._packed else b""
        if not self._packed:
            return False
        self._members, self._member = self._members + 1, zlib.decompressobj(wbits=_GZIP)
        if self._members > _MAX_MEMBERS:
            msg = f"more than {_MAX_MEMBERS:,} gzip members follow one another"
            raise ValueError(msg)
        return True
