import numpy as np
import pytest
import torch

from lidistill.samples.visibility import visible_on_device, visible_points

pytestmark = pytest.mark.usefixtures("both_forms")

SIZE = (100, 160)
PIXEL_CELLS = {"focal_px": 100.0, "cell": 0.01}  # one cell a pixel


def by_definition(uv, depth, margin=0.5, ground=1.2):
    seen = []
    for pixel, own in zip(np.floor(uv), depth, strict=True):
        near = (np.abs(np.floor(uv) - pixel) <= 1).all(axis=1)
        front = depth[near].min()
        seen.append(own <= front + margin or 1 / front - 1 / own <= 0.02 / ground)
    return np.array(seen)


def test_it_is_a_comparison_with_the_smallest_depth_of_nine_cells():
    rng = np.random.default_rng(0)
    uv = rng.uniform(0, 1, (3000, 2)) * [160, 100]
    depth = rng.uniform(2, 60, 3000)
    found = visible_points(uv, depth, SIZE, **PIXEL_CELLS)
    np.testing.assert_array_equal(found, by_definition(uv, depth))
    assert 0.2 < found.mean() < 0.9


def test_a_wall_behind_a_pole_is_hidden_where_the_pole_is():
    columns = np.arange(40.5, 121)
    wall = np.column_stack([columns, np.full(81, 50.5)])
    pole = np.column_stack([np.full(20, 80.5), np.arange(40.5, 60)])
    depth = np.concatenate([np.full(81, 20.0), np.full(20, 8.0)])
    found = visible_points(np.concatenate([wall, pole]), depth, SIZE, **PIXEL_CELLS)
    assert found[81:].all()
    assert columns[~found[:81]].tolist() == [79.5, 80.5, 81.5]


def test_the_margin_grows_with_depth():
    near, far = np.array([[10.5, 10.5]] * 2), np.array([[90.5, 90.5]] * 2)
    uv, gap = np.concatenate([near, far]), 3.0
    depth = np.array([5.0, 5 + gap, 20.0, 20 + gap])
    assert visible_points(uv, depth, SIZE, **PIXEL_CELLS).tolist() == [True, False, True, True]
    thin = visible_points(uv, depth, SIZE, **PIXEL_CELLS, nearest_ground=1e3)
    assert thin.tolist() == [True, False, True, False]


@pytest.mark.parametrize("focal_px", [500.0, 1266.0, 1970.0])
def test_a_road_or_a_wall_that_the_camera_looks_along_hides_nothing_of_itself(focal_px):
    grids = np.meshgrid(np.arange(4, 80, 0.3), np.arange(-8, 8, 0.2))
    ahead, aside = (grid.ravel() for grid in grids)
    across, along = focal_px * aside / ahead + 960, focal_px * 1.6 / ahead + 540
    for uv in (np.column_stack([across, along]), np.column_stack([along + 400, across - 400])):
        inside = (np.abs(uv - [960, 540]) < [960, 540]).all(axis=1)
        assert inside.sum() > 1000
        assert visible_points(uv[inside], ahead[inside], (1080, 1920), focal_px=focal_px).all()


def test_no_point_is_no_answer():
    assert visible_points(np.zeros((0, 2)), np.zeros(0), SIZE, focal_px=100.0).shape == (0,)


def test_tensors_are_judged_alike():
    rng = np.random.default_rng(1)
    uv, depth = rng.uniform(0, 1, (3000, 2)) * [160, 100], rng.uniform(2, 60, 3000)
    expected = visible_points(uv, depth, SIZE, focal_px=200.0)
    found = visible_on_device(*map(torch.from_numpy, (uv, depth)), SIZE, focal_px=200.0)
    assert found.tolist() == expected.tolist()
    assert 0.2 < expected.mean() < 0.9
