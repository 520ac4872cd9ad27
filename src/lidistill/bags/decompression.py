"""Unpacking of the chunks of a bag, counted while it runs."""

import bz2
import sys
from collections.abc import Callable
from typing import Any, Final

from lidistill.errors import first_line, require

MAX_BYTES: Final = 1 << 26
"""Bytes of one message or chunk; a camera image of 8 megapixels has 24 MB, chunks mostly 1 MB."""
_PIECE: Final = 1 << 22
_ZSTD: Final = "compression.zstd" if sys.version_info >= (3, 14) else "backports.zstd"


def decoder_of(compression: str) -> tuple[Any, tuple[type[Exception], ...]]:
    """A fresh decoder with ``decompress(data, max_length)``, and what it raises on bad data.

    Raises:
        MissingPackageError: If the package that unpacks it is not installed.
        ValueError: If nothing here unpacks it.
    """
    if compression not in _DECODERS:
        msg = f"the compression {compression!r:.40}, expected one of {', '.join(_DECODERS)}"
        raise ValueError(msg)
    return _DECODERS[compression]()


def decompress(
    data: bytes | memoryview, compression: str, *, limit: int = MAX_BYTES, cut: bool = False
) -> bytearray:
    """Unpack data that may hold at most ``limit`` bytes; no more than that is ever made.

    Args:
        data: One frame.
        compression: lz4, zstd or bz2.
        limit: Bytes that are too many by one.
        cut: Whether the end may be missing; then what comes before it is returned.

    Raises:
        MissingPackageError: If the package that unpacks it is not installed.
        ValueError: If it is damaged, cut off, or holds more.
    """
    decoder, errors = decoder_of(compression)
    result = bytearray()
    try:
        piece = decoder.decompress(bytes(data), min(_PIECE, limit + 1))
        while piece:
            result += piece
            if len(result) > limit or decoder.eof:
                break
            piece = decoder.decompress(b"", min(_PIECE, limit + 1 - len(result)))
    except errors as error:
        msg = f"{compression} data that cannot be unpacked ({first_line(error)[:100]})"
        raise ValueError(msg) from error
    if len(result) > limit or not (decoder.eof or cut):
        found = f"more than {limit} bytes" if len(result) > limit else "an end that is missing"
        msg = f"{compression} data with {found}"
        raise ValueError(msg)
    return result


def _lz4() -> tuple[Any, tuple[type[Exception], ...]]:
    decoder = require("lz4.frame", extra="ros").LZ4FrameDecompressor()
    return decoder, (RuntimeError, EOFError)


def _zstd() -> tuple[Any, tuple[type[Exception], ...]]:
    module = require(_ZSTD, extra="ros")
    return module.ZstdDecompressor(), (module.ZstdError, EOFError)


def _bz2() -> tuple[Any, tuple[type[Exception], ...]]:
    return bz2.BZ2Decompressor(), (OSError, EOFError)


_DECODERS: Final[dict[str, Callable[[], tuple[Any, tuple[type[Exception], ...]]]]] = {
    "lz4": _lz4,
    "zstd": _zstd,
    "bz2": _bz2,
}
