"""Which offset is advised where images and scans of a drive are of two clocks."""

import re

import pytest

from lidistill.datasets.own.nearest import describe_gaps, nearest_images

SECOND = 1_000_000_000


@pytest.mark.parametrize("apart", [-1_699_999_900, 600, 0.06])
def test_the_offset_that_is_advised_brings_scans_and_images_together(apart):
    scans = {str(i): (2_000_000_000 + i) * SECOND for i in range(40)}
    images = {name: time - round(apart * SECOND) for name, time in scans.items()}
    found = nearest_images(scans, images, tolerance=0.05)
    text = describe_gaps(found, num_scans=len(scans), tolerance=0.05)
    offset = float(re.search(r"set time_offset \(by ([-+][0-9.]+)", text)[1])
    moved = {name: time + round(offset * SECOND) for name, time in images.items()}
    again = nearest_images(scans, moved, tolerance=0.05)
    assert again.image == {name: name for name in scans}
