"""Images from disk, and their resizing.

Shape letters: V images, H x W their size, h x w the size they are resized to.
"""

import contextlib
import functools
import logging
import mmap
import statistics
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, Final

import numpy as np
import simplejpeg
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from lidistill.errors import FileFormatError, LidistillError, first_line
from lidistill.images import png
from lidistill.images.decoding import (
    JPEG_START,
    UNREADABLE,
    UnfitImageError,
    decode,
    open_by_pillow,
)
from lidistill.images.headers import check_header, check_size
from lidistill.images.high_bit_depth import HighBitDepthImage, Scale, scale_of, to_8_bits
from lidistill.images.orientation import is_transposed, orientation
from lidistill.reading.files import open_file, read_file

logger = logging.getLogger(__name__)

_HEADER_BYTES: Final = 1 << 16
_NUM_LOOKED_AT: Final = 25  # images among which those of more than 8 bits are looked for
_TIFF_STARTS: Final = (b"II", b"MM")
_NUM_SIZED: Final = 5  # images whose headers say what size a camera has


def read_image(path: Path, size_hw: tuple[int, int] | None = None) -> NDArray[np.uint8]:
    """(H, W, 3) RGB image: JPEG, PNG, WebP, BMP, TIFF or PPM, whatever its name ends in.

    Args:
        path: The image.
        size_hw: Height and width that its calibration speaks of; None takes any.

    Raises:
        DatasetNotFoundError: If there is no such file.
        FileFormatError: If it does not decode to the end, or has another size.
    """
    image = _read(path)
    if isinstance(image, HighBitDepthImage):
        with _naming(path):
            scale = _scale_of_folder(path.parent, path.suffix, is_float=image.is_float)
            image = to_8_bits(image, scale)
    if size_hw is not None and image.shape[:2] != tuple(size_hw):
        msg = (
            f"image {path} has {image.shape[1]} x {image.shape[0]} pixels, expected "
            f"{size_hw[1]} x {size_hw[0]} as its calibration says; "
            f"{_turned(path) or 'take the image as recorded'}."
        )
        raise FileFormatError(msg)
    return image


def decode_image(content: bytes) -> NDArray[np.uint8]:
    """(H, W, 3) RGB image from the bytes of a file of 8 bits a channel.

    Raises:
        FileFormatError: If they do not decode to the end, or hold more bits.
    """
    try:
        image = decode(content)
    except UNREADABLE as error:
        msg = f"the image does not decode ({first_line(error)}); give a JPEG or PNG."
        raise FileFormatError(msg) from error
    if isinstance(image, HighBitDepthImage):
        msg = "the image has more than 8 bits, so nobody knows what is white; convert it to 8 bits."
        raise FileFormatError(msg)
    return image


def conversion_of(path: Path) -> str | None:
    """What ``read_image`` does to an image that has not 8 bits, or is to be turned; else None.

    Raises:
        DatasetNotFoundError: If there is no such file.
        FileFormatError: If it, or too few of its folder, can be read.
    """
    if (turned := _turned(path)) is not None:
        return turned
    with open_file(path) as file:
        if file.read(len(JPEG_START)) == JPEG_START:
            return None
    image = _read(path)
    if not isinstance(image, HighBitDepthImage):
        return None
    with _naming(path):
        return _scale_of_folder(path.parent, path.suffix, is_float=image.is_float).text


def _turned(path: Path) -> str | None:
    """What an image says about turning it, which nobody does here."""
    found = orientation(read_file(path))
    if found == 1:
        return None
    return (
        f"pixels are taken as stored, although EXIF says to turn them (orientation {found}): "
        "size_hw, K and T_cam_lidar must be those of the stored image"
    )


@contextlib.contextmanager
def _naming(path: Path) -> Iterator[None]:
    try:
        yield
    except UNREADABLE as error:
        msg = f"image {path}: {first_line(error)}."
        raise FileFormatError(msg) from error


def _read(path: Path) -> NDArray[np.uint8] | HighBitDepthImage:
    """An image as it is stored."""
    content = read_file(path)
    try:
        return decode(content)
    except UNREADABLE as error:
        raise _undecodable(path, error) from error


@functools.lru_cache(maxsize=1024)
def _scale_of_folder(folder: Path, suffix: str, *, is_float: bool) -> Scale:
    """What is white in the grey images of a folder that have more than 8 bits; said once.

    Raises:
        ValueError: If they do not fit each other.
    """
    names = sorted(path.name for path in folder.iterdir() if path.suffix == suffix)
    deep: list[HighBitDepthImage] = []
    for path in a_few([folder / name for name in names], _NUM_LOOKED_AT):
        # An image that cannot be read is reported when its own frame is.
        with contextlib.suppress(LidistillError):
            image = _read(path)
            if isinstance(image, HighBitDepthImage) and image.is_float == is_float:
                deep.append(image)
        if len(deep) == _NUM_SIZED:
            break
    if not deep:
        msg = "its folder holds further images of another kind; put them into another folder"
        raise ValueError(msg)
    scale = scale_of(deep)
    logger.warning("%s: %s.", folder, scale.text)
    return scale


