"""Camera images: ``sensor_msgs/Image`` and ``CompressedImage`` as files.

Shape letters: H x W image size, C channels.
"""

import io
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lidistill.bags.messages import Bytes, PackedImage, RawImage, rows
from lidistill.bags.mosaic import PATTERNS, demosaic
from lidistill.reading.names import shown

Pixels8 = NDArray[np.uint8]

MAX_PIXELS: Final = 1 << 25
_BLOCK: Final = 128
"""Rows that are converted together, so that what is in between stays small."""
_STARTS: Final = {
    b"\xff\xd8\xff": ".jpg",
    b"\x89PNG": ".png",
    b"BM": ".bmp",
    b"II*\0": ".tif",
    b"MM\0*": ".tif",
}
_SAMPLES: Final = (8, 10, 12, 14, 16)
"""Bits that a camera may put into 16."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Plain:
    """An encoding with whole pixels one after the other."""

    channels: int
    rgb: tuple[int, ...]
    """Where red, green and blue lie, or grey alone."""
    bits: int = 8


_PLAIN: Final = {
    "rgb8": _Plain(channels=3, rgb=(0, 1, 2)),
    "bgr8": _Plain(channels=3, rgb=(2, 1, 0)),
    "8UC3": _Plain(channels=3, rgb=(2, 1, 0)),
    "rgba8": _Plain(channels=4, rgb=(0, 1, 2)),
    "bgra8": _Plain(channels=4, rgb=(2, 1, 0)),
    "8UC4": _Plain(channels=4, rgb=(2, 1, 0)),
    "mono8": _Plain(channels=1, rgb=(0,)),
    "8UC1": _Plain(channels=1, rgb=(0,)),
    "rgb16": _Plain(channels=3, rgb=(0, 1, 2), bits=16),
    "bgr16": _Plain(channels=3, rgb=(2, 1, 0), bits=16),
    "16UC3": _Plain(channels=3, rgb=(2, 1, 0), bits=16),
    "rgba16": _Plain(channels=4, rgb=(0, 1, 2), bits=16),
    "bgra16": _Plain(channels=4, rgb=(2, 1, 0), bits=16),
    "16UC4": _Plain(channels=4, rgb=(2, 1, 0), bits=16),
    "mono16": _Plain(channels=1, rgb=(0,), bits=16),
    "16UC1": _Plain(channels=1, rgb=(0,), bits=16),
} | {
    f"bayer_{pattern}{bits}": _Plain(channels=1, rgb=(0,), bits=bits)
    for pattern in PATTERNS
    for bits in (8, 16)
}


_MOSAIC: Final = re.compile(rf"bayer_({'|'.join(PATTERNS)})8\b")
"""Begins the format of a mosaic of colours that was compressed as it is."""


def packed_file(image: PackedImage, notes: Counter[str]) -> tuple[bytes, str]:
    """Content and ending of the file of a ``CompressedImage``, which is kept as it is.

    A mosaic of colours that was compressed like a grey image gets its colours.

    Args:
        image: The message.
        notes: What was converted, counted; added to.

    Raises:
        ValueError: If it is of no format that camera images are read from.
    """
    content = image.data.tobytes()
    mosaic = _MOSAIC.match(image.format)
    for start, suffix in _STARTS.items():
        if content.startswith(start):
            coloured = None if mosaic is None else _coloured(content, mosaic[1])
            if mosaic is None or coloured is None:
                return content, suffix
            notes[f"compressed images of {mosaic[0]}: colours interpolated (bilinear)"] += 1
            return coloured, ".png"
    if content[:4] == b"RIFF" and content[8:12] == b"WEBP":
        return content, ".webp"
    msg = (
        f"a compressed image of the format {shown(image.format)}, expected JPEG, PNG, WebP, BMP or "
        "TIFF: decode it to a topic of sensor_msgs/Image first"
    )
    raise ValueError(msg)


def _coloured(content: bytes, pattern: str) -> bytes | None:
    """A PNG with the colours of a packed grey mosaic; None where the file is no such one.

    One that is damaged stays as it is, like any other, and is named by whoever reads it.
    """
    try:
        with Image.open(io.BytesIO(content)) as image:
            if image.mode != "L" or image.width * image.height > MAX_PIXELS:
                return None
            return _png(demosaic(np.asarray(image), pattern))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return None


def _png(pixels: NDArray[np.unsignedinteger]) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels, dtype=np.uint8)).save(stream, "PNG")
    return stream.getvalue()


def raw_file(image: RawImage, *, bits: int, notes: Counter[str]) -> tuple[bytes, str]:
    """Content and ending of the file of an ``Image``: a PNG with 8 bits a channel.

    Args:
        image: The message.
        bits: Of samples of 16 bits: how many the camera fills, from ``sample_bits``.
        notes: What was converted, counted; added to.

    Raises:
        ValueError: If its encoding is not known, or its sizes contradict each other.
    """
    return _png(rgb_or_grey(image, bits=bits, notes=notes)), ".png"


def rgb_or_grey(image: RawImage, *, bits: int, notes: Counter[str]) -> Pixels8:
    """(H, W, 3) red, green, blue or (H, W) grey; see ``raw_file``."""
    encoding = _known(image)
    if encoding in _YUV:
        notes[f"images of {encoding}: taken as BT.601 of video range, as OpenCV does"] += 1
        return _from_yuv(*_YUV[encoding](image))
    plain = _PLAIN[encoding]
    samples = _samples(image, plain)
    pattern = encoding[6:10] if encoding.startswith("bayer_") else ""
    if pattern:
        notes[f"images of {encoding}: colours interpolated between pixels (bilinear)"] += 1
        colours: NDArray[np.unsignedinteger] = demosaic(samples[:, :, 0], pattern)
    elif plain.channels == 1:
        colours = samples[:, :, 0]
    else:
        colours = samples[:, :, list(plain.rgb)]
    if plain.bits == 8:
        return np.ascontiguousarray(colours, dtype=np.uint8)
    most = (1 << bits) - 1
    notes[f"images of {encoding}: samples of {bits} bits scaled to 8 (255 / {most})"] += 1
    table = np.minimum((np.arange(1 << 16) * 255 + most // 2) // most, 255).astype(np.uint8)
    scaled = np.empty(colours.shape, dtype=np.uint8)
    for start in range(0, len(colours), _BLOCK):
        scaled[start : start + _BLOCK] = table[colours[start : start + _BLOCK]]
    return scaled


def is_deep(image: RawImage) -> bool:
    """Whether an image has samples of 16 bits, whose range has to be known first.

    Raises:
        ValueError: If its encoding is not known.
    """
    encoding = _known(image)
    return encoding in _PLAIN and _PLAIN[encoding].bits == 16


def largest_sample(image: RawImage) -> int:
    """The largest of an image's samples of 16 bits."""
    return int(_samples(image, _PLAIN[_known(image)]).max())


