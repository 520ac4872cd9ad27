"""How a camera image says that it is to be turned before it is looked at (EXIF).

Pixels are taken as stored here, whatever this says: that is how a camera draws, and what a
calibration speaks of.
"""

import struct
from collections.abc import Iterator
from mmap import mmap
from typing import Final, TypeAlias

from lidistill.images import png

Content: TypeAlias = bytes | mmap

_TAG: Final = 274
_UPRIGHT: Final = 1
_TRANSPOSED: Final = frozenset({5, 6, 7, 8})
_MAX_PARTS: Final = 1 << 12  # segments or chunks of a file, and values of a folder
_TIFF: Final = {b"II*\0": "<", b"MM\0*": ">"}
_EXIF: Final = b"Exif\0\0"


def orientation(content: Content) -> int:
    """1 to 8 as EXIF counts; 1, as stored, also where nothing is said or it makes no sense.

    References:
        JEITA CP-3451, "Exif 2.3", section 4.6.4: Orientation.
    """
    return _find(content)[0]


def is_transposed(content: Content) -> bool:
    """Whether it says that rows are columns."""
    return orientation(content) in _TRANSPOSED


def as_stored(content: bytes) -> bytes:
    """The content of a TIFF without its orientation, which Pillow would obey; others as it is."""
    found, where = _find(content)
    if found == _UPRIGHT or content[:4] not in _TIFF:
        return content
    value = struct.pack(_TIFF[content[:4]] + "H", _UPRIGHT)
    return content[:where] + value + content[where + 2 :]


def _find(content: Content) -> tuple[int, int]:
    """The orientation, and where it lies in the content."""
    for start in _blocks(content):
        order = _TIFF.get(bytes(content[start : start + 4]))
        if order is None:
            continue
        try:
            found, where = _in_folder(content, start, order)
        except struct.error:
            continue
        if _UPRIGHT < found <= max(_TRANSPOSED):
            return found, where
    return _UPRIGHT, 0


def _in_folder(content: Content, start: int, order: str) -> tuple[int, int]:
    """The value of the tag in the first folder of values of a TIFF that starts somewhere."""
    (folder,) = struct.unpack_from(order + "I", content, start + 4)
    (num,) = struct.unpack_from(order + "H", content, start + folder)
    for number in range(min(num, _MAX_PARTS)):
        entry = start + folder + 2 + 12 * number
        tag, kind, _ = struct.unpack_from(order + "HHI", content, entry)
        if tag == _TAG and kind == 3:
            return struct.unpack_from(order + "H", content, entry + 8)[0], entry + 8
    return _UPRIGHT, 0


def _blocks(content: Content) -> Iterator[int]:
    """Where something like a TIFF begins: the file itself, or EXIF values inside of it."""
    parts = _parts(content)
    for _, (name, start) in zip(range(_MAX_PARTS), parts, strict=False):
        inside = bytes(content[start : start + len(_EXIF)]) == _EXIF
        if name in {b"", b"eXIf", b"EXIF"} or inside:
            yield start + len(_EXIF) * inside


def _parts(content: Content) -> Iterator[tuple[bytes, int]]:
    """Names and starts of the parts of a file; a TIFF is one part without a name."""
    head, end = bytes(content[:12]), len(content)
    if head[:2] == b"\xff\xd8":
        at = 2
        while at + 4 <= end and content[at] == 0xFF and content[at + 1] not in {0xD9, 0xDA}:
            yield bytes(content[at + 1 : at + 2]), at + 4
            at += 2 + max(2, int.from_bytes(content[at + 2 : at + 4], "big"))
    elif head.startswith(png.START):
        at = len(png.START)
        while at + 8 <= end:
            yield bytes(content[at + 4 : at + 8]), at + 8
            at += 12 + int.from_bytes(content[at : at + 4], "big")
    elif head[:4] == b"RIFF" and head[8:] == b"WEBP":
        at = 12
        while at + 8 <= end:
            size = int.from_bytes(content[at + 4 : at + 8], "little")
            yield bytes(content[at : at + 4]), at + 8
            at += 8 + size + size % 2
    else:
        yield b"", 0
