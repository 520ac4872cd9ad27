"""Headers of camera images, looked at before a decoder reserves memory for what they claim.

Whatever is not one of these formats, or damaged in another way, is left to the decoders.
"""

import re
import struct
from collections.abc import Iterator
from mmap import mmap
from typing import Final

from lidistill.images import png

MAX_PIXELS: Final = 1 << 25
"""Of an image; the largest cameras of all sets have a tenth."""
_MAX_SIDE: Final = 1 << 15
_MAX_ENTRIES: Final = 512  # of a TIFF's folder of values; cameras write about forty
_MAX_VALUES: Final = 1 << 24  # bytes of all its values: thumbnails and colour profiles
_MAX_STRIPS: Final = 1 << 16
_MAX_WORDS: Final = 4096  # bytes in which a PPM's header ends
_MAX_PLAIN: Final = 1 << 25  # bytes of a PPM of words
_TYPE_BYTES: Final = (0, 1, 1, 2, 4, 8, 1, 1, 2, 4, 8, 4, 8, 4, 0, 0, 8, 8, 8)
_FOLDERS: Final = frozenset({34665, 34853, 40965})  # tags that lead to further folders of values
_STRIPS: Final = frozenset({273, 279, 324, 325})
_TILE: Final = (322, 323)


def check_size(height: int, width: int) -> None:
    """Check that an image is one of a camera.

    Raises:
        ValueError: If it is larger, or so narrow that no camera draws it.
    """
    if height * width > MAX_PIXELS or max(height, width) > _MAX_SIDE:
        msg = (
            f"{width} x {height} pixels, expected at most {MAX_PIXELS} in all and {_MAX_SIDE} a "
            "side"
        )
        raise ValueError(msg)


def check_header(content: bytes | mmap) -> None:
    """Compare what an image's header claims with bounds.

    Raises:
        ValueError: If it claims more than a camera's image has.
    """
    start = bytes(content[:_MAX_WORDS])
    if start.startswith(png.START):
        check_size(*png.size_hw(start))
    elif start[:4] == b"RIFF" and start[8:12] == b"WEBP":
        _check_webp(start)
    elif start[:4] in {b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"}:
        _check_tiff(content)
    elif re.match(rb"P[1-7fFy]", start):
        _check_ppm(start, len(content))


def _check_webp(start: bytes) -> None:
    kind, data = start[12:16], start[20:]
    if kind == b"VP8X" and len(data) >= 10:
        width, height = (int.from_bytes(data[i : i + 3], "little") + 1 for i in (4, 7))
    elif kind == b"VP8 " and len(data) >= 10:
        width, height = (size & 0x3FFF for size in struct.unpack_from("<HH", data, 6))
    elif kind == b"VP8L" and len(data) >= 5:
        bits = int.from_bytes(data[1:5], "little")
        width, height = (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    else:
        return
    check_size(height, width)


def _check_ppm(start: bytes, num_bytes: int) -> None:
    """A header that never ends, or words by the million, take Pillow minutes."""
    words = re.sub(rb"#[^\r\n]*(?:[\r\n]|$)", b" ", start).split(None, 4)
    if len(words) < (3 if start[1:2] in b"14" else 4) and num_bytes > len(start):
        msg = f"its header does not end within {_MAX_WORDS} bytes"
        raise ValueError(msg)
    if start[1:2] in b"123" and num_bytes > _MAX_PLAIN:
        msg = f"{num_bytes} bytes of words, expected at most {_MAX_PLAIN}; write it in binary form"
        raise ValueError(msg)


def _check_tiff(content: bytes | mmap) -> None:
    order = "<" if content[:1] == b"I" else ">"
    big = content[2:4].strip(b"\0") == b"+"
    where = struct.Struct(order + ("Q" if big else "I"))
    try:
        (at,) = where.unpack_from(content, 8 if big else 4)
        _check_folder(content, at, order=order, big=big, deeper=True)
    except struct.error as error:
        msg = "its values lie outside of it"
        raise ValueError(msg) from error


def _check_folder(content: bytes | mmap, at: int, *, order: str, big: bool, deeper: bool) -> None:
    total, tile = 0, [1, 1]
    for tag, count, width, value in _entries(content, at, order=order, big=big):
        total += count * width
        if tag in _TILE and count == 1:
            tile[_TILE.index(tag)] = value
        if total > min(_MAX_VALUES, len(content)) or (tag in _STRIPS and count > _MAX_STRIPS):
            msg = f"its values take {total} bytes, more than an image of a camera has"
            raise ValueError(msg)
        if deeper and tag in _FOLDERS:
            _check_folder(content, value, order=order, big=big, deeper=False)
    check_size(tile[1], tile[0])


def _entries(
    content: bytes | mmap, at: int, *, order: str, big: bool
) -> Iterator[tuple[int, int, int, int]]:
    """Tag, number of values, bytes of each, and the first value or where it lies."""
    head, entry = (f"{order}Q", f"{order}HHQ") if big else (f"{order}H", f"{order}HHI")
    (num,) = struct.unpack_from(head, content, at)
    if num > _MAX_ENTRIES:
        msg = f"{num} values describe it, expected at most {_MAX_ENTRIES}"
        raise ValueError(msg)
    at += struct.calcsize(head)
    for _ in range(num):
        tag, kind, count = struct.unpack_from(entry, content, at)
        at += struct.calcsize(entry)
        width = _TYPE_BYTES[kind] if kind < len(_TYPE_BYTES) else 0
        short = kind == 3 and count == 1
        form = "H" if short else "Q" if big else "I"
        (value,) = struct.unpack_from(order + form, content, at)
        at += 8 if big else 4
        yield tag, count, width, value
