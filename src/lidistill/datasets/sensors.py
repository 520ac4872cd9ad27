"""The lidars that frames come from, and how their intensity is standardised."""

import math
from dataclasses import dataclass
from typing import Final, Literal

from lidistill.errors import UnknownNameError
from lidistill.records import Frame


@dataclass(frozen=True, slots=True, kw_only=True)
class Sensor:
    """Intensity statistics of a lidar, in its own scale.

    The input feature is ``(intensity - intensity_mean) / intensity_std``.
    """

    name: str
    intensity_mean: float
    intensity_std: float
    published_voxel_frame: Literal["lidar", "world"] = "lidar"
    """Coordinates in which the authors of ScaLR count voxels when they distil."""


SENSORS: Final[dict[str, Sensor]] = {}
"""Shipped statistics by name; filled from the data sets of ``DATASETS``, which know their own."""


def without_intensity(name: str) -> Sensor:
    """A lidar whose intensity plays no part: whatever it is, the input channel is 0."""
    return Sensor(name=name, intensity_mean=0.0, intensity_std=math.inf)


def sensor_of(frame: Frame) -> Sensor:
    """The lidar that a frame comes from, with the statistics to standardise its intensity.

    Raises:
        UnknownNameError: If it is none of ``SENSORS`` and the frame carries no statistics.
    """
    if frame.intensity is None:
        return without_intensity(frame.sensor)
    if frame.intensity_statistics is not None:
        mean, std = frame.intensity_statistics
        return Sensor(name=frame.sensor, intensity_mean=mean, intensity_std=std)
    if frame.sensor in SENSORS:
        return SENSORS[frame.sensor]
    msg = (
        f"frame {frame.frame_id}: the sensor {frame.sensor!r} has no intensity statistics; run "
        "`lidistill data stats ROOT --output ROOT/statistics.yaml` once, or name one whose "
        f"statistics are shipped ({', '.join(SENSORS)})."
    )
    raise UnknownNameError(msg)
