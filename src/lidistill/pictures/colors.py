"""Numbers and class ids as colours."""

import colorsys

import numpy as np
from matplotlib import colormaps
from numpy.typing import NDArray

_GREY = (110, 110, 110)


def scale_colors(
    values: NDArray[np.floating], low: float, high: float, *, name: str = "turbo"
) -> NDArray[np.uint8]:
    """(P, 3) colours of numbers; those outside the bounds get the colour of the bound.

    Args:
        values: (P,) numbers; not-a-numbers become black.
        low: Number of the first colour.
        high: Number of the last colour, larger than ``low``.
        name: Colour map of matplotlib.

    Raises:
        ValueError: If ``high`` is not larger than ``low``.
    """
    if not high > low:
        msg = f"colours need high > low; found {low} to {high}"
        raise ValueError(msg)
    position = np.clip((values.astype(np.float64) - low) / (high - low), 0, 1)
    colors = colormaps[name](np.nan_to_num(position), bytes=True)[:, :3]
    return np.where(np.isnan(position)[:, None], 0, colors).astype(np.uint8)


def depth_colors(
    depth: NDArray[np.floating], *, near: float = 2.0, far: float = 80.0
) -> NDArray[np.uint8]:
    """(P, 3) colours of distances, near ones red, far ones blue, equal steps for equal ratios.

    Args:
        depth: (P,) metres.
        near: Distance of the first colour, metres.
        far: Distance of the last colour, metres.
    """
    closeness = -np.log(np.maximum(depth.astype(np.float64), 1e-6))
    return scale_colors(closeness, -np.log(far), -np.log(near))


def label_colors(num_classes: int) -> NDArray[np.uint8]:
    """(256, 3) colour of every training id: well apart for the classes, grey for the rest.

    Neighbouring ids are far apart on the colour circle and differ in lightness.
    """
    colors = np.full((256, 3), _GREY, dtype=np.uint8)
    golden = (5**0.5 - 1) / 2
    for index in range(num_classes):
        hue = (0.58 + index * golden) % 1
        lightness, saturation = ((0.55, 0.95), (0.72, 0.75), (0.40, 0.90))[index % 3]
        rgb = colorsys.hls_to_rgb(hue, lightness, saturation)
        colors[index] = np.round(np.array(rgb) * 255)
    return colors
