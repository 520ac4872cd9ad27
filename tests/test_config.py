import pytest
from pydantic import ValidationError

from lidistill.backbones.waffleiron.grid import GridConfig


def test_the_papers_grids_have_cells_of_half_a_metre():
    grid = GridConfig()
    for axis, plane in zip(grid.axes, grid.planes, strict=True):
        kept = [i for i in range(3) if i != axis]
        sizes = [(grid.fov_max[i] - grid.fov_min[i]) / n for i, n in zip(kept, plane, strict=True)]
        assert sizes == [0.5, 0.5]


@pytest.mark.parametrize(
    "wrong",
    [
        {"fov_min": (0.0, 0.0, 9.0)},
        {"axes": (2, 1)},
        {"axes": (2, 1, 3)},
        {"planes": ((256, 0), (256, 32), (256, 32))},
        {"cells": 3},
    ],
)
def test_a_grid_that_makes_no_sense_is_refused(wrong):
    with pytest.raises(ValidationError):
        GridConfig(**wrong)
