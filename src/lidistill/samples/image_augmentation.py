"""What may happen to the images of a sample before the teacher sees them: mirrored, other colours.

Shape letters: V images, H x W their size, P pairs.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Final

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from lidistill.config import Config

_LUMA: Final = (0.299, 0.587, 0.114)  # of red, green and blue, ITU-R BT.601


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageChange:
    """One draw for all images of a sample; the default changes nothing."""

    mirrored: bool = False
    """Whether the teacher sees them with left and right exchanged; the sample itself keeps images
    and pixels as they are, and whoever asks the teacher exchanges both (``mirror_some``)."""
    brightness: float = 1.0
    contrast: float = 1.0
    saturation: float = 1.0

    def recolour(self, images: Tensor) -> Tensor:
        """(V, 3, H, W) uint8 images in other colours.

        Colours are multiplied, then moved away from the image's mean grey, then from each pixel's
        own grey, and cut off at black and white.
        """
        if self.brightness == self.contrast == self.saturation == 1.0:
            return images
        values = images.float() * self.brightness
        luma = values.new_tensor(_LUMA).view(1, 3, 1, 1)
        middle = (values * luma).sum(1, keepdim=True).mean((2, 3), keepdim=True)
        values = middle + (values - middle) * self.contrast
        grey = (values * luma).sum(1, keepdim=True)
        values = grey + (values - grey) * self.saturation
        return values.round_().clamp_(0, 255).to(torch.uint8)


NO_CHANGE: Final = ImageChange()
"""Images as they are."""


class ImageAugmentationConfig(Config):
    """How images are augmented in a distillation; the default leaves them as they are."""

    mirror_probability: Annotated[float, Field(ge=0, le=1)] = 0.0
    jitter: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Brightness, contrast and saturation each get a factor of 1 - jitter to 1 + jitter."""

    def draw(self, rng: np.random.Generator) -> ImageChange:
        """Draw the numbers of one sample."""
        mirrored, *parts = rng.uniform(size=4)
        brightness, contrast, saturation = (1 + (2 * part - 1) * self.jitter for part in parts)
        return ImageChange(
            mirrored=bool(mirrored < self.mirror_probability),
            brightness=brightness,
            contrast=contrast,
            saturation=saturation,
        )


def mirrored_pixels(uv_P2: Tensor, width: int) -> Tensor:
    """(P, 2) where pixels lie in the mirror image of an image of so many columns."""
    return torch.stack([width - 1 - uv_P2[:, 0], uv_P2[:, 1]], dim=1)


def mirror_some(
    images: Tensor, view_P: Tensor, uv_P2: Tensor, mirrored: Sequence[bool]
) -> tuple[Tensor, Tensor]:
    """Images (V, 3, H, W) and pixels (P, 2) with left and right exchanged in some of the images.

    Args:
        images: As they are.
        view_P: (P,) image of each pixel.
        uv_P2: Column and row.
        mirrored: V, which to exchange; empty: none.
    """
    if not any(mirrored):
        return images, uv_P2
    turned = torch.tensor(mirrored)
    shown = images.clone()
    shown[turned.to(images.device)] = images[turned.to(images.device)].flip(-1)
    rows = turned.to(view_P.device)[view_P][:, None]
    return shown, torch.where(rows, mirrored_pixels(uv_P2, images.shape[-1]), uv_P2)
