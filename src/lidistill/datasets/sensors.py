"""The lidars that frames come from, and how their intensity is standardised."""

from dataclasses import dataclass
from typing import Literal

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


SENSORS = {
    sensor.name: sensor
    for sensor in (
        Sensor(name="nuscenes", intensity_mean=18.742355, intensity_std=22.04632),
        Sensor(name="semantic_kitti", intensity_mean=0.28613698, intensity_std=0.14090556),
        Sensor(
            name="pandar64",
            intensity_mean=18.23640649,
            intensity_std=25.86983417,
            published_voxel_frame="world",
        ),
        Sensor(
            name="pandargt",
            intensity_mean=23.06113565,
            intensity_std=16.76273235,
            published_voxel_frame="world",
        ),
    )
}
"""Statistics over each training set, as the authors of ScaLR (CVPR 2024) computed them."""


def sensor_of(frame: Frame) -> Sensor:
    """The lidar that a frame comes from, with the statistics to standardise its intensity.

    Raises:
        UnknownNameError: If it is none of ``SENSORS`` and the frame carries no statistics.
    """
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
