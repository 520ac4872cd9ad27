import numpy as np
import pytest

from lidistill.geometry import (
    check_pinhole,
    check_rigid,
    check_unit,
    invert_rigid,
    quaternion_to_matrix,
    rigid,
    transform_points,
)
from lidistill.projection import distort, project

K = np.array([[100.0, 0.0, 50.0], [0.0, 120.0, 40.0], [0.0, 0.0, 1.0]])
FACING = np.array([[0.0, -1, 0, 0], [0, 0, -1, 0], [1, 0, 0, 0], [0, 0, 0, 1]])  # looks along x


def random_rigid(seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rigid(quaternion_to_matrix(rng.normal(size=4)), rng.normal(size=3) * 10)


def test_a_quarter_turn_about_z_takes_x_to_y() -> None:
    rotation = quaternion_to_matrix([1.0, 0.0, 0.0, 1.0])
    np.testing.assert_allclose(rotation @ [1, 0, 0], [0, 1, 0], atol=1e-15)
    np.testing.assert_allclose(rotation @ [0, 1, 0], [-1, 0, 0], atol=1e-15)


@pytest.mark.parametrize("seed", range(5))
def test_rotations_are_orthonormal_whatever_the_length_of_the_quaternion(seed: int) -> None:
    quaternion = np.random.default_rng(seed).normal(size=4)
    rotation = quaternion_to_matrix(quaternion * 7)
    np.testing.assert_allclose(rotation @ rotation.T, np.eye(3), atol=1e-14)
    assert np.linalg.det(rotation) == pytest.approx(1)
    np.testing.assert_allclose(rotation, quaternion_to_matrix(-quaternion), atol=1e-14)


def test_huge_damaged_numbers_are_refused_without_a_warning() -> None:
    huge = np.full((4, 4), 1e300)
    for refused in (
        lambda: check_unit(huge[0]),
        lambda: check_rigid(huge, reach=10),
        lambda: check_rigid(rigid(np.eye(3), huge[:3, 0]), reach=10),
        lambda: check_pinhole(huge[:3, :3] * 1e7, (48, 80)),
    ):
        with pytest.raises(ValueError, match=r"rotation|shift|focal|axis"):
            refused()


@pytest.mark.parametrize(
    "quaternion", [[0.0, 0, 0, 0], [1.0, 0, 0], [np.nan, 0, 0, 1], [np.inf, 0, 0, 1]]
)
def test_numbers_that_are_no_rotation_are_refused(quaternion: list[float]) -> None:
    with pytest.raises(ValueError, match="four finite numbers"):
        quaternion_to_matrix(quaternion)


def test_the_inverse_of_a_rigid_transform_undoes_it() -> None:
    T = random_rigid(1)
    np.testing.assert_allclose(invert_rigid(T), np.linalg.inv(T), atol=1e-12)
    points = np.random.default_rng(0).normal(size=(20, 3)).astype(np.float32)
    there = transform_points(T, points)
    assert there.dtype == np.float64
    np.testing.assert_allclose(transform_points(invert_rigid(T), there), points, atol=1e-6)


def test_inner_frames_of_a_chain_cancel() -> None:
    T_c_b, T_b_a = random_rigid(2), random_rigid(3)
    points = np.random.default_rng(1).normal(size=(9, 3))
    chained = transform_points(T_c_b, transform_points(T_b_a, points))
    np.testing.assert_allclose(transform_points(T_c_b @ T_b_a, points), chained, atol=1e-12)


def test_a_known_point_falls_on_its_pixel() -> None:
    seen = project(np.array([[10.0, -2.0, 1.0]]), K=K, T_cam_lidar=FACING, size_hw=(80, 100))
    np.testing.assert_allclose(seen.uv, [[70, 28]])
    np.testing.assert_allclose(seen.depth, [10])
    assert seen.index.tolist() == [0]


def test_projection_equals_a_loop_written_from_its_definition() -> None:
    rng = np.random.default_rng(4)
    points = rng.uniform(-20, 20, (3000, 3))
    limits = {"near_depth": 1.0, "near_x": 2.0, "border_px": 1.0}
    expected = []
    for i, (x, y, z) in enumerate(points):
        depth = x
        u, v = 100 * -y / depth + 50, 120 * -z / depth + 40
        if depth > 1 and x > 2 and 0 < u < 99 and 0 < v < 79:
            expected.append((i, u, v, depth))
    seen = project(points, K=K, T_cam_lidar=FACING, size_hw=(80, 100), **limits)
    found = np.column_stack([seen.index, seen.uv, seen.depth])
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    assert len(expected) > 20


def test_points_on_the_limits_are_outside() -> None:
    at = {"depth": [1.0, 0, 0], "left": [10.0, 5, 0], "right": [10.0, -5, 0], "top": [12.0, 0, 4]}
    for point in at.values():
        seen = project(
            np.array([point]), K=K, T_cam_lidar=FACING, size_hw=(80, 100), near_depth=1.0
        )
        assert len(seen.index) == 0


def test_points_behind_the_camera_are_not_mirrored_in() -> None:
    seen = project(np.array([[-10.0, 0.0, 0.0]]), K=K, T_cam_lidar=FACING, size_hw=(80, 100))
    assert len(seen.index) == 0
    assert seen.uv.shape == (0, 2)


def test_no_points_give_no_pixels() -> None:
    seen = project(np.zeros((0, 3)), K=K, T_cam_lidar=FACING, size_hw=(80, 100))
    assert seen.uv.shape == (0, 2)


def test_a_lens_without_coefficients_is_a_pinhole() -> None:
    points = np.random.default_rng(5).uniform(1, 20, (50, 3))
    camera = {"K": K, "T_cam_lidar": FACING, "size_hw": (800, 1000)}
    plain = project(points, **camera)
    bent = project(points, **camera, distortion=np.zeros(5))
    np.testing.assert_array_equal(plain.index, bent.index)
    np.testing.assert_allclose(plain.uv, bent.uv)


def test_distortion_equals_its_formula() -> None:
    k1, k2, p1, p2, k3 = coefficients = np.array([-0.3, 0.1, 1e-3, -2e-3, 0.01])
    x, y = 0.3, -0.2
    r2 = x * x + y * y
    radial = 1 + k1 * r2 + k2 * r2**2 + k3 * r2**3
    expected = [
        x * radial + 2 * p1 * x * y + p2 * (r2 + 2 * x * x),
        y * radial + p1 * (r2 + 2 * y * y) + 2 * p2 * x * y,
    ]
    bent = distort(np.array([[x, y]]), coefficients)
    np.testing.assert_allclose(bent.xy, [expected], rtol=1e-14)
    assert bent.monotone.tolist() == [True]


def test_points_beyond_the_turning_radius_do_not_fold_back_into_the_image() -> None:
    # r (1 - 0.3 r^2) grows up to r = 1.054 and falls back to 0 at r = 1.826.
    coefficients = np.array([-0.3, 0, 0, 0, 0])
    radii = np.array([0.5, 1.0, 1.1, 1.8])
    bent = distort(np.column_stack([radii, np.zeros(4)]), coefficients)
    assert bent.monotone.tolist() == [True, True, False, False]
    points = np.column_stack([np.full(4, 10.0), -10 * radii, np.zeros(4)])
    seen = project(points, K=K, T_cam_lidar=FACING, size_hw=(80, 1000), distortion=coefficients)
    assert seen.index.tolist() == [0, 1]


def test_a_polynomial_that_grows_again_far_outside_stays_excluded() -> None:
    coefficients = np.array([-0.5, 0.06, 0, 0, 0])
    radius2 = np.array([0.2, 3.0, 60.0])
    xy = np.column_stack([np.sqrt(radius2), np.zeros(3)])
    growth = 1 + 3 * -0.5 * radius2 + 5 * 0.06 * radius2**2
    assert growth[2] > 0
    assert distort(xy, coefficients).monotone.tolist() == [True, False, False]
