"""Unpacking of the chunks of a bag, counted while it runs."""

import bz2
import sys
from collections.abc import Callable
from typing import Any, Final

from lidistill.errors import first_line, require

MAX_BYTES: Final = 1 << 27
"""Bytes of one message or chunk; the largest cloud or camera image in use has a tenth."""
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


def inflate(
    data: bytes | memoryview, compression: str, *, limit: int = MAX_BYTES, cut: bool = False
) -> bytes:
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
    parts, left = [], limit + 1
    try:
        piece = decoder.decompress(bytes(data), left)
        while piece:
            parts.append(piece)
            left -= len(piece)
            if not left or decoder.eof:
                break
            piece = decoder.decompress(b"", left)
    except errors as error:
        msg = f"{compression} data that cannot be unpacked ({first_line(error)[:100]})"
        raise ValueError(msg) from error
    if not left or not (decoder.eof or cut):
        found = f"more than {limit} bytes" if not left else "an end that is missing"
        msg = f"{compression} data with {found}"
        raise ValueError(msg)
    return b"".join(parts)


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