def sample_bits(largest: int) -> int:
    """How many bits a camera fills whose samples are no larger: 8, 10, 12, 14 or 16."""
    return next(bits for bits in _SAMPLES if largest < 1 << bits)


def _known(image: RawImage) -> str:
    if image.encoding in _PLAIN or image.encoding in _YUV:
        return image.encoding
    msg = (
        f"the encoding {shown(image.encoding)}, expected one of {', '.join([*_PLAIN, *_YUV])}: "
        "convert the topic to one of them first"
    )
    raise ValueError(msg)


def _samples(image: RawImage, plain: _Plain) -> NDArray[np.unsignedinteger]:
    """(H, W, C) uint8 or uint16."""
    _check_size(image)
    size = plain.bits // 8
    row_bytes = image.width * plain.channels * size
    lines = rows(
        image.data, height=image.height, row_bytes=row_bytes, step=image.step, what="an image"
    )
    code = "u1" if size == 1 else ">u2" if image.big_endian else "<u2"
    samples = np.ascontiguousarray(lines).view(code).reshape(image.height, image.width, -1)
    return samples.astype(np.uint16, copy=False) if size == 2 else samples


def _check_size(image: RawImage) -> None:
    if not 0 < image.height * image.width <= MAX_PIXELS:
        msg = f"{image.height} x {image.width} pixels, expected 1 to {MAX_PIXELS}"
        raise ValueError(msg)


