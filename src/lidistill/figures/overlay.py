"""Points drawn on a camera image, and the legend beside it.

Shape letters: P points, H x W image size.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

_LINE = 18
_TEXT = 13


def draw_points(
    image: NDArray[np.uint8],
    uv: NDArray[np.floating],
    colors: NDArray[np.uint8],
    *,
    radius: float = 1.0,
    depth: NDArray[np.floating] | None = None,
) -> NDArray[np.uint8]:
    """Draw discs on a copy of an image; near points cover far ones.

    Args:
        image: (H, W, 3).
        uv: (P, 2) column and row; the pixel is the whole part. Discs are cut at the border.
        colors: (P, 3).
        radius: Radius of the discs, pixels; 0 is one pixel.
        depth: (P,) metres, or None to draw in the given order.

    Raises:
        ValueError: If there are not as many colours or depths as points.
    """
    if len(colors) != len(uv) or (depth is not None and len(depth) != len(uv)):
        msg = f"{len(uv)} points need as many colours and depths; found {len(colors)} colours"
        raise ValueError(msg)
    order = np.arange(len(uv)) if depth is None else np.argsort(-depth, kind="stable")
    reach = int(radius)
    offset = np.mgrid[-reach : reach + 1, -reach : reach + 1].reshape(2, -1).T
    offset = offset[(offset**2).sum(1) <= radius**2]
    # One assignment for all: where a pixel occurs again, the later (nearer) point stays.
    pixel = (np.floor(uv[order]).astype(np.int64)[:, None] + offset[None]).reshape(-1, 2)
    color = np.repeat(colors[order], len(offset), axis=0)
    height, width = image.shape[:2]
    inside = ((pixel >= 0) & (pixel < (width, height))).all(1)
    drawn = image.copy()
    drawn[pixel[inside, 1], pixel[inside, 0]] = color[inside]
    return drawn


def legend(
    entries: Sequence[tuple[str, NDArray[np.uint8]]], *, height: int, title: str = ""
) -> NDArray[np.uint8]:
    """(height, width, 3) white panel with a coloured box and a name for each entry.

    Entries that do not fit below each other go into further columns.

    Args:
        entries: Name and (3,) colour.
        height: Of the panel, pixels.
        title: Line above the entries.
    """
    font = ImageFont.load_default(_TEXT)
    top = _LINE + 6 if title else 6
    rows = max(1, (height - top) // _LINE)
    widest = max([font.getlength(name) for name, _ in entries], default=0.0)
    column = int(widest) + _LINE + 18
    columns = max(1, -(-len(entries) // rows))
    width = max(column * columns, int(font.getlength(title)) + 12)
    panel = Image.new("RGB", (width, height), "white")
    pen = ImageDraw.Draw(panel)
    pen.text((6, 4), title, fill="black", font=font)
    for index, (name, color) in enumerate(entries):
        x, y = 6 + column * (index // rows), top + _LINE * (index % rows)
        fill = (int(color[0]), int(color[1]), int(color[2]))
        pen.rectangle((x, y, x + _TEXT, y + _TEXT), fill=fill, outline="black")
        pen.text((x + _LINE + 2, y - 1), name, fill="black", font=font)
    return np.array(panel)


def beside(*images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Images in a row, lower ones filled up with white."""
    height = max(image.shape[0] for image in images)
    padded = [
        np.pad(p, ((0, height - p.shape[0]), (0, 0), (0, 0)), constant_values=255) for p in images
    ]
    return np.concatenate(padded, axis=1)
