import numpy as np
import pytest

from lidistill.instances.config import DiscoveryConfig, GroundConfig
from lidistill.instances.density import density_clusters
from lidistill.instances.ground import height_over_ground
from lidistill.instances.objects import find_objects, mean_features


def plane(size=20.0, step=0.25, slope=0.0, height=-1.7):
    x, y = np.meshgrid(np.arange(-size, size, step), np.arange(-size, size, step))
    rng = np.random.default_rng(0)
    z = height + slope * x + rng.normal(0, 0.02, x.shape)
    return np.stack([x, y, z], axis=-1).reshape(-1, 3)


def box(x, y, length, width, height, *, bottom=-1.7, number=600, seed=0):
    """Points on the sides and the top of a box."""
    rng = np.random.default_rng(seed)
    place = rng.uniform(-0.5, 0.5, (number, 3))
    axis = rng.integers(0, 3, number)
    place[np.arange(number), axis] = np.where(axis == 2, 0.5, rng.choice([-0.5, 0.5], number))
    return place * [length, width, height] + [x, y, bottom + height / 2]


def test_height_is_over_the_ground_whatever_stands_on_it():
    ground, car = plane(), box(8, 3, 4.5, 1.8, 1.5)
    points = np.concatenate([ground, car])
    height = height_over_ground(points)
    assert np.abs(height[: len(ground)]).max() < 0.2
    np.testing.assert_allclose(height[len(ground) :], car[:, 2] + 1.7, atol=0.15)


def test_a_slope_is_ground_and_a_bus_is_not():
    ground, bus = plane(slope=0.08), box(0, 5, 12, 2.6, 3.0)
    height = height_over_ground(np.concatenate([ground, bus]))
    assert (height[: len(ground)] < 0.2).mean() > 0.97
    assert (height[len(ground) :] > 2.4).mean() > 0.3


def test_reflections_from_below_do_not_lift_the_ground():
    ground = plane()
    below = np.array([[5.1, 5.1, -6.0], [-3.1, 2.1, -4.0]])
    height = height_over_ground(np.concatenate([ground, below]))
    assert np.abs(height[: len(ground)]).max() < 0.2


def test_points_without_a_place_or_far_away_have_no_height():
    points = np.array([[0, 0, 0], [np.nan, 0, 0], [np.inf, 0, 0], [200.0, 0, 0], [1, 1, 0.1]])
    height = height_over_ground(points, GroundConfig(reach=100.0))
    assert np.isfinite(height).tolist() == [True, False, False, False, True]
    assert np.isnan(height_over_ground(np.full((2, 3), np.nan))).all()


def by_definition(points, radius, min_neighbors):
    """DBSCAN with loops: cores that reach each other, and the nearest core of each at the edge."""
    gap = np.linalg.norm(points[:, None] - points[None], axis=2)
    core = (gap <= radius).sum(axis=1) >= min_neighbors
    cluster = np.zeros(len(points), int)
    for start in np.flatnonzero(core):
        if cluster[start]:
            continue
        waiting, number = [start], cluster.max() + 1
        while waiting:
            one = waiting.pop()
            if not cluster[one]:
                cluster[one] = number
                waiting += np.flatnonzero(core & (gap[one] <= radius)).tolist()
    for one in np.flatnonzero(~core):
        reach = np.where(core, gap[one], np.inf)
        if reach.min() <= radius:
            cluster[one] = cluster[reach.argmin()]
    return cluster


@pytest.mark.parametrize("seed", range(4))
def test_clusters_are_those_of_the_definition(seed):
    rng = np.random.default_rng(seed)
    # Places far enough apart that none is thinned out.
    grid = np.stack(np.meshgrid(*[np.arange(12)] * 3), axis=-1).reshape(-1, 3) * 0.3
    points = rng.permutation(grid)[:170] + rng.uniform(-0.05, 0.05, (170, 3))
    found = density_clusters(points, radius=0.5, min_neighbors=4, near=1000.0)
    expected = by_definition(points, 0.5, 4)
    assert np.array_equal(found == 0, expected == 0)
    pairs = {*zip(found.tolist(), expected.tolist(), strict=True)}
    assert len(pairs) == len(set(found.tolist())) == len(set(expected.tolist()))
    assert found.max() > 1
    first = [int(np.flatnonzero(found == number)[0]) for number in range(1, found.max() + 1)]
    assert first == sorted(first)


def test_the_radius_grows_with_the_distance():
    near = np.stack([np.full(8, 5.0), np.arange(8) * 0.7, np.zeros(8)], axis=1)
    far = near + np.array([60.0, 0, 0])
    options = {"radius": 0.5, "min_neighbors": 2, "near": 20.0}
    assert not density_clusters(near, **options).any()
    assert density_clusters(far, **options).tolist() == [1] * 8


def test_no_point_is_no_cluster():
    assert density_clusters(np.zeros((0, 3)), radius=1, min_neighbors=2, near=20).shape == (0,)


def scene():
    parts = [plane(), box(8, 3, 4.5, 1.8, 1.5), box(-6, -6, 0.6, 0.6, 1.7, seed=1, number=200)]
    parts += [box(0, 14, 30, 0.5, 5, seed=2, number=6000), box(3, -8, 0.5, 0.5, 1, number=6)]
    return np.concatenate(parts), np.cumsum([0, *map(len, parts)])


def test_cars_and_people_are_objects_and_walls_and_crumbs_are_not():
    points, ends = scene()
    label, objects = find_objects(points)
    assert len(objects) == 2
    for number, start in ((1, 1), (2, 2)):
        own = label[ends[start] : ends[start + 1]]
        assert (own == number).mean() > 0.85  # what touches the ground is ground
    assert set(label[ends[3] :]) == {0}
    car = objects[0]
    assert (car.box.long, car.box.short) == pytest.approx((4.5, 1.8), abs=0.1)
    assert car.box.center == pytest.approx((8, 3), abs=0.1)
    assert car.height == pytest.approx(1.5, abs=0.15)
    assert car.num_points == (label == 1).sum()


def test_a_scan_of_nothing_has_no_object():
    label, objects = find_objects(np.full((5, 3), np.nan))
    assert (label.tolist(), objects) == ([0] * 5, ())


def test_what_an_object_is_can_be_said():
    points, _ = scene()
    assert len(find_objects(points, DiscoveryConfig(min_points=400))[1]) == 1
    assert len(find_objects(points, DiscoveryConfig(max_length=40))[1]) == 3


def test_a_mean_feature_is_the_direction_of_the_mean_direction():
    features = np.array([[2.0, 0], [0, 5.0], [0, 1.0], [np.nan, np.nan], [3.0, 3.0]])
    label = np.array([1, 1, 2, 2, 0])
    found = mean_features(features, label, 3)
    half = np.sqrt(0.5)
    np.testing.assert_allclose(found[:2], [[half, half], [0, 1]], rtol=1e-6)
    assert np.isnan(found[2]).all()
