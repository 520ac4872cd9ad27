import logging

import numpy as np
import pytest

from lidistill.datasets.intensity_scale import IntensityWatch
from lidistill.datasets.sensors import SENSORS

LIDAR = SENSORS["pandar64"]
INTENSITY = np.random.default_rng(0).gamma(
    (LIDAR.intensity_mean / LIDAR.intensity_std) ** 2,
    LIDAR.intensity_std**2 / LIDAR.intensity_mean,
    2000,
)


@pytest.mark.parametrize("factor", [255, 1 / 255, 257, 0])
def test_another_scale_is_told_once_with_both_numbers(factor, caplog):
    watch = IntensityWatch(LIDAR)
    with caplog.at_level(logging.WARNING):
        watch.look_at(INTENSITY * factor)
        watch.look_at(INTENSITY * factor)
    (record,) = caplog.records
    text = record.getMessage()
    assert f"the mean {(INTENSITY * factor).mean():.4g}" in text
    assert f"{LIDAR.intensity_mean:.4g} and {LIDAR.intensity_std:.4g}" in text
    assert "--statistics" in text


@pytest.mark.parametrize("factor", [0.4, 1, 2.5])
def test_bright_and_dark_scans_of_the_same_scale_are_not(factor, caplog):
    watch = IntensityWatch(LIDAR)
    watch.look_at(INTENSITY * factor)
    watch.look_at(np.zeros(3))
    assert not caplog.records
