import numpy as np
import pytest

from lidistill.backbones.waffleiron.inputs import nearest_neighbors
from lidistill.samples.nearest import nearest_index

pytestmark = pytest.mark.usefixtures("both_forms")


def cloud(num_points, seed=0):
    return np.random.default_rng(seed).normal(0, 3, (num_points, 3)).astype(np.float32)


def by_definition(points, k):
    rows = []
    for i, point in enumerate(points.astype(np.float64)):
        distance = np.linalg.norm(points - point, axis=1)
        distance[i] = -1
        rows.append(np.argsort(distance)[: k + 1])
    return np.array(rows)


@pytest.mark.parametrize("k", [0, 1, 16])
def test_neighbors_are_the_nearest_in_order_with_the_point_itself_first(k):
    points = cloud(200)
    np.testing.assert_array_equal(nearest_neighbors(points, k), by_definition(points, k))


def test_the_point_itself_comes_first_among_duplicates():
    points = np.repeat(cloud(12), 5, axis=0)
    found = nearest_neighbors(points, 7)
    np.testing.assert_array_equal(found[:, 0], np.arange(60))
    assert all(len(set(row)) == 8 for row in found.tolist())
    twins = np.abs(points[found[:, 1:5]] - points[:, None]).max()
    assert twins == 0


def test_more_duplicates_than_neighbors_still_leave_the_point_itself_first():
    found = nearest_neighbors(np.zeros((30, 3), np.float32), 4)
    np.testing.assert_array_equal(found[:, 0], np.arange(30))
    assert found.shape == (30, 5)
    assert all(len(set(row)) == 5 for row in found.tolist())


def test_few_points_fill_their_rows_up_with_themselves():
    points = np.float32([[0, 0, 0], [1, 0, 0], [3, 0, 0]])
    expected = [[0, 1, 2, 0, 0], [1, 0, 2, 1, 1], [2, 1, 0, 2, 2]]
    assert nearest_neighbors(points, 4).tolist() == expected
    assert nearest_neighbors(points[:1], 2).tolist() == [[0, 0, 0]]


def test_no_points_have_no_neighbors():
    assert nearest_neighbors(np.zeros((0, 3), np.float32), 16).shape == (0, 17)


def test_the_nearest_point_of_a_query_is_found():
    points, query = cloud(150), cloud(80, seed=1)
    expected = [int(np.argmin(np.linalg.norm(points - q, axis=1))) for q in query]
    assert nearest_index(query, points).tolist() == expected


def test_the_nearest_of_no_points_is_refused():
    with pytest.raises(ValueError, match="no points"):
        nearest_index(cloud(2), np.zeros((0, 3), np.float32))
