import math

import numpy as np
import pytest
from pydantic import ValidationError

from lidistill.samples.augmentation import (
    Augmentation,
    AugmentationConfig,
    flip,
    rotate,
    scale,
    sphere_crop,
    with_radius,
)


@pytest.fixture
def points():
    return np.random.default_rng(0).normal(0, 5, (60, 3)).astype(np.float32)


def draws_of(config, number=2000):
    rng = np.random.default_rng(5)
    return [config.draw(rng) for _ in range(number)]


def test_a_quarter_turn_takes_x_to_y():
    turned = rotate(np.array([[1.0, 0.0, 7.0], [0.0, 1.0, 7.0]]), math.pi / 2)
    np.testing.assert_allclose(turned, [[0, 1, 7], [-1, 0, 7]], atol=1e-15)


def test_transforms_keep_the_precision_and_leave_their_input_alone(points):
    before = points.copy()
    for result in (rotate(points, 1.0), flip(points, 1), scale(points, 1.05), with_radius(points)):
        assert result.dtype == points.dtype
        assert not np.shares_memory(result, points)
    np.testing.assert_array_equal(points, before)


def test_a_flip_negates_one_coordinate(points):
    np.testing.assert_array_equal(flip(points, 1), points * np.float32([1, -1, 1]))


def test_the_radius_is_the_distance_from_the_sensor():
    np.testing.assert_array_equal(with_radius(np.array([[2.0, 3.0, 6.0]])), [[2, 3, 6, 7]])


def test_the_limit_keeps_the_points_nearest_to_the_centre(points):
    kept = sphere_crop(points, 11, 20)
    distance = np.linalg.norm(points - points[11], axis=1)
    assert kept[0] == 11
    np.testing.assert_array_equal(kept, np.argsort(distance)[:20])


def test_a_cloud_within_the_limit_keeps_its_order(points):
    np.testing.assert_array_equal(sphere_crop(points, 11, 60), np.arange(60))


def test_the_default_augmentation_changes_nothing(points):
    augmented = Augmentation().apply(points)
    np.testing.assert_array_equal(augmented.coords, points)
    np.testing.assert_array_equal(augmented.channels, with_radius(points))


def test_features_of_distillation_are_those_of_the_augmented_points(points):
    augmentation = Augmentation(angle=0.7, flip_axis=0, factor=1.1)
    augmented = augmentation.apply(points)
    expected = rotate(points.astype(np.float64), 0.7) * [-1.1, 1.1, 1.1]
    np.testing.assert_allclose(augmented.coords, expected, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(augmented.channels, with_radius(expected), rtol=1e-5, atol=1e-5)


def test_fine_tuning_turns_features_on_their_own_flips_coordinates_and_scales_features(points):
    augmentation = Augmentation(angle=0.7, flip_axis=1, factor=0.9, feature_angle=-2.0)
    augmented = augmentation.apply(points)
    wide = points.astype(np.float64)
    np.testing.assert_allclose(augmented.coords, rotate(wide, 0.7) * [1, -1, 1], atol=1e-5)
    expected = with_radius(rotate(wide, -2.0)) * 0.9
    np.testing.assert_allclose(augmented.channels, expected, rtol=1e-5, atol=1e-5)


def test_draws_cover_their_ranges_and_no_more():
    draws = draws_of(AugmentationConfig())
    angles, factors = [d.angle for d in draws], [d.factor for d in draws]
    assert -math.pi <= min(angles) < -3.1
    assert 3.1 < max(angles) <= math.pi
    assert 0.9 <= min(factors) < 0.901
    assert 1.099 < max(factors) <= 1.1
    assert {d.feature_angle for d in draws} == {None}


def test_two_of_three_scans_are_flipped_along_x_as_often_as_along_y():
    axes = [d.flip_axis for d in draws_of(AugmentationConfig())]
    assert {axis: round(axes.count(axis) / len(axes), 1) for axis in (None, 0, 1)} == {
        None: 0.3,
        0: 0.3,
        1: 0.3,
    }


def test_fine_tuning_draws_two_angles_that_do_not_depend_on_each_other():
    draws = draws_of(AugmentationConfig(kind="finetune"))
    angles = np.array([(d.angle, d.feature_angle) for d in draws])
    assert abs(np.corrcoef(angles.T)[0, 1]) < 0.1
    assert (np.abs(angles).max(axis=0) > 3.1).all()


def test_no_augmentation_takes_as_many_numbers_as_any_other():
    ends = set()
    for kind in ("none", "distill", "finetune"):
        rng = np.random.default_rng(0)
        AugmentationConfig(kind=kind).draw(rng)
        ends.add(rng.integers(2**60))
    assert len(ends) == 1
    assert AugmentationConfig(kind="none").draw(np.random.default_rng(0)) == Augmentation()


@pytest.mark.parametrize(
    "wrong", [{"flip_probability": 1.5}, {"scale_range": 1.0}, {"kind": "both"}, {"angle": 1}]
)
def test_settings_without_a_meaning_are_refused(wrong):
    with pytest.raises(ValidationError):
        AugmentationConfig(**wrong)
