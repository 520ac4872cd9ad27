import logging

import numpy as np
import pytest

from lidistill.datasets.point_scale import ScaleWatch

POINTS = np.random.default_rng(0).normal(0, [20, 20, 1], (1000, 3)).astype(np.float32)


def inside(points):
    return (np.abs(points) < (64, 64, 8)).all(axis=1)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        (POINTS / 1000, "100% of the points of a scan lie within 2 m of the sensor"),
        (POINTS / np.abs(POINTS).max(), "100% of the points of a scan lie within 2 m"),
        (POINTS * 10, "% of the points of a scan lie outside of the field of view"),
        (POINTS + np.float32([70, 0, 0]), "% of the points of a scan lie outside of the field"),
    ],
)
def test_what_is_not_in_metres_or_not_around_the_sensor_is_told_once(changed, said, caplog):
    watch = ScaleWatch()
    with caplog.at_level(logging.WARNING):
        watch.look_at(changed, inside(changed))
        watch.look_at(changed, inside(changed))
    (record,) = caplog.records
    assert said in record.getMessage()
    assert "metres, and in the sensor's own frame?" in record.getMessage()


@pytest.mark.parametrize("changed", [POINTS, POINTS * 0.3, POINTS + np.float32([30, 0, 0])])
def test_scans_of_a_street_or_a_hall_are_not(changed, caplog):
    watch = ScaleWatch()
    watch.look_at(changed, inside(changed))
    watch.look_at(POINTS[:50] / 1000, np.ones(50, bool))
    assert not caplog.records
