import numpy as np
import pytest

from lidistill.figures.features import fit_pca
from lidistill.viewer.clusters import fit_clusters, nearest_cluster
from lidistill.viewer.spaces import fit_basis, sampled, to_codes


def directions(num=600, channels=96, rank=20, seed=0):
    rng = np.random.default_rng(seed)
    mixed = rng.normal(size=(num, rank)) @ rng.normal(size=(rank, channels)) + 1
    return (rng.uniform(0.1, 30, (num, 1)) * mixed).astype(np.float32)


def cosines(rows):
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return unit @ unit.T


def test_products_of_codes_are_the_cosines_of_features():
    features = directions()
    basis = fit_basis([features[:300], features[300:]])
    codes = to_codes(features, basis)
    assert 15 < len(basis) <= 21  # of rank 20, and the mean
    np.testing.assert_allclose(basis @ basis.T, np.eye(len(basis)), atol=1e-5)
    found = codes.astype(np.int32) @ codes.T.astype(np.int32) / 127**2
    assert np.abs(found - cosines(features.astype(np.float64))).max() < 0.02


def test_there_are_at_most_64_dimensions_and_they_hold_the_most():
    rng = np.random.default_rng(0)
    features = (rng.normal(size=(4000, 200)) * np.linspace(3, 0.5, 200)).astype(np.float32)
    basis = fit_basis([features])
    assert basis.shape == (64, 200)
    assert (np.abs(basis) ** 2)[:, :80].sum() > 60


def test_dimensions_that_hold_next_to_nothing_are_left_out():
    rng = np.random.default_rng(0)
    features = np.column_stack([rng.normal(size=(600, 3)), 0.005 * rng.normal(size=(600, 9))])
    basis = fit_basis([features.astype(np.float32)])
    assert len(basis) == 3


def test_few_channels_are_only_turned():
    features = np.random.default_rng(0).normal(size=(600, 8)).astype(np.float32)
    codes = to_codes(features, fit_basis([features]))
    assert codes.shape == (600, 8)
    found = codes.astype(np.int32) @ codes.T.astype(np.int32) / 127**2
    assert np.abs(found - cosines(features.astype(np.float64))).max() < 0.02


def test_what_has_no_direction_is_zero():
    features = directions(num=4)
    basis = fit_basis([features])
    features[1], features[2, 5] = 0, np.nan
    codes = to_codes(features, basis)
    assert not codes[1:3].any()
    assert codes[[0, 3]].any(axis=1).all()
    rows, places = sampled(features[[0, 1, 3]], np.arange(9, dtype=np.float32).reshape(3, 3))
    np.testing.assert_array_equal(places[:, 0], [0, 6])
    assert len(rows) == 2


def test_colours_without_position_have_no_linear_relation_to_it():
    rng = np.random.default_rng(1)
    position = rng.uniform(-20, 20, (800, 4))
    other = rng.normal(size=(800, 6))
    mixing = rng.normal(size=(10, 16))
    features = np.column_stack([position / 10, other]) @ mixing + 3 * rng.normal(size=16)
    codes = to_codes(features.astype(np.float32), fit_basis([features.astype(np.float32)]))
    unit = codes / np.linalg.norm(codes.astype(np.float64), axis=1, keepdims=True)

    def relation(basis):
        shades = (unit - basis.mean) @ basis.axes.T
        both = np.corrcoef(np.column_stack([shades, position]).T)
        return np.abs(both[:3, 3:]).max()

    assert relation(fit_pca(codes)) > 0.3
    assert relation(fit_pca(codes, without=position)) < 0.01


def test_a_component_that_position_explains_wholly_does_not_come_back():
    position = np.linspace(-1, 1, 50)[:, None]
    features = np.column_stack([np.ones(50), position[:, 0]])
    assert not fit_pca(features, without=np.column_stack([position, position**2])).axes.any()


@pytest.mark.parametrize("seed", range(3))
def test_clusters_are_the_groups_there_are(seed):
    rng = np.random.default_rng(seed)
    centres = np.linalg.qr(rng.normal(size=(12, 5)))[0].T
    group = rng.integers(0, 5, 400)
    codes = np.rint(127 * (centres[group] + 0.05 * rng.normal(size=(400, 12)))).clip(-127, 127)
    found = nearest_cluster(codes.astype(np.int8), fit_clusters(codes.astype(np.int8), 5))
    pairs = set(zip(group.tolist(), found.tolist(), strict=True))
    assert len(pairs) == 5 == len({b for _, b in pairs})


def test_equal_features_are_one_cluster():
    codes = np.full((9, 4), 60, np.int8)
    assert len(fit_clusters(codes)) == 1
    assert nearest_cluster(codes, fit_clusters(codes)).tolist() == [0] * 9
    assert nearest_cluster(codes[:0], fit_clusters(codes)).shape == (0,)
