"""The input channels of a network, by name: what is measured, and what follows from the points.

Shape letters: N points of a scan, M of them, F channels.
"""

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from lidistill.records import Frame
from lidistill.samples.ground import height_over_ground
from lidistill.samples.intensity import ranked, standardised
from lidistill.samples.preparer import Channel

SPATIAL: Final = {"x": 0, "y": 1, "z": 2, "radius": 3}
"""Column of each channel in those that augmentation gives."""


def wants_intensity(channels: Sequence[Channel]) -> bool:
    """Whether a scan's intensity plays a part at all."""
    return "intensity" in channels or "intensity_rank" in channels


def wants_statistics(channels: Sequence[Channel]) -> bool:
    """Whether the mean and the deviation of a sensor's intensity are needed."""
    return "intensity" in channels


def of_whole_scan(frame: Frame, channels: Sequence[Channel]) -> dict[Channel, NDArray[np.float32]]:
    """(N,) of each channel that a point has by the scan that it is from, before augmentation."""
    found: dict[Channel, NDArray[np.float32]] = {}
    if "intensity_rank" in channels:
        found["intensity_rank"] = ranked(frame)
    if "height" in channels:
        found["height"] = height_over_ground(frame.points)
    return found


def measured(
    frame: Frame, source: NDArray[np.int64], channels: Sequence[Channel], factor: float = 1.0
) -> dict[Channel, NDArray[np.floating]]:
    """(M,) of each channel that does not follow from a point's own place.

    Args:
        frame: The scan.
        source: (M,) indices of the points.
        channels: All that are asked for.
        factor: By which augmentation scales lengths.

    Raises:
        UnknownNameError: If intensity is asked for, and its statistics are not known.
    """
    found: dict[Channel, NDArray[np.floating]] = {
        name: values.take(source) for name, values in of_whole_scan(frame, channels).items()
    }
    if "height" in found:
        found["height"] = found["height"] * np.float32(factor)
    if wants_statistics(channels):
        found["intensity"] = standardised(frame, source)
    return found


def stack_channels(
    channels: Sequence[Channel],
    values: Mapping[Channel, NDArray[np.floating]],
    spatial: NDArray[np.floating],
) -> NDArray[np.float32]:
    """(M, F) float32 channels in the order in which they are asked for.

    Args:
        channels: Names.
        values: (M,) of each channel that is not spatial.
        spatial: (M, 4) x, y, z and radius, metres.
    """
    stacked = np.empty((len(spatial), len(channels)), dtype=np.float32)
    for column, name in enumerate(channels):
        place = SPATIAL.get(name)
        stacked[:, column] = values[name] if place is None else spatial[:, place]
    return stacked
