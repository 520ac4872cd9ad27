"""Gzip that is not trusted: unpacking is counted while it runs, and its cost is linear."""

import re
import struct
import zlib
from typing import Final

import deflate

_GZIP: Final = 31  # zlib's name for its header and checksum
_MAX_MEMBERS: Final = 4096
"""Members of a file; programs that write in blocks make one for every 64 kB."""
_CHUNK: Final = 1 << 16  # bytes handed over at a time; a member gives back what it leaves of it
_PADDING: Final = re.compile(rb"\0*")
_HEADER: Final = re.compile(rb"\x1f\x8b\x08[\x00-\x1f].{4}[\x00\x02\x04][\x00-\x0d\xff]", re.DOTALL)
"""Of a member; chance makes one in 10 MB of compressed data once in 10,000 files."""


def gunzip(packed: bytes, *, max_bytes: int) -> bytes | bytearray:
    """Content of a gzip file, whose checksums are compared; members may follow one another.

    Args:
        packed: The file.
        max_bytes: Size of the content at which unpacking ends.

    Raises:
        ValueError: If it is cut off, damaged, no gzip file, or unpacks to more.
    """
    whole = _single_member(packed, max_bytes)
    if whole is not None:
        return whole
    whole, at = bytearray(), 0
    for _ in range(_MAX_MEMBERS):
        at = _unpack_member(packed, at, whole, max_bytes)
        at = _padding_ends(packed, at)
        if at == len(packed):
            return whole
    msg = f"more than {_MAX_MEMBERS} gzip members follow one another"
    raise ValueError(msg)


def _unpack_member(packed: bytes, at: int, whole: bytearray, max_bytes: int) -> int:
    """Add the content of the member that begins at a place; returns where it ends."""
    member = zlib.decompressobj(wbits=_GZIP)
    view = memoryview(packed)
    try:
        while not member.eof:
            # What the last call could not put out, for its length is limited, comes first.
            piece = member.unconsumed_tail or view[at : at + _CHUNK]
            if not member.unconsumed_tail:
                at += len(piece)
            if not piece:
                msg = "truncated or not a gzip file (it ends too early)"
                raise ValueError(msg)
            whole += member.decompress(piece, max_bytes + 1 - len(whole))
            if len(whole) > max_bytes:
                msg = f"more than {max_bytes} bytes once decompressed; refused"
                raise ValueError(msg)
    except zlib.error as error:
        msg = f"truncated or not a gzip file ({error})"
        raise ValueError(msg) from error
    return at - len(member.unused_data)


def _padding_ends(packed: bytes, at: int) -> int:
    padding = _PADDING.match(packed, at)
    return padding.end() if padding else at


def _single_member(packed: bytes, max_bytes: int) -> bytearray | None:
    """Content of a gzip file of one member, in a third of zlib's time; None if it is another.

    libdeflate does not say where a member ends, so the file's last bytes must be its checksum and
    its size, and nothing behind it may look like another one, which could have the same.
    """
    checksum, size = struct.unpack("<II", packed[-8:].rjust(8, b"\0"))
    if not 0 < size <= max_bytes or _HEADER.search(packed, 1):
        return None
    try:
        whole = deflate.gzip_decompress(packed, size)
    except deflate.DeflateError:
        return None
    return whole if len(whole) == size and deflate.crc32(whole) == checksum else None
