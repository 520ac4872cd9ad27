import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from lidistill.samples.voxels import first_by_definition, voxel_first, voxel_permuted

pytestmark = pytest.mark.usefixtures("both_forms")


def by_definition(points, size, permutation):
    """First visited point of every voxel, voxels in lexicographic order, written as a loop."""
    low = points.min(axis=0)
    first = {}
    for index in permutation:
        voxel = tuple(int(v) for v in (points[index] - low) / points.dtype.type(size))
        first.setdefault(voxel, int(index))
    return [first[voxel] for voxel in sorted(first)]


def random_of_voxel(points, size, seed):
    return voxel_permuted(points, size, np.random.default_rng(seed).permutation(len(points)))


def cloud(num_points, seed=0, dtype=np.float32):
    return np.random.default_rng(seed).normal(0, 2, (num_points, 3)).astype(dtype)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_every_voxel_gives_its_first_point_in_lexicographic_order(dtype):
    points = cloud(500, dtype=dtype)
    assert voxel_first(points, 0.7).tolist() == by_definition(points, 0.7, range(500))


@given(
    arrays(
        np.float32, st.tuples(st.integers(1, 40), st.just(3)), elements=st.floats(-8, 8, width=32)
    ),
    st.integers(0, 2**32 - 1),
)
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_every_voxel_gives_its_first_visited_point_whatever_the_cloud(points, seed):
    permutation = np.random.default_rng(seed).permutation(len(points))
    found = voxel_permuted(points, 0.5, permutation)
    assert found.tolist() == by_definition(points, 0.5, permutation)


def test_an_outlier_far_away_changes_only_its_own_voxel():
    points = cloud(300)
    near = voxel_first(points, 0.5)
    far = np.concatenate([points, [[1e18, 1e18, 1e18]]]).astype(np.float64)
    np.testing.assert_array_equal(voxel_first(far, 0.5), [*near, 300])
    assert len(voxel_first(points.astype(np.float64), 0.5)) == len(near)


def test_both_ways_of_sorting_agree():
    points = cloud(400, seed=3, dtype=np.float64)
    permutation = np.random.default_rng(1).permutation(401)
    wide = np.concatenate([points, [[1e17, 1e17, 1e17]]])
    found = voxel_permuted(wide, 1.0, permutation)
    assert found.tolist() == by_definition(wide, 1.0, permutation)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("size", [0.1, 0.25, 3.0, 1e4])
def test_both_forms_agree(dtype, size):
    points = np.concatenate(
        [cloud(20_000, dtype=dtype), np.repeat(cloud(50, 1, dtype), 40, axis=0)]
    )
    points *= np.array([30, 20, 1], dtype=dtype)
    for permutation in (np.arange(len(points)), np.random.default_rng(2).permutation(len(points))):
        found = voxel_permuted(points, size, permutation)
        assert found.dtype == np.int64
        assert np.array_equal(found, first_by_definition(points, size, permutation))


def test_large_clouds_may_be_columns_of_a_table_and_have_outliers():
    table = np.random.default_rng(0).normal(0, 5, (12_000, 4))
    expected = voxel_first(table[:, :3].copy(), 0.5)
    assert np.array_equal(voxel_first(table[:, :3], 0.5), expected)
    for far in (1e5, 1e18):
        wide = np.concatenate([table[:, :3], [[far, far, far]]])
        assert np.array_equal(voxel_first(wide, 0.5), [*expected, 12_000])


@pytest.mark.parametrize("place", [0, 7, 11_999])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_large_clouds_with_a_coordinate_that_is_not_finite_are_refused(bad, place):
    points = cloud(12_000)
    points[place, 2] = bad
    with pytest.raises(ValueError, match="not finite"), np.errstate(invalid="ignore"):
        voxel_first(points, 0.1)


def test_a_random_point_of_a_voxel_is_any_of_its_points():
    points = np.tile(np.float32([[0, 0, 0], [5, 0, 0]]), (10, 1))
    found = {tuple(random_of_voxel(points, 0.1, seed)) for seed in range(200)}
    assert {first for first, _ in found} == set(range(0, 20, 2))
    assert {second for _, second in found} == set(range(1, 20, 2))


def test_no_points_have_no_voxels():
    assert len(voxel_first(np.zeros((0, 3), np.float32), 0.1)) == 0


def test_the_cloud_is_left_alone():
    points = cloud(50)
    before = points.copy()
    random_of_voxel(points, 0.5, 0)
    np.testing.assert_array_equal(points, before)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_coordinate_that_is_not_finite_is_refused(bad):
    points = cloud(10)
    points[3, 1] = bad
    with pytest.raises(ValueError, match="not finite"), np.errstate(invalid="ignore"):
        voxel_first(points, 0.1)


@pytest.mark.parametrize("size", [0.0, -0.1, np.nan])
def test_a_voxel_size_that_is_not_positive_is_refused(size):
    with pytest.raises(ValueError, match="positive"):
        voxel_first(cloud(3), size)