def _pairs(image: RawImage, luma: int) -> tuple[Bytes, Bytes, Bytes]:
    """Y (H, W), U and V (H, W) of two pixels in four bytes; ``luma`` is where the first Y lies."""
    _check_size(image)
    if image.width % 2:
        msg = f"the encoding {image.encoding} with {image.width} columns, expected an even number"
        raise ValueError(msg)
    lines = rows(
        image.data, height=image.height, row_bytes=image.width * 2, step=image.step, what="an image"
    )
    chroma = 1 - luma
    u, v = (lines[:, start::4].repeat(2, axis=1) for start in (chroma, chroma + 2))
    return lines[:, luma::2], u, v


def _planes(image: RawImage, *, halved: int, v_first: bool) -> tuple[Bytes, Bytes, Bytes]:
    """Y (H, W), U and V (H, W) of a plane of Y and one of U and V in turn, ``halved`` as fine."""
    _check_size(image)
    height, width = image.height, image.width
    if height % halved or width % halved:
        msg = f"the encoding {image.encoding} with {height} x {width} pixels, expected even numbers"
        raise ValueError(msg)
    fine = 2 // halved  # rows of the second plane are so many times as long as those of the first
    extra = height // halved * fine
    # Where U and V are as fine as Y, their rows are twice as long, and padded in another place.
    padded = halved == 2 and image.data.size == image.step * (height + extra)
    step = image.step if padded else width
    lines = rows(image.data, height=height + extra, row_bytes=width, step=step, what="an image")
    both = lines[height:].reshape(height // halved, width // halved, 2)
    both = both.repeat(halved, axis=0).repeat(halved, axis=1)
    u, v = (both[:, :, 1], both[:, :, 0]) if v_first else (both[:, :, 0], both[:, :, 1])
    return lines[:height], u, v


_YUV: Final[dict[str, Callable[[RawImage], tuple[Bytes, Bytes, Bytes]]]] = {
    "yuv422": lambda image: _pairs(image, 1),  # UYVY
    "uyvy": lambda image: _pairs(image, 1),
    "yuv422_yuy2": lambda image: _pairs(image, 0),  # YUYV
    "yuyv": lambda image: _pairs(image, 0),
    "nv21": lambda image: _planes(image, halved=2, v_first=True),
    "nv12": lambda image: _planes(image, halved=2, v_first=False),
    "nv24": lambda image: _planes(image, halved=1, v_first=False),
}


def _from_yuv(y: Bytes, u: Bytes, v: Bytes) -> Pixels8:
    """(H, W, 3) red, green, blue.

    References:
        ITU-R BT.601-7, section 2.5: Y from 16 to 235, U and V from 16 to 240 around 128.
    """
    colours = np.empty((*y.shape, 3), dtype=np.uint8)
    for start in range(0, len(y), _BLOCK):
        part = slice(start, start + _BLOCK)
        light = (y[part].astype(np.float32) - 16) * np.float32(255 / 219)
        blue = (u[part].astype(np.float32) - 128) * np.float32(255 / 224)
        red = (v[part].astype(np.float32) - 128) * np.float32(255 / 224)
        # Y = 0.299 R + 0.587 G + 0.114 B; U and V are scaled differences of B and R to it.
        green = light - (0.114 * 1.772 * blue + 0.299 * 1.402 * red) / 0.587
        values = np.stack([light + 1.402 * red, green, light + 1.772 * blue], axis=2)
        colours[part] = np.clip(np.rint(values), 0, 255)
    return colours
