"""The PNGs that cameras write, in half of Pillow's time: libdeflate and a compiled filter.

Whatever is not exactly such a file is left to Pillow, so that it alone says what is damaged.

Shape letters: H x W an image.
"""

import struct
import zlib
from collections.abc import Iterator
from itertools import islice
from typing import Final, TypeAlias

import deflate
import numpy as np
from numpy.typing import NDArray

from lidistill.compiled import compiled_exactly, compiling

Bytes: TypeAlias = NDArray[np.uint8]

START: Final = b"\x89PNG\r\n\x1a\n"
_HEADER: Final = struct.Struct(">IIBBBBB")
_RGB: Final = (8, 2, 0, 0, 0)  # bits, colours, and the only compression, filtering, no interlace
_MAX_CHUNKS: Final = 1 << 16
_ESSENTIAL: Final = frozenset({b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND"})
_BORDER: Final = 1  # pixels of zeros to the left and above, which filters count with


def decode_rgb(content: bytes, max_pixels: int) -> Bytes | None:
    """(H, W, 3) image of a PNG with three colours of 8 bits that has no flaw.

    Args:
        content: The file.
        max_pixels: Number at which the image is left to others.

    Returns:
        None if it is of another kind or damaged, or nothing is to be compiled; checksums are
        compared.
    """
    if not compiling():
        return None
    chunks = list(islice(_chunks(content), _MAX_CHUNKS))
    size_hw = _plain_size([name for name, _ in chunks], chunks[0][1]) if chunks else None
    if size_hw is None or size_hw[0] * size_hw[1] > max_pixels:
        return None
    height, stride = size_hw[0], 1 + 3 * size_hw[1]
    try:
        packed = b"".join(data for _, data in chunks[1:-1])
        filtered = deflate.zlib_decompress(packed, height * stride)
    except deflate.DeflateError:
        return None
    if len(filtered) != height * stride:
        return None
    image = np.zeros((height + _BORDER, size_hw[1] + _BORDER, 3), dtype=np.uint8)
    rows = np.frombuffer(filtered, dtype=np.uint8).reshape(height, stride)
    if not _unfilter(rows, image.reshape(height + _BORDER, -1)):
        return None
    return np.ascontiguousarray(image[_BORDER:, _BORDER:])


def size_hw(start: bytes) -> tuple[int, int]:
    """Height and width in the first bytes of a PNG.

    Raises:
        ValueError: If its header is damaged.
    """
    found = next(_chunks(start), None)
    if found is None or found[0] != b"IHDR" or len(found[1]) != _HEADER.size:
        msg = "its header is damaged"
        raise ValueError(msg)
    width, height, *_ = _HEADER.unpack(found[1])
    return height, width


def essentials(content: bytes) -> bytes:
    """A PNG without what says nothing about its pixels, once all of it has been checked.

    Raises:
        ValueError: If a checksum is wrong, the end is missing, or there are too many chunks.
    """
    parts, name, at = [START], b"", len(START)
    for number, (name, data) in enumerate(_chunks(content)):
        if number == _MAX_CHUNKS:
            msg = f"more than {_MAX_CHUNKS} chunks"
            raise ValueError(msg)
        end = at + 12 + len(data)
        if name in _ESSENTIAL:
            parts.append(content[at:end])
        at = end
    if name != b"IEND":
        cut = len(content) - at < 12 or at + 12 + int.from_bytes(content[at : at + 4]) > len(
            content
        )
        msg = f"it is cut off behind {at} bytes" if cut else f"wrong checksum behind {at} bytes"
        raise ValueError(msg)
    return b"".join(parts)


def significant_bits(content: bytes) -> int | None:
    """How many bits of a grey sample a PNG says that its camera has filled; None: it does not.

    References:
        W3C, "Portable Network Graphics (PNG) Specification", third edition, section 11.3.2.7.
    """
    for name, data in islice(_chunks(content), _MAX_CHUNKS):
        if name == b"sBIT" and len(data):
            return int(data[0])
        if name == b"IDAT":
            break
    return None


def _plain_size(names: list[bytes], header: memoryview) -> tuple[int, int] | None:
    """Height and width, if a header and these chunks make an image that this module knows."""
    whole = [b"IHDR", *[b"IDAT"] * (len(names) - 2), b"IEND"]
    if names != whole or len(header) != _HEADER.size:
        return None
    width, height, *kind = _HEADER.unpack(header)
    return (height, width) if tuple(kind) == _RGB else None


def _chunks(content: bytes) -> Iterator[tuple[bytes, memoryview]]:
    """Name and data of every chunk down to the end or the first that is damaged."""
    view, at = memoryview(content), len(START)
    while at + 12 <= len(content):
        length, name = struct.unpack_from(">I4s", content, at)
        end = at + 8 + length
        checksum = content[end : end + 4]
        if checksum != zlib.crc32(view[at + 4 : end]).to_bytes(4, "big"):
            return
        yield name, view[at + 8 : end]
        if name == b"IEND":
            return
        at = end + 4


@compiled_exactly
def _unfilter(rows: Bytes, out: Bytes) -> bool:
    """Undo the filters of all rows; whether they are known.

    Args:
        rows: (H, 1 + 3 W) number of a filter, and what it has made of a row.
        out: (1 + H, 3 + 3 W) written; its first row and its first three columns are zero.

    References:
        W3C, "Portable Network Graphics (PNG) Specification", third edition, section 9.
    """
    for y in range(len(rows)):
        kind, row = rows[y, 0], rows[y, 1:]
        # What lies to the left, above, and above to the left of each byte.
        left, above, corner, here = out[y + 1, :-3], out[y, 3:], out[y, :-3], out[y + 1, 3:]
        if kind == 0:
            for c in range(len(row)):
                here[c] = row[c]
        elif kind == 1:
            for c in range(len(row)):
                here[c] = row[c] + left[c]
        elif kind == 2:
            for c in range(len(row)):
                here[c] = row[c] + above[c]
        elif kind == 3:
            for c in range(len(row)):
                here[c] = row[c] + ((np.int32(left[c]) + np.int32(above[c])) >> 1)
        elif kind == 4:
            for c in range(len(row)):
                here[c] = row[c] + _paeth(left[c], above[c], corner[c])
        else:
            return False
    return True


@compiled_exactly
def _paeth(left: np.uint8, above: np.uint8, corner: np.uint8) -> np.uint8:
    """Whichever is nearest to left + above - corner, the first of equals."""
    a, b, c = np.int32(left), np.int32(above), np.int32(corner)
    by_left, by_above, by_corner = abs(b - c), abs(a - c), abs(a + b - 2 * c)
    if by_left <= by_above and by_left <= by_corner:
        return left
    return above if by_above <= by_corner else corner
