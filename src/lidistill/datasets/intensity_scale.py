"""Whether the intensities of scans have the scale of those that a network was trained on."""

import logging
import math
from typing import Final

import numpy as np
from numpy.typing import NDArray

from lidistill.datasets.sensors import Sensor

logger = logging.getLogger(__name__)

_FACTOR: Final = 8.0
"""Between two scans of a lidar, mean and deviation differ by less than half of that; between the
scales 0 to 1, 0 to 255 and 16 bits by far more."""
_FEW: Final = 100  # points, below which a mean says nothing


class IntensityWatch:
    """Compares scans with the statistics of training, and warns once.

    Args:
        sensor: Whose statistics standardise the intensities.
    """

    def __init__(self, sensor: Sensor) -> None:
        self._sensor = sensor
        self._warned = not math.isfinite(sensor.intensity_std)  # where intensity plays no part

    def look_at(self, intensity: NDArray[np.floating]) -> None:
        """Warn where the (N,) intensities of a scan are many times larger or smaller."""
        if self._warned or len(intensity) < _FEW:
            return
        mean, std = float(np.mean(intensity, dtype=np.float64)), float(np.std(intensity))
        expected = self._sensor.intensity_mean + self._sensor.intensity_std
        if expected / _FACTOR <= mean + std <= expected * _FACTOR:
            return
        self._warned = True
        logger.warning(
            "The intensities of a scan have the mean %.4g and the deviation %.4g, those of %s that "
            "the network was trained on %.4g and %.4g: another scale? Then features and classes "
            "are worth little. Give the statistics of these scans (--statistics FILE, which "
            "`lidistill data stats` writes), or bring the intensities to the scale of training.",
            mean, std, self._sensor.name, self._sensor.intensity_mean, self._sensor.intensity_std,
        )  # fmt: skip
