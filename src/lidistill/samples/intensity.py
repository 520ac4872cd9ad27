"""A scan's intensity as a network is given it, or the mean where there is none.

Shape letters: N points of a scan, M points of a sample.
"""

import logging
import math
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray
from torch.utils.data import get_worker_info

from lidistill.datasets.sensors import sensor_of
from lidistill.records import Frame

logger = logging.getLogger(__name__)

RANKED: Final = 4096
"""Points that a rank is counted among, up to twice as many."""
_SIDES: Final[tuple[Literal["left", "right"], ...]] = ("left", "right")
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


def ranked(frame: Frame) -> NDArray[np.float32]:
    """(N,) which share of the scan's points is darker, as input; 0 where the lidar has none.

    Half of those that are equal count as darker, and the share becomes a number of mean 0 and,
    where no two are equal, deviation 1. Whatever a lidar does to its intensities, as long as
    brighter stays brighter, changes nothing, so no statistics are needed. At most some thousands
    of the scan's finite points, evenly spread in its order, are compared with.
    """
    if frame.intensity is None:
        _say_none(frame)
        return np.zeros(len(frame.points), dtype=np.float32)
    known = frame.intensity[np.isfinite(frame.intensity)]
    if not len(known):
        return np.zeros(len(frame.points), dtype=np.float32)
    ordered = np.sort(known[:: max(1, len(known) // RANKED)])
    below, up_to = (np.searchsorted(ordered, frame.intensity, side=side) for side in _SIDES)
    share = (below + up_to) / (2 * len(ordered))
    return np.asarray((share - 0.5) * math.sqrt(12), dtype=np.float32)


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