def image_size(path: Path) -> tuple[int, int]:
    """Height and width of an image, from its header alone.

    Raises:
        DatasetNotFoundError: If there is no such file.
        FileFormatError: If its header does not decode.
    """
    try:
        with open_file(path) as file:
            return _size_hw(file)
    except UNREADABLE as error:
        raise _undecodable(path, error) from error


def _size_hw(file: BinaryIO) -> tuple[int, int]:
    start = file.read(_HEADER_BYTES)
    if start.startswith(png.START):
        size = png.size_hw(start)
    elif start.startswith(JPEG_START):
        try:
            height, width = simplejpeg.decode_jpeg_header(start)[:2]
        except ValueError:  # a thumbnail or a colour profile is in front
            height, width = simplejpeg.decode_jpeg_header(start + file.read())[:2]
        size = height, width
    else:
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            check_header(content)
            file.seek(0)
            with open_by_pillow(file) as image:
                size = image.height, image.width
            if content[:2] in _TIFF_STARTS and is_transposed(content):
                size = size[::-1]  # Pillow has turned it
    check_size(*size)
    return size


def size_of_view(path: Path, camera: tuple[Path, ...]) -> tuple[int, int]:
    """Height and width of an image, which are those of most images of its camera.

    Args:
        path: The image.
        camera: ``a_few`` of the images that share its calibration; looked at once.

    Raises:
        DatasetNotFoundError: If there is no such file.
        FileFormatError: If its header does not decode, or it has another size than the others.
    """
    size_hw, usual = image_size(path), _usual_size(camera)
    if usual not in {None, size_hw}:
        msg = (
            f"image {path} has {size_hw[1]} x {size_hw[0]} pixels, others of its camera in "
            f"{path.parent} do not, although they share a calibration; unpack the folder again."
        )
        raise FileFormatError(msg)
    return size_hw


def a_few(paths: Sequence[Path], num: int = _NUM_SIZED) -> tuple[Path, ...]:
    """At most five, or so many, of some images, evenly spread."""
    return tuple(paths[:: max(1, -(-len(paths) // num))])


@functools.lru_cache(maxsize=1024)
def _usual_size(camera: tuple[Path, ...]) -> tuple[int, int] | None:
    sizes = []
    for path in camera:
        # An image that cannot be read is reported when its own frame is.
        with contextlib.suppress(LidistillError):
            sizes.append(image_size(path))
    return statistics.mode(sizes) if sizes else None


def _undecodable(path: Path, error: BaseException) -> FileFormatError:
    reason = " ".join(str(error).split()) or type(error).__name__
    remedy = error.remedy if isinstance(error, UnfitImageError) else "copy or download it again"
    msg = f"image {path} does not decode ({reason}); {remedy}."
    return FileFormatError(msg)


def resize(images: Tensor, size_hw: tuple[int, int], antialias: bool) -> Tensor:  # noqa: FBT001
    """Resize uint8 images bilinearly; the aspect ratio is not kept.

    Each value is within one grey level of ``resize_float`` rounded, at a fifth of its time.

    Args:
        images: (3, H, W) or (V, 3, H, W) uint8.
        size_hw: Height and width of the result.
        antialias: Average over all pixels that fall into a new one (ScaLR+), or read between the
            four nearest (ScaLR).

    Returns:
        uint8 images of the new size, contiguous, with as many dimensions.

    References:
        ScaLR (CVPR 2024), section 4: 224 x 448 without antialias.
    """
    if images.dtype != torch.uint8:
        msg = f"images have dtype {images.dtype}, expected uint8"
        raise ValueError(msg)
    return _interpolate(images, size_hw, antialias=antialias)


def resize_float(images: Tensor, size_hw: tuple[int, int], antialias: bool) -> Tensor:  # noqa: FBT001
    """Resize images bilinearly in float32, exactly as the authors of ScaLR do.

    Args:
        images: (3, H, W) or (V, 3, H, W) uint8.
        size_hw: Height and width of the result.
        antialias: See ``resize``.

    Returns:
        float32 images in 0 to 1.
    """
    return _interpolate(images.to(torch.float32) / 255, size_hw, antialias=antialias)


def _interpolate(images: Tensor, size_hw: tuple[int, int], *, antialias: bool) -> Tensor:
    batch = images if images.ndim == 4 else images[None]
    # PyTorch has its fast kernel for interleaved colours, which is how files hold them.
    batch = batch.contiguous(memory_format=torch.channels_last)
    resized = F.interpolate(batch, size=size_hw, mode="bilinear", antialias=antialias).contiguous()
    return resized if images.ndim == 4 else resized[0]


def resize_all(
    images: Sequence[NDArray[np.uint8]], size_hw: tuple[int, int], *, antialias: bool
) -> Tensor:
    """(V, 3, H, W) uint8 of images of any sizes; see ``resize``."""
    channels_first = [torch.from_numpy(image).permute(2, 0, 1) for image in images]
    return torch.stack([resize(image, size_hw, antialias) for image in channels_first])
