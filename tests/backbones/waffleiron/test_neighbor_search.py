from collections.abc import Callable

import numpy as np
import pytest

from lidistill.backbones.waffleiron.cpu import neighbor_search
from lidistill.backbones.waffleiron.inputs import nearest_neighbors
from lidistill.samples.nearest import nearest_by_scipy


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


def far_outliers() -> np.ndarray:
    return np.concatenate([street(600), 1e6 * street(7), -1e9 * street(1)]).astype(np.float64)


def collinear() -> np.ndarray:
    return np.outer(np.linspace(-50, 50, 700) ** 3, [1.0, 2.0, -0.5]).astype(np.float32)


def many_duplicates() -> np.ndarray:
    return np.repeat(street(90), np.arange(90) % 40 + 1, axis=0)


def two_dense_spots() -> np.ndarray:
    spot = np.random.default_rng(3).normal(0, 1e-3, (300, 3))
    return np.concatenate([spot, spot + 1000.0])


@pytest.mark.parametrize("k", [1, 5, 16, 33])
@pytest.mark.parametrize("cloud", [far_outliers, collinear, many_duplicates, two_dense_spots])
def test_the_distances_are_those_of_the_definition_in_awkward_clouds(
    cloud: Callable[[], np.ndarray], k: int
) -> None:
    points = cloud()
    found, expected = neighbor_search.search(points, k), nearest_by_scipy(points, k)
    np.testing.assert_allclose(
        distances(points, found), distances(points, expected), rtol=1e-10, atol=1e-12
    )
    assert np.array_equal(found[:, 0], np.arange(len(points)))
    assert all(len(set(row)) == 1 + k for row in found.tolist())


@pytest.mark.parametrize("num_points", [7, 8, 9, 63, 64, 65, 511, 512, 513, 1025])
def test_no_number_of_points_is_special(num_points: int) -> None:
    points = street(num_points)
    found, expected = neighbor_search.search(points, 16), nearest_by_scipy(points, 16)
    np.testing.assert_allclose(distances(points, found), distances(points, expected), atol=1e-12)


def test_the_cloud_is_left_alone_and_need_not_be_contiguous() -> None:
    wide = np.random.default_rng(0).normal(size=(400, 5))
    before = wide.copy()
    found = neighbor_search.search(wide[:, 1:4], 4)
    assert np.array_equal(found, neighbor_search.search(wide[:, 1:4].copy(), 4))
    assert np.array_equal(wide, before)


@pytest.mark.parametrize("num_points", [3, 2500])
def test_the_switch_alone_decides_which_search_runs(num_points: int, both_forms: str) -> None:
    points = np.zeros((num_points, 3))  # on one spot, so that both find others
    found = nearest_neighbors(points, 16)
    run, other = neighbor_search.search, nearest_by_scipy
    if both_forms == "0":
        run, other = other, run
    assert np.array_equal(found, run(points, 16))
    assert num_points == 3 or not np.array_equal(found, other(points, 16))
