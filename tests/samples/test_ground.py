"""Height over the ground: what stands on it, slopes, holes; all forms against a plain search."""

import numpy as np
import pytest
from fakes.scan import scan_frame

from lidistill.deploy import preprocess
from lidistill.samples import ground
from lidistill.samples.ground import height_over_ground

pytestmark = pytest.mark.usefixtures("both_forms")
EDGE = 0.05  # metres that the lowest point of a cell may lie under others of its ground


def road(slope=0.0, seed=0):
    """A road of 60 m x 40 m that rises along x, 1.8 m below the lidar."""
    rng = np.random.default_rng(seed)
    xy = rng.uniform([-30, -20], [30, 20], (20_000, 2))
    return np.column_stack([xy, slope * xy[:, 0] - 1.8])


def box(low, high, count=500):
    return np.random.default_rng(1).uniform(low, high, (count, 3))


def test_a_road_is_at_zero_and_a_car_on_it_stands_above():
    points = np.concatenate([road(), box([5, 2, -1.6], [9, 4, -0.3])])
    height = height_over_ground(points.astype(np.float32))
    assert height.dtype == np.float32
    assert np.abs(height[:20_000]).max() < 1e-5
    np.testing.assert_allclose(height[20_000:], points[20_000:, 2] + 1.8, atol=1e-5)


def test_it_does_not_depend_on_the_mounting_nor_much_on_a_slope():
    points = np.concatenate([road(), box([5, 2, -1.6], [9, 4, -0.3])])
    higher = points + np.array([0, 0, 1.3])
    expected = height_over_ground(points)
    np.testing.assert_allclose(height_over_ground(higher), expected, atol=1e-5)
    steep = points + np.column_stack([np.zeros((len(points), 2)), 0.1 * points[:, 0]])
    assert np.abs(height_over_ground(steep) - expected).max() < 0.1 + EDGE  # of one cell


def test_reflections_from_below_do_not_lower_the_ground():
    points = np.concatenate([road(), [[3.2, 1.1, -5.0], [-8.7, 4.3, -9.0]]])
    assert np.abs(height_over_ground(points)[:20_000]).max() < 1e-5


def test_what_no_ground_is_seen_beside_is_measured_from_the_ground_around():
    points = road()
    under = (np.abs(points[:, 0] - 10) < 3) & (np.abs(points[:, 1]) < 3)
    roof = box([7, -3, 2.0], [13, 3, 2.1])
    height = height_over_ground(np.concatenate([points[~under], roof]))
    rise = height[-len(roof) :]
    assert rise.max() < 3.9 + EDGE
    assert rise.min() > 3.8 - 3.5 * ground.SLOPE * np.sqrt(2)


def by_search(points, cell=1.0):
    """The definition, cell by cell, but for holes."""
    lowest = {}
    for x, y, z in points.tolist():
        key = (np.floor(x / cell), np.floor(y / cell))
        lowest[key] = min(lowest.get(key, np.inf), z)
    cells, low = np.array(list(lowest)), np.array(list(lowest.values()))
    place = np.floor(points[:, :2] / cell)
    apart = np.abs(place[:, None] - cells)
    steps = apart.max(axis=2) + (np.sqrt(2) - 1) * apart.min(axis=2)
    return points[:, 2] - (low + ground.SLOPE * cell * steps).min(axis=1)


def test_it_is_the_lowest_of_all_cells_and_what_may_rise_from_them(monkeypatch):
    monkeypatch.setattr(ground, "PIT", np.inf)
    monkeypatch.setattr(preprocess, "_PIT", np.inf)
    points = np.random.default_rng(2).uniform([-12, -9, -2], [15, 20, 2], (300, 3))
    expected = by_search(points)
    np.testing.assert_allclose(preprocess.height_over_ground(points), expected, atol=1e-6)
    monkeypatch.setenv("LIDISTILL_COMPILE", "0")  # constants are part of compiled code
    np.testing.assert_allclose(height_over_ground(points), expected, atol=1e-6)


@pytest.mark.parametrize("size", [(25, 25, 3), (300, 2, 3), (30, 20, 9), (0.3, 0.3, 5)])
def test_the_robots_file_and_both_forms_agree(size):
    points = np.random.default_rng(3).normal(0, size, (3000, 3)).astype(np.float32)
    expected = preprocess.height_over_ground(points)
    np.testing.assert_allclose(height_over_ground(points), expected, atol=1e-5)
    assert (expected >= -1e-6).any()


def test_points_that_are_not_finite_have_no_height_and_lower_nothing():
    points = road().astype(np.float32)
    points[::7] = np.nan
    points[3::70, 2] = -np.inf
    lost = ~np.isfinite(points).all(axis=1)
    height = height_over_ground(points)
    assert np.isnan(height[lost]).all()
    assert np.abs(height[~lost]).max() < 1e-5
    assert np.isnan(height_over_ground(points[lost])).all()
    assert height_over_ground(points[:0]).shape == (0,)


def test_heights_of_a_random_scan_are_the_same_in_any_order(tmp_path):
    points = scan_frame(tmp_path).points
    order = np.random.default_rng(0).permutation(len(points))
    np.testing.assert_array_equal(
        height_over_ground(points)[order], height_over_ground(points[order])
    )


def test_a_scan_of_kilometres_has_larger_cells(monkeypatch):
    monkeypatch.setattr(ground, "MOST_CELLS", 40)
    monkeypatch.setattr(preprocess, "_MOST_CELLS", 40)
    points = np.random.default_rng(3).uniform(-500, 500, (3000, 3))
    expected = preprocess.height_over_ground(points)
    np.testing.assert_allclose(height_over_ground(points), expected, atol=1e-3)
    monkeypatch.setattr(preprocess, "_PIT", np.inf)
    edge = np.ptp(points[:, :2], axis=0).max() / 40
    found = preprocess.height_over_ground(points)
    np.testing.assert_allclose(found, by_search(points, edge), atol=1e-3)
