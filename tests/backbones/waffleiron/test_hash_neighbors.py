import numpy as np
import pytest
import torch

from lidistill.backbones.waffleiron.gpu import hash_neighbors as module
from lidistill.backbones.waffleiron.gpu.hash_neighbors import grid_search, hash_neighbors
from lidistill.samples.nearest import nearest_by_scipy


def ring_scan(num_points, seed=0):
    """Dense near the sensor, thin far away, with two points out of everyone's reach."""
    rng = np.random.default_rng(seed)
    distance = 2 + 60 * rng.random(num_points) ** 3
    angle, height = rng.uniform(-np.pi, np.pi, num_points), rng.normal(size=num_points)
    points = np.stack([distance * np.cos(angle), distance * np.sin(angle), height], axis=1)
    points[:2] = [[900, 0, 0], [-400, 300, 50]]
    return points.astype(np.float32)


def distances(points, index):
    wide = points.astype(np.float64)
    return np.linalg.norm(wide[index] - wide[:, None], axis=2)


@pytest.mark.parametrize("num_points", [3, 17, 18, 600])
@pytest.mark.parametrize("cell", [0.1, 0.5, 3000.0])
def test_neighbours_are_those_of_the_tree(num_points, cell, monkeypatch):
    monkeypatch.setattr(module, "_BUDGET", 5000)
    points = ring_scan(num_points)
    found = grid_search(torch.from_numpy(points), 16, cell=cell).numpy()
    np.testing.assert_array_equal(found, nearest_by_scipy(points, 16))


def test_points_on_one_spot_come_after_the_point_itself():
    points = np.repeat(ring_scan(5), 4, axis=0)
    found = grid_search(torch.from_numpy(points), 6).numpy()
    np.testing.assert_array_equal(found[:, 0], np.arange(20))
    expected = nearest_by_scipy(points, 6)
    np.testing.assert_array_equal(distances(points, found), distances(points, expected))


@pytest.mark.usefixtures("both_forms")
@pytest.mark.parametrize(("num_points", "k"), [(0, 4), (1, 4), (6, 0)])
def test_few_points_or_neighbours_are_filled_up_with_the_point_itself(num_points, k):
    found = hash_neighbors(torch.zeros(num_points, 3), k)
    assert torch.equal(found, torch.arange(num_points)[:, None].repeat(1, 1 + k))


def test_a_search_that_is_not_to_be_trusted_leaves_the_tree(both_forms, monkeypatch):
    points = np.zeros((40, 3), np.float32)  # on one spot, so that both find others
    monkeypatch.setattr(module, "trusted", lambda *_: False)
    found = hash_neighbors(torch.from_numpy(points), 6).numpy()
    np.testing.assert_array_equal(found, nearest_by_scipy(points, 6))
    monkeypatch.setattr(module, "trusted", lambda *_: True)
    again = hash_neighbors(torch.from_numpy(points), 6).numpy()
    assert np.array_equal(again, found) == (both_forms == "0")
