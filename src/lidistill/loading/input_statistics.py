"""What a checkpoint says about its inputs, and whose intensity a scan of one's own has."""

import hashlib
import math
from collections.abc import Mapping
from typing import Any, Final

from lidistill.datasets import FrameDataset
from lidistill.datasets.sensors import SENSORS, Sensor, without_intensity
from lidistill.errors import ConfigError, unknown_name
from lidistill.loading.config import SetsConfig

_REMEDY: Final = (
    "give its intensity_mean and intensity_std, or on the command line --statistics FILE, which "
    "`lidistill data stats FOLDER --output FILE` writes"
)


def input_statistics(config: SetsConfig) -> dict[str, Any]:
    """What a checkpoint says about its inputs."""
    return {
        "sensors": sorted({dataset.sensor for dataset in config.sets}),
        "intensity": [
            {
                "sensor": one.name,
                "mean": one.intensity_mean,
                "std": one.intensity_std if math.isfinite(one.intensity_std) else None,
            }
            for one in _trained_on(config)
        ],
    }


def frames_seen(config: SetsConfig, dataset: FrameDataset) -> dict[str, Any]:
    """What tells whether a run goes on with the same data, wherever they lie by then."""
    digest = hashlib.sha256()
    for frame_id in dataset.frame_ids:
        digest.update(frame_id.encode("utf-8", "surrogateescape") + b"\n")
    return {
        "kinds": [one.kind for one in config.sets],
        "number": len(dataset),
        "sha256": digest.hexdigest(),
    }


def pick_sensor(
    sensor: str | None, meta: Mapping[str, Any], config: SetsConfig | None, *, source: str
) -> Sensor:
    """The lidar that scans come from, with the statistics its intensity is standardised with.

    Args:
        sensor: Its name, one that the checkpoint was trained on or one of ``SENSORS``; None: the
            only one that the checkpoint was trained on.
        meta: Of the checkpoint.
        config: The sets it was trained on. Read where an older version wrote the checkpoint, which
            has no statistics in it; None: the statistics are there.
        source: Where the checkpoint lies, for messages.

    Raises:
        UnknownNameError: If there is no such sensor.
        ConfigError: If it is not clear which one it is, or its statistics are nowhere.
    """
    names: list[str] = meta["sensors"]
    if config is None or "intensity" in meta:
        trained = _stored(meta["intensity"])
    else:
        trained = _trained_on(config)
    if sensor is None and len(names) > 1:
        msg = (
            f"{source} was trained on the sensors {', '.join(names)}, which scale intensity in "
            "different ways; say which one the scans are from (sensor=NAME, --sensor NAME), or "
            f"{_REMEDY}."
        )
        raise ConfigError(msg)
    name = names[0] if sensor is None else sensor
    known = {*names, *SENSORS}
    if name not in known:
        raise unknown_name("sensor", name, known)
    fitting = [one for one in trained if one.name == name]
    if not fitting and name in SENSORS:
        return SENSORS[name]
    if len(fitting) != 1:
        msg = (
            f"{source} names {len(fitting)} statistics for the intensity of {name!r}, expected "
            f"one; {_REMEDY}."
        )
        raise ConfigError(msg)
    return fitting[0]


def own_sensor(name: str | None, mean: float, std: float) -> Sensor:
    """A lidar with statistics of the caller's own.

    Raises:
        ConfigError: If they are no mean and no deviation.
    """
    if not (math.isfinite(mean) and math.isfinite(std) and std > 0):
        msg = (
            f"intensity_mean={mean} and intensity_std={std} are no mean and deviation; expected "
            "two finite numbers, the second positive."
        )
        raise ConfigError(msg)
    return Sensor(name=name or "own", intensity_mean=mean, intensity_std=std)


def _trained_on(config: SetsConfig) -> list[Sensor]:
    """The lidars of some sets, each once for each of its statistics, without those not known."""
    found = [dataset.sensor_statistics() for dataset in config.sets]
    return list(dict.fromkeys(one for one in found if one is not None))


def _stored(records: list[dict[str, Any]]) -> list[Sensor]:
    return [
        without_intensity(record["sensor"])
        if record["std"] is None
        else own_sensor(record["sensor"], record["mean"], record["std"])
        for record in records
    ]
