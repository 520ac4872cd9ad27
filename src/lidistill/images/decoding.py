"""Images of all formats that cameras write, decoded.

Shape letters: H x W an image.
"""

import io
import struct
import warnings
from collections.abc import Mapping
from typing import Any, BinaryIO, Final

import numpy as np
import simplejpeg
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from lidistill.errors import first_line
from lidistill.images import png
from lidistill.images.headers import MAX_PIXELS, check_header, check_size
from lidistill.images.high_bit_depth import HighBitDepthImage
from lidistill.images.orientation import as_stored

UNREADABLE: Final = (OSError, ValueError, SyntaxError, EOFError, struct.error)
"""What decoders raise."""
JPEG_START: Final = b"\xff\xd8"
_FORMATS: Final = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "PPM")
"""What Pillow may decode; others it would hand to programs of their own."""
_BITS_PER_SAMPLE: Final = 258  # tags of a TIFF
_PHOTOMETRIC: Final = 262
_DARK: Final = 16  # of 255: what 12 of 16 bits hold
_JPEG_SCAN: Final = b"\xff\xda"
_JPEG_END: Final = b"\xff\xd9"
_TAIL: Final = 4096  # bytes in which it lies, and what some programs write behind it
_STARTS: Final = (JPEG_START, png.START, b"RIFF", b"BM", b"II", b"MM", b"P")
_MAX_SCANS: Final = 64  # passes over a progressive JPEG; programs write about ten


class UnfitImageError(ValueError):
    """An image that another copy would not help.

    Args:
        reason: What is wrong with it.
        remedy: What helps.
    """

    def __init__(self, reason: str, remedy: str) -> None:
        super().__init__(reason)
        self.remedy = remedy


def decode(content: bytes) -> NDArray[np.uint8] | HighBitDepthImage:
    """(H, W, 3) RGB image, or a grey one of more than 8 bits as it is stored.

    Raises:
        ValueError: Or another of ``UNREADABLE``, if it does not decode to the end.
    """
    if content.startswith(JPEG_START):
        height, width = simplejpeg.decode_jpeg_header(content)[:2]
        check_size(height, width)
        if content.count(_JPEG_SCAN) > _MAX_SCANS:
            msg = f"more than {_MAX_SCANS} passes over the image"
            raise ValueError(msg)
        return _jpeg(content)
    check_header(content)
    if content.startswith(png.START):
        if (rgb := png.decode_rgb(content, MAX_PIXELS)) is not None:
            return rgb
        bits = png.significant_bits(content)
        content = png.essentials(content)
    else:
        bits, content = None, as_stored(content)
    with open_by_pillow(io.BytesIO(content)) as image:
        return _by_pillow(image, bits)


def _jpeg(content: bytes) -> NDArray[np.uint8]:
    """A whole JPEG; cameras that stream leave out the mark of its end."""
    if _JPEG_END not in content[-_TAIL:]:
        content += _JPEG_END  # missing image data are told all the same
    return simplejpeg.decode_jpeg(content, colorspace="RGB")


def _by_pillow(image: Image.Image, bits: int | None) -> NDArray[np.uint8] | HighBitDepthImage:
    tags = getattr(image, "tag_v2", {})
    stored = _stored_bits(image, tags)  # which Pillow forgets as soon as it has decoded
    if not image.mode.startswith(("I", "F")):
        rgb = np.array(image.convert("RGB"))
        if stored == 16 and 0 < rgb.max() < _DARK:
            msg = (
                f"its 16-bit colours end below 1/{256 // _DARK} of white, as if fewer bits were "
                "filled"
            )
            remedy = "convert the folder to 8 bits, all images with the same factor"
            raise UnfitImageError(msg, remedy)
        return rgb
    values = np.array(image)
    if image.format == "PPM" and values.dtype.kind != "f":
        bits = 16  # Pillow has stretched them to it
    elif tags and values.dtype.kind != "f":
        bits = stored if stored is not None and stored < 16 else bits
        if tags.get(_PHOTOMETRIC) == 0:
            values = (1 << (stored or 16)) - 1 - values.astype(np.int64)
    return HighBitDepthImage(values=values, bits=bits)


def _stored_bits(image: Image.Image, tags: Mapping[int, Any]) -> int | None:
    """Bits of a sample in the file; None where nobody says."""
    if image.format == "PNG":
        return 16 if any(";16" in str(tile.args) for tile in getattr(image, "tile", ())) else 8
    bits = tags.get(_BITS_PER_SAMPLE)
    return int(bits[0] if isinstance(bits, tuple) else bits) if bits else None


def _unknown(file: BinaryIO) -> ValueError:
    """What is wrong with a file that Pillow does not know."""
    file.seek(0)
    start = file.read(12)
    if not start:
        return ValueError("it is empty")
    if start.startswith(_STARTS):
        return ValueError("its header is damaged")
    msg = f"it begins with {start!r}, which is no JPEG, PNG, WebP, BMP, TIFF or PPM"
    return UnfitImageError(msg, "convert it to one of them, or copy it again if it should be one")


def open_by_pillow(file: BinaryIO) -> Image.Image:
    """An image whose header Pillow has read, of a bounded size; see ``decode``."""
    with warnings.catch_warnings():
        # Pillow warns of large images; they are refused here.
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        try:
            image = Image.open(file, formats=_FORMATS)
        except Image.DecompressionBombError as error:
            raise ValueError(first_line(error)) from error
        except UnidentifiedImageError as error:
            raise _unknown(file) from error
    check_size(image.height, image.width)
    return image
