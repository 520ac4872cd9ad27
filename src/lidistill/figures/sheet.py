"""Several images on one sheet, each under its title.

Shape letters: H x W image size.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

_BACKGROUND = (18, 20, 26)
_TEXT = (228, 230, 235)
_BAR = 30
"""Height of a title, pixels."""
_GAP = 10
"""Between two panels and around all of them, pixels."""
_SMALLEST = 8
"""Letters of a title that hardly fits, pixels."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """An image and what it shows."""

    image: NDArray[np.uint8]
    """(H, W, 3)."""
    title: str

    def __post_init__(self) -> None:
        if self.image.ndim != 3 or self.image.shape[2] != 3 or self.image.dtype != np.uint8:
            msg = f"a panel needs (H, W, 3) uint8, found {self.image.shape} {self.image.dtype}"
            raise ValueError(msg)


def sheet(rows: Sequence[Sequence[Panel]], *, title: str = "") -> NDArray[np.uint8]:
    """(H, W, 3) sheet with rows of panels, each at its own size.

    Args:
        rows: At least one row with at least one panel.
        title: Line above everything; empty for none.
    """
    top = _GAP + (_BAR + _GAP if title else 0)
    heights = [max(panel.image.shape[0] for panel in row) + _BAR for row in rows]
    widths = [sum(panel.image.shape[1] + _GAP for panel in row) for row in rows]
    size = (max(widths) + _GAP, top + sum(heights) + _GAP * len(rows))
    canvas = Image.new("RGB", size, _BACKGROUND)
    pen = ImageDraw.Draw(canvas)
    if title:
        _write(pen, (_GAP, _GAP), title, size=22, width=size[0] - 2 * _GAP)
    for row, height in zip(rows, heights, strict=True):
        left = _GAP
        for panel in row:
            _write(pen, (left, top), panel.title, size=17, width=panel.image.shape[1])
            canvas.paste(Image.fromarray(panel.image), (left, top + _BAR))
            left += panel.image.shape[1] + _GAP
        top += height + _GAP
    return np.array(canvas)


def mark_cross(
    image: NDArray[np.uint8], uv: tuple[float, float], *, arm_px: int = 14
) -> NDArray[np.uint8]:
    """Copy of an (H, W, 3) image with a cross around, not over, a column and row."""
    canvas = Image.fromarray(image)
    pen = ImageDraw.Draw(canvas)
    u, v = uv
    for color, width in (((0, 0, 0), 5), ((255, 235, 60), 2)):
        for du, dv in ((1, 0), (-1, 0), (0, 1), (0, -1)):
            near, far = arm_px * 0.3, arm_px
            pen.line(
                (u + near * du, v + near * dv, u + far * du, v + far * dv), fill=color, width=width
            )
    return np.array(canvas)


def write_png(image: NDArray[np.uint8], path: Path) -> Path:
    """Write an (H, W, 3) figure, make its folder if needed, and return its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).save(path, format="PNG", compress_level=3)
    return path


def _write(
    pen: ImageDraw.ImageDraw, place: tuple[int, int], text: str, *, size: int, width: int
) -> None:
    """Write a line in the largest letters, up to a size, that fit a width."""
    while size > _SMALLEST and pen.textlength(text, ImageFont.load_default(size=size)) > width:
        size -= 1
    font = ImageFont.load_default(size=size)
    pen.text((place[0], place[1] + _BAR // 2), text, font=font, fill=_TEXT, anchor="lm")
