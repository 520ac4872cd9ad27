import numpy as np
import pytest

from lidistill.ops import neighbor_search
from lidistill.ops.neighbors import nearest_by_scipy, nearest_neighbors


def distances(points: np.ndarray, index: np.ndarray) -> np.ndarray:
    precise = points.astype(np.float64)
    return np.linalg.norm(precise[index] - precise[:, None], axis=2)


def street(num_points: int, dtype: type = np.float32) -> np.ndarray:
    rng = np.random.default_rng(num_points)
    radius, angle = np.exp(rng.uniform(0, 4.5, num_points)), rng.uniform(0, 6.3, num_points)
    ground = [radius * np.cos(angle), radius * np.sin(angle), 0.05 * rng.normal(size=num_points)]
    return np.stack(ground, axis=1).astype(dtype)


@pytest.mark.parametrize("num_points", [1, 2, 5, 13, 17, 100, 3000])
@pytest.mark.parametrize("k", [1, 16])
def test_the_compiled_search_finds_the_distances_of_the_definition(num_points: int, k: int) -> None:
    for dtype in (np.float32, np.float64):
        points = street(num_points, dtype)
        found, expected = neighbor_search.search(points, k), nearest_by_scipy(points, k)
        assert found.shape == expected.shape
        assert found.dtype == expected.dtype
        assert np.array_equal(found[:, 0], np.arange(num_points))
        np.testing.assert_allclose(distances(points, found), distances(points, expected), atol=1e-9)


def test_points_on_one_spot_and_on_a_lattice_are_no_exception() -> None:
    lattice = np.stack(np.meshgrid(*[np.arange(9.0)] * 3), axis=-1).reshape(-1, 3)
    for points in (np.zeros((60, 3)), lattice, np.concatenate([lattice, lattice])):
        found, expected = neighbor_search.search(points, 16), nearest_by_scipy(points, 16)
        np.testing.assert_allclose(distances(points, found), distances(points, expected), atol=1e-9)
        assert all(len(set(row)) == len(row) for row in found.tolist())


def test_large_clouds_take_the_compiled_search() -> None:
    points = street(2500)
    found = nearest_neighbors(points, 16)
    assert np.array_equal(found, neighbor_search.search(points, 16))
