"""A coloured cloud of points from above.

Shape letters: N points.
"""

import numpy as np
from numpy.typing import NDArray


def bird_eye(
    points: NDArray[np.floating],
    colors: NDArray[np.uint8],
    *,
    size_px: int,
    extent_m: float,
    background: int = 255,
) -> NDArray[np.uint8]:
    """(size_px, size_px, 3) view from above, x to the top, y to the left; higher points win.

    Args:
        points: (N, 3) metres.
        colors: (N, 3).
        size_px: Edge of the picture, pixels.
        extent_m: Distance from the middle to an edge, metres.
        background: Grey level where there is no point.

    Raises:
        ValueError: If there are not as many colours as points.
    """
    if len(colors) != len(points):
        msg = f"{len(points)} points need as many colours; found {len(colors)}"
        raise ValueError(msg)
    order = np.argsort(points[:, 2], kind="stable")
    position = (extent_m - points[order, :2]) * (size_px / (2 * extent_m))
    pixel = np.floor(position).astype(np.int64)
    inside = ((pixel >= 0) & (pixel < size_px)).all(1)
    picture = np.full((size_px, size_px, 3), background, dtype=np.uint8)
    picture[pixel[inside, 0], pixel[inside, 1]] = colors[order][inside]
    return picture
