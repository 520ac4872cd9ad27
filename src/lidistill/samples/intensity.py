"""A scan's intensity as a network is given it: standardised, or the mean where there is none.

Shape letters: M points of a sample.
"""

import logging
from typing import Final

import numpy as np
from numpy.typing import NDArray
from torch.utils.data import get_worker_info

from lidistill.datasets.sensors import sensor_of
from lidistill.records import Frame

logger = logging.getLogger(__name__)

_said: Final[set[str]] = set()  # sensors without intensity that this process has spoken of


def statistics_of(frame: Frame) -> tuple[float, float] | None:
    """Mean and deviation of a frame's sensor; None, which is said once, where it has no intensity.

    Raises:
        UnknownNameError: If it has intensity whose statistics are not known.
    """
    if frame.intensity is None:
        _say_none(frame)
        return None
    sensor = sensor_of(frame)
    return sensor.intensity_mean, sensor.intensity_std


def standardised(frame: Frame, source: NDArray[np.int64]) -> NDArray[np.floating]:
    """(M,) intensity of some points of a frame, as input; 0, the mean, where the lidar has none.

    Raises:
        UnknownNameError: See ``statistics_of``.
    """
    statistics = statistics_of(frame)
    if frame.intensity is None or statistics is None:
        return np.zeros(len(source), dtype=np.float32)
    mean, deviation = statistics
    return (frame.intensity[source] - mean) / deviation


def _say_none(frame: Frame) -> None:
    worker = get_worker_info()
    if frame.sensor in _said or (worker is not None and worker.id > 0):
        return
    _said.add(frame.sensor)
    logger.info(
        "%s has no intensity: this network's input for it is 0, the mean (said once). One that "
        "never asks for it is made with backbone.channels=[x, y, z, radius].",
        frame.sensor,
    )
