"""Pictures from disk, and their resizing.

Shape letters: V pictures, H x W their size, h x w the size they are resized to.
"""

import contextlib
import functools
import io
import statistics
import struct
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO, Final

import numpy as np
import simplejpeg
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from lidistill.data import png
from lidistill.errors import FileFormatError, LidistillError, first_line
from lidistill.reading.files import open_file, read_file

_UNREADABLE = (OSError, ValueError, SyntaxError, EOFError, struct.error)
_FORMATS: Final = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "PPM")
"""What Pillow may decode; others it would hand to programs of their own."""
_MAX_PIXELS: Final = 1 << 25
_NUM_SIZED: Final = 5  # pictures whose headers say what size a camera has
_JPEG_START: Final = b"\xff\xd8"
_JPEG_SCAN: Final = b"\xff\xda"
_MAX_SCANS: Final = 64  # passes over a progressive JPEG; programs write about ten


def read_picture(path: Path, size_hw: tuple[int, int] | None = None) -> NDArray[np.uint8]:
    """(H, W, 3) RGB picture: JPEG, PNG, WebP, BMP, TIFF or PPM, whatever its name ends in.

    Args:
        path: The picture.
        size_hw: Height and width that its calibration speaks of; None takes any.

    Raises:
        DatasetNotFoundError: If there is no such file.
        FileFormatError: If it does not decode to the end, or has another size.
    """
    content = read_file(path)
    try:
        picture = _decode(content)
    except _UNREADABLE as error:
        raise _undecodable(path, error) from error
    if size_hw is not None and picture.shape[:2] != tuple(size_hw):
        msg = (
            f"picture {path} has {picture.shape[1]} x {picture.shape[0]} pixels, expected "
            f"{size_hw[1]} x {size_hw[0]} as its calibration says; take the picture as recorded."
        )
        raise FileFormatError(msg)
    return picture


def _decode(content: bytes) -> NDArray[np.uint8]:
    if content.startswith(_JPEG_START):
        height, width = simplejpeg.decode_jpeg_header(content)[:2]
        _check_pixels(height, width)
        if content.count(_JPEG_SCAN) > _MAX_SCANS:
            msg = f"more than {_MAX_SCANS} passes over the picture"
            raise ValueError(msg)
        return simplejpeg.decode_jpeg(content, colorspace="RGB")
    if content.startswith(png.START) and (rgb := png.decode_rgb(content, _MAX_PIXELS)) is not None:
        return rgb
    with _open(io.BytesIO(content)) as picture:
        if picture.format == "PNG":
            picture.verify()  # the checksums, which decoding alone does not look at
    with _open(io.BytesIO(content)) as picture:
        return np.array(picture.convert("RGB"))


def _open(file: BinaryIO) -> Image.Image:
    with warnings.catch_warnings():
        # Pillow warns of large pictures; they are refused here.
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        try:
            picture = Image.open(file, formats=_FORMATS)
        except Image.DecompressionBombError as error:
            raise ValueError(first_line(error)) from error
    _check_pixels(picture.height, picture.width)
    return picture


def _check_pixels(height: int, width: int) -> None:
    if height * width > _MAX_PIXELS:
        msg = f"{width} x {height} pixels, expected at most {_MAX_PIXELS} in all"
        raise ValueError(msg)


def picture_size(path: Path) -> tuple[int, int]:
    """Height and width of a picture, from its header alone.

    Raises:
        DatasetNotFoundError: If there is no such file.
        FileFormatError: If its header does not decode.
    """
    try:
        with open_file(path) as file, _open(file) as picture:
            return picture.height, picture.width
    except _UNREADABLE as error:
        raise _undecodable(path, error) from error


def size_of_view(path: Path, camera: tuple[Path, ...]) -> tuple[int, int]:
    """Height and width of a picture, which are those of most pictures of its camera.

    Args:
        path: The picture.
        camera: ``a_few`` of the pictures that share its calibration; looked at once.

    Raises:
        DatasetNotFoundError: If there is no such file.
        FileFormatError: If its header does not decode, or it has another size than the others.
    """
    size_hw, usual = picture_size(path), _usual_size(camera)
    if usual not in {None, size_hw}:
        msg = (
            f"picture {path} has {size_hw[1]} x {size_hw[0]} pixels, others of its camera in "
            f"{path.parent} do not, although they share a calibration; unpack the folder again."
        )
        raise FileFormatError(msg)
    return size_hw


def a_few(paths: Sequence[Path]) -> tuple[Path, ...]:
    """At most five of some pictures, evenly spread."""
    return tuple(paths[:: max(1, -(-len(paths) // _NUM_SIZED))])


@functools.lru_cache(maxsize=1024)
def _usual_size(camera: tuple[Path, ...]) -> tuple[int, int] | None:
    sizes = []
    for path in camera:
        # A picture that cannot be read is reported when its own frame is.
        with contextlib.suppress(LidistillError):
            sizes.append(picture_size(path))
    return statistics.mode(sizes) if sizes else None


def _undecodable(path: Path, error: BaseException) -> FileFormatError:
    reason = " ".join(str(error).split()) or type(error).__name__
    msg = f"picture {path} does not decode ({reason}); copy or download it again."
    return FileFormatError(msg)


def resize(images: Tensor, size_hw: tuple[int, int], antialias: bool) -> Tensor:  # noqa: FBT001
    """Resize uint8 pictures bilinearly; the aspect ratio is not kept.

    Each value is within one grey level of ``resize_float`` rounded, at a fifth of its time.

    Args:
        images: (3, H, W) or (V, 3, H, W) uint8.
        size_hw: Height and width of the result.
        antialias: Average over all pixels that fall into a new one (ScaLR+), or read between the
            four nearest (ScaLR).

    Returns:
        uint8 pictures of the new size, contiguous, with as many dimensions.

    References:
        ScaLR (CVPR 2024), section 4: 224 x 448 without antialias.
    """
    if images.dtype != torch.uint8:
        msg = f"pictures have dtype {images.dtype}, expected uint8"
        raise ValueError(msg)
    return _interpolate(images, size_hw, antialias=antialias)


def resize_float(images: Tensor, size_hw: tuple[int, int], antialias: bool) -> Tensor:  # noqa: FBT001
    """Resize pictures bilinearly in float32, exactly as the authors of ScaLR do.

    Args:
        images: (3, H, W) or (V, 3, H, W) uint8.
        size_hw: Height and width of the result.
        antialias: See ``resize``.

    Returns:
        float32 pictures in 0 to 1.
    """
    return _interpolate(images.to(torch.float32) / 255, size_hw, antialias=antialias)


def _interpolate(images: Tensor, size_hw: tuple[int, int], *, antialias: bool) -> Tensor:
    batch = images if images.ndim == 4 else images[None]
    # PyTorch has its fast kernel for interleaved colours, which is how files hold them.
    batch = batch.contiguous(memory_format=torch.channels_last)
    resized = F.interpolate(batch, size=size_hw, mode="bilinear", antialias=antialias).contiguous()
    return resized if images.ndim == 4 else resized[0]


def resize_all(
    pictures: Sequence[NDArray[np.uint8]], size_hw: tuple[int, int], *, antialias: bool
) -> Tensor:
    """(V, 3, H, W) uint8 of pictures of any sizes; see ``resize``."""
    channels_first = [torch.from_numpy(picture).permute(2, 0, 1) for picture in pictures]
    return torch.stack([resize(picture, size_hw, antialias) for picture in channels_first])
