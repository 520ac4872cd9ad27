import numpy as np
import pytest

from lidistill.figures.features import correlation, fit_pca, pca_colors, similarity_colors


def _clusters(rng, *, channels=16, size=50):
    centres = rng.normal(size=(4, channels))
    which = np.repeat(np.arange(4), size)
    noise = rng.normal(scale=0.02, size=(len(which), channels))
    return (centres[which] + noise).astype(np.float32), which


def test_points_with_like_features_get_like_colours_and_others_do_not():
    features, which = _clusters(np.random.default_rng(0))
    colors = pca_colors(features).astype(float)
    assert colors.shape == (200, 3)
    centres = np.array([colors[which == i].mean(axis=0) for i in range(4)])
    inside = max(np.linalg.norm(colors[which == i] - centres[i], axis=1).mean() for i in range(4))
    between = min(np.linalg.norm(centres[i] - centres[j]) for i in range(4) for j in range(i))
    assert between > 3 * inside


def test_colours_reach_from_dark_to_bright_on_every_component():
    colors = pca_colors(np.random.default_rng(1).normal(size=(500, 8)))
    assert colors.dtype == np.uint8
    assert (colors.min(axis=0) == 0).all()
    assert (colors.max(axis=0) == 255).all()


def test_colours_depend_on_the_direction_of_a_feature_only():
    rng = np.random.default_rng(2)
    features = rng.normal(size=(100, 6))
    lengths = rng.uniform(0.1, 10, size=(100, 1))
    np.testing.assert_allclose(
        pca_colors(features).astype(int), pca_colors(features * lengths).astype(int), atol=1
    )


def test_a_basis_gives_a_part_of_the_points_the_same_colours_as_all_of_them():
    features, _ = _clusters(np.random.default_rng(3))
    basis = fit_pca(features)
    np.testing.assert_array_equal(
        pca_colors(features[20:60], basis=basis), pca_colors(features)[20:60]
    )


def test_axes_are_the_leading_eigenvectors_with_the_largest_entry_positive():
    features = np.random.default_rng(4).normal(size=(300, 7)) * np.arange(1, 8)
    basis = fit_pca(features)
    unit = features / np.linalg.norm(features, axis=1, keepdims=True)
    _, _, expected = np.linalg.svd(unit - unit.mean(axis=0), full_matrices=False)
    np.testing.assert_allclose(np.abs(np.sum(basis.axes * expected[:3], axis=1)), 1, atol=1e-4)
    assert all(axis[np.abs(axis).argmax()] > 0 for axis in basis.axes)


def test_the_order_of_the_points_changes_no_colour():
    features, _ = _clusters(np.random.default_rng(5))
    order = np.random.default_rng(6).permutation(len(features))
    difference = pca_colors(features)[order].astype(int) - pca_colors(features[order])
    assert np.abs(difference).max() <= 1


def test_outliers_do_not_take_the_colours_of_the_others():
    features, _ = _clusters(np.random.default_rng(7), size=200)
    spoilt = features.copy()
    spoilt[0] = -features.mean(axis=0) * 1e6
    colors = pca_colors(spoilt)
    assert np.ptp(colors[1:], axis=0).min() > 150


@pytest.mark.parametrize("channels", [1, 2])
def test_fewer_than_three_channels_leave_the_other_colours_in_the_middle(channels):
    features = np.random.default_rng(8).normal(size=(50, channels))
    colors = pca_colors(features)
    assert (colors[:, channels:] == 128).all()


def test_equal_features_are_grey_and_zero_features_do_no_harm():
    assert (pca_colors(np.ones((5, 4))) == 128).all()
    assert (pca_colors(np.zeros((5, 4))) == 128).all()


def test_no_feature_at_all_is_an_error():
    with pytest.raises(ValueError, match="at least one point"):
        fit_pca(np.zeros((0, 4)))


def test_a_basis_of_another_space_is_an_error():
    with pytest.raises(ValueError, match="basis"):
        pca_colors(np.ones((5, 4)), basis=fit_pca(np.ones((5, 3))))


def test_correlation_is_the_cosine_to_the_chosen_point():
    features = np.array([[2.0, 0.0], [0.0, 3.0], [-1.0, 0.0], [5.0, 5.0], [0.0, 0.0]])
    expected = [1.0, 0.0, -1.0, np.sqrt(0.5), 0.0]
    np.testing.assert_allclose(correlation(features, 0), expected, atol=1e-6)


def test_similar_is_red_opposite_is_blue_and_half_way_is_pale():
    blue, pale, red = similarity_colors(np.array([-1.0, 0.0, 1.0])).astype(int)
    assert red[0] > red[2] + 100
    assert blue[2] > blue[0] + 100
    assert pale.min() > 200


def test_colours_of_similarities_are_stretched_between_low_and_high():
    stretched = similarity_colors(np.array([0.4, 0.5, 0.6, 0.9]), low=0.4, high=0.6)
    plain = similarity_colors(np.array([-1.0, 0.0, 1.0, 1.0]))
    np.testing.assert_array_equal(stretched, plain)


def test_an_empty_range_of_similarities_is_an_error():
    with pytest.raises(ValueError, match="high > low"):
        similarity_colors(np.zeros(3), low=1.0, high=1.0)
