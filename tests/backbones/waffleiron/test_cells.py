import numpy as np

from lidistill.backbones.waffleiron.grid import GridConfig
from lidistill.backbones.waffleiron.inputs import cell_indices
from lidistill.samples.augmentation import crop_mask

GRID = GridConfig(
    fov_min=(-4.0, -6.0, -2.0), fov_max=(4.0, 6.0, 2.0), planes=((8, 24), (4, 5), (3, 2))
)


def test_cells_are_row_major_in_the_plane_of_the_remaining_axes():
    rng = np.random.default_rng(0)
    points = rng.uniform(GRID.fov_min, GRID.fov_max, (300, 3)).astype(np.float32)
    for point, cells in zip(points.tolist(), cell_indices(points, GRID).tolist(), strict=True):
        x, y, z = (v - low for v, low in zip(point, GRID.fov_min, strict=True))
        assert cells == [
            int(x / (8 / 8)) * 24 + int(y / (12 / 24)),
            int(x / (8 / 4)) * 5 + int(z / (4 / 5)),
            int(y / (12 / 3)) * 2 + int(z / (4 / 2)),
        ]


def test_the_corners_of_the_field_of_view_fall_into_the_first_and_last_cell():
    corners = np.array([GRID.fov_min, GRID.fov_max]) * (1 - 1e-4)
    assert crop_mask(corners, GRID.field_of_view).all()
    expected = [[0, 0, 0], [8 * 24 - 1, 4 * 5 - 1, 3 * 2 - 1]]
    assert cell_indices(corners, GRID).tolist() == expected


def test_the_crop_needs_every_axis_strictly_inside():
    inside = np.array([0.0, 0.0, 0.0])
    points = [inside]
    for axis in range(3):
        for limit in (GRID.fov_min[axis], GRID.fov_max[axis]):
            for shift in (0.5e-4, 2e-4):
                point = inside.copy()
                point[axis] = limit - np.sign(limit) * shift
                points.append(point)
    assert crop_mask(np.array(points), GRID.field_of_view).tolist() == [True] + [False, True] * 6


def test_every_cropped_point_has_a_cell_of_the_grid():
    grid = GridConfig()
    points = np.random.default_rng(1).uniform(-70, 70, (5000, 3)).astype(np.float32)
    points[:, 2] /= 8
    cells = cell_indices(points[crop_mask(points, grid.field_of_view)], grid)
    sizes = [height * width for height, width in grid.planes]
    assert (cells >= 0).all()
    assert (cells < sizes).all()


def test_no_points_have_no_cells():
    assert cell_indices(np.zeros((0, 3)), GRID).shape == (0, 3)
