"""Numbers and class ids as colours."""

from collections.abc import Sequence

import numpy as np
from matplotlib import colormaps
from numpy.typing import NDArray

_GREY = (110, 110, 110)
_GOLDEN = 0.6180339887498949
_ROAD, _BUILDING, _PERSON = (160, 70, 160), (200, 170, 130), (230, 30, 60)
_EXPECTED = {
    "road": _ROAD,
    "driveable surface": _ROAD,
    "sidewalk": (245, 60, 235),
    "manmade": _BUILDING,
    "building": _BUILDING,
    "vegetation": (60, 160, 40),
    "terrain": (160, 230, 110),
    "car": (40, 80, 255),
    "truck": (20, 30, 130),
    "bus": (0, 130, 170),
    "pedestrian": _PERSON,
    "person": _PERSON,
    "traffic sign": (240, 230, 0),
    "traffic cone": (255, 140, 0),
}
"""What people know these classes by in images of streets."""


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


def number_colors(numbers: NDArray[np.integer]) -> NDArray[np.uint8]:
    """(P, 3) colours of (P,) numbers of objects, neighbouring ones far apart; grey for 0."""
    own = scale_colors(numbers * _GOLDEN % 1.0, 0.0, 1.0)
    return np.where(numbers[:, None] > 0, own, np.array(_GREY, np.uint8))


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


def label_colors(class_names: Sequence[str]) -> NDArray[np.uint8]:
    """(256, 3) colour of every training id: as people expect them, well apart, grey for the rest.

    Names that every street data set has keep one colour throughout (vegetation is green, cars are
    blue). Each other class gets the vivid colour that is farthest from all that are taken.
    """
    levels = np.linspace(0, 255, 6)
    candidates = np.stack(np.meshgrid(levels, levels, levels, indexing="ij"), axis=-1).reshape(
        -1, 3
    )
    brightness = candidates @ (0.3, 0.6, 0.1)
    vivid = np.ptp(candidates, axis=1) >= 102
    candidates = candidates[vivid & (brightness > 40) & (brightness < 230)]
    colors = np.tile(np.array(_GREY, dtype=np.uint8), (256, 1))
    distance = np.linalg.norm(candidates - _GREY, axis=1)
    for index, color in _expected(class_names).items():
        colors[index] = color
        distance = np.minimum(distance, np.linalg.norm(candidates - colors[index], axis=1))
    for index in sorted(set(range(len(class_names))) - _expected(class_names).keys()):
        colors[index] = candidates[distance.argmax()]
        distance = np.minimum(distance, np.linalg.norm(candidates - colors[index], axis=1))
    return colors


def _expected(class_names: Sequence[str]) -> dict[int, tuple[int, int, int]]:
    """Colours of the classes whose names are known, by training id."""
    plain = [name.replace("_", " ").replace("-", " ") for name in class_names]
    return {i: _EXPECTED[name] for i, name in enumerate(plain) if name in _EXPECTED}
