"""Colours of a sensor behind a Bayer filter.

Shape letters: H x W image size.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

PATTERNS: Final = {
    "rggb": ((0, 0), (1, 1)),
    "bggr": ((1, 1), (0, 0)),
    "gbrg": ((1, 0), (0, 1)),
    "grbg": ((0, 1), (1, 0)),
}
"""Row and column of red and of blue in each block of 2 x 2, by ROS's name of the pattern."""


def demosaic(mosaic: NDArray[np.unsignedinteger], pattern: str) -> NDArray[np.unsignedinteger]:
    """(H, W, 3) red, green, blue of a (H, W) mosaic: means of the nearest pixels of each colour.

    Beyond the border the mosaic is mirrored, which keeps the pattern.

    Args:
        mosaic: uint8 or uint16, at least 2 x 2.
        pattern: A key of ``PATTERNS``.

    Raises:
        ValueError: If it is smaller.

    References:
        Bilinear demosaicing; the patterns are those of ``sensor_msgs/image_encodings``.
    """
    if min(mosaic.shape) < 2:
        msg = f"a mosaic of {mosaic.shape[0]} x {mosaic.shape[1]} pixels, expected 2 x 2 or more"
        raise ValueError(msg)
    wide = np.pad(mosaic, 1, mode="reflect")
    colours = np.empty((*mosaic.shape, 3), dtype=mosaic.dtype)
    red, blue = PATTERNS[pattern]
    for row in range(2):
        for column in range(2):
            site = (row, column)
            to = (slice(row, None, 2), slice(column, None, 2))
            around = _Around(wide, site, mosaic.shape)
            for channel, home in ((0, red), (2, blue)):
                colours[(*to, channel)] = around.mean(row != home[0], column != home[1])
            green = site in (red, blue)
            colours[(*to, 1)] = around.cross() if green else around.mean(False, False)
    return colours


class _Around:
    """The neighbours of every second pixel in every second row."""

    def __init__(
        self, wide: NDArray[np.unsignedinteger], site: tuple[int, int], shape: tuple[int, ...]
    ) -> None:
        self._wide, self._site, self._shape = wide, site, shape

    def _at(self, down: int, right: int) -> NDArray[np.unsignedinteger]:
        (row, column), (height, width) = self._site, self._shape
        return self._wide[
            1 + row + down : 1 + down + height : 2, 1 + column + right : 1 + right + width : 2
        ]

    def mean(self, other_row: bool, other_column: bool) -> NDArray[np.uint32]:  # noqa: FBT001
        """Mean of the pixels next in the row, in the column, in both or of the pixel itself."""
        downs = (-1, 1) if other_row else (0,)
        rights = (-1, 1) if other_column else (0,)
        return _mean([self._at(down, right) for down in downs for right in rights])

    def cross(self) -> NDArray[np.uint32]:
        """Mean of the four that share an edge."""
        return _mean([self._at(*step) for step in ((-1, 0), (1, 0), (0, -1), (0, 1))])


def _mean(parts: list[NDArray[np.unsignedinteger]]) -> NDArray[np.uint32]:
    total = parts[0].astype(np.uint32)
    for part in parts[1:]:
        total += part
    return (total + len(parts) // 2) // len(parts)
