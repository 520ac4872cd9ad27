"""Grey images of more than 8 bits or of floats: what is taken as white in them.

Files seldom say how many of their 16 bits a camera has filled. All images of a folder are scaled
alike, by what a few of them hold; an image that does not fit the others is refused.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

_DEPTHS: Final = (8, 10, 12, 14, 16)
_FLOAT_WHITES: Final = (1.0, 255.0)
_MUCH: Final = 1e-3  # share of an image; darkness ends at a single pixel
_REMEDY: Final = "convert the folder to 8 bits, all images with the same factor"


@dataclass(frozen=True, slots=True, kw_only=True)
class HighBitDepthImage:
    """A grey image before it is brought to 8 bits."""

    values: NDArray[Any]
    """(H, W) whole numbers or floats; 0 is black."""
    bits: int | None = None
    """How many the file says are filled."""

    @property
    def is_float(self) -> bool:
        """Whether its values are floats."""
        return self.values.dtype.kind == "f"

    @property
    def top(self) -> float:
        """Its largest value; 0 if it has none.

        Raises:
            ValueError: If a value is negative or not finite.
        """
        values = self.values
        if values.size and not (values.min() >= 0 and np.isfinite(values.max())):
            msg = f"grey values below 0 or not finite; {_REMEDY}"
            raise ValueError(msg)
        return float(values.max()) if values.size else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """What the images of a folder have as white."""

    white: float
    is_float: bool

    @property
    def text(self) -> str:
        """What happens to the images."""
        kind = "grey floats" if self.is_float else "grey images of more than 8 bits"
        bits = "" if self.is_float else f" ({round(self.white).bit_length()} bits are filled)"
        return f"{kind}{bits} are taken as 8 bits: value x 255 / {self.white:g}"


def scale_of(images: Sequence[HighBitDepthImage]) -> Scale:
    """The least white that holds all values of some images of a folder.

    Whole numbers fill 8, 10, 12, 14 or 16 bits, or as many as the files say; floats go to 1 or 255.

    Raises:
        ValueError: If values are negative, not finite, or larger.
    """
    top, is_float = max(image.top for image in images), images[0].is_float
    said = {image.bits for image in images if image.bits is not None}
    depths = sorted({*said, 16} if said else _DEPTHS)
    whites = list(_FLOAT_WHITES) if is_float else [float(2**bits - 1) for bits in depths]
    white = next((white for white in whites if top <= white), None)
    if white is None:
        msg = f"grey values up to {top:g}, expected at most {whites[-1]:g}; {_REMEDY}"
        raise ValueError(msg)
    return Scale(white=white, is_float=is_float)


def to_8_bits(image: HighBitDepthImage, scale: Scale) -> NDArray[np.uint8]:
    """(H, W, 3) image, black to white.

    Raises:
        ValueError: If it does not fit the other images of its folder.
    """
    top = image.top
    if top > scale.white or _ends_early(image, scale):
        msg = (
            f"its grey values end at {top:g}, those of others in its folder at {scale.white:g}: it "
            f"is not clear what is white; {_REMEDY}"
        )
        raise ValueError(msg)
    factor = 255 / scale.white
    grey = np.rint(image.values * np.float32(factor)).astype(np.uint8)
    return np.repeat(grey[..., None], 3, axis=2)


def _ends_early(image: HighBitDepthImage, scale: Scale) -> bool:
    """Whether much of an image is as bright as can be in fewer bits than its folder has."""
    whites = {1.0} if scale.is_float else {float(2**bits - 1) for bits in _DEPTHS}
    if image.top == scale.white or image.top not in whites:
        return False
    return float(np.mean(image.values == image.top)) > _MUCH
