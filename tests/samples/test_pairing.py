from pathlib import Path

import numpy as np
import pytest

from lidistill.records import CameraView
from lidistill.samples.pairing import (
    PixelPairs,
    gather_pairs,
    pair_by_numpy,
    pair_view,
    resize_pixels,
    unoccluded,
    without,
)

pytestmark = pytest.mark.usefixtures("both_forms")

T_CAM_LIDAR = np.array([[0, -1, 0, 0], [0, 0, -1, 0], [1, 0, 0, 0], [0, 0, 0, 1]], dtype=np.float64)
"""A camera in the lidar's place that looks along x."""
LENS = np.array([-0.1, 0.02, 1e-3, -1e-3, 0.0])


def camera(**limits):
    return CameraView(
        name="front",
        image_path=Path("front.png"),
        size_hw=(100, 200),
        K=np.array([[50.0, 0, 100.0], [0, 50.0, 50.0], [0, 0, 1]]),
        T_cam_lidar=T_CAM_LIDAR,
        **limits,
    )


def test_points_in_the_image_get_their_pixel():
    points = np.array(
        [
            [10.0, 0.0, 0.0],  # straight ahead: 100, 50
            [-10.0, 0.0, 0.0],  # behind
            [10.0, 4.1, -2.3],  # left and below: 79.5, 61.5
            [10.0, -30.0, 0.0],  # outside to the right
        ]
    )
    pairs = pair_view(points, camera(), (100, 200))
    assert pairs.index.tolist() == [0, 2]
    assert pairs.uv.tolist() == [[100, 50], [79, 61]]
    assert pairs.uv.dtype == np.float32


def test_pixels_follow_the_resized_image():
    points = np.array([[10.0, 4.1, -2.3]])
    assert pair_view(points, camera(), (50, 400)).uv.tolist() == [[158, 30]]


def test_a_pair_belongs_to_a_pixel_before_it_is_scaled():
    uv = np.array([[9.9, 3.9]])
    assert resize_pixels(uv, (10, 10), (20, 20)).tolist() == [[18, 6]]


def test_scaled_pixels_never_leave_the_resized_image():
    edge = np.nextafter(np.array([[1241.0, 376.0]]), 0)
    for to_hw in ((224, 448), (448, 896), (37, 41)):
        column, row = resize_pixels(edge, (376, 1241), to_hw)[0]
        assert (row, column) <= (to_hw[0] - 1, to_hw[1] - 1)


def test_the_limits_of_the_view_are_kept():
    points = np.array([[0.5, 0.0, 0.0], [2.0, 0.0, 0.0], [10.0, -19.9, 0.0]])
    assert pair_view(points, camera(), (100, 200)).index.tolist() == [0, 1, 2]
    assert pair_view(points, camera(near_depth=1.0), (100, 200)).index.tolist() == [1, 2]
    assert pair_view(points, camera(near_x=3.0), (100, 200)).index.tolist() == [2]
    assert pair_view(points, camera(border_px=1.0), (100, 200)).index.tolist() == [0, 1]


def pixel_pairs(*index):
    uv = np.float32([[i, 10 * i] for i in index]).reshape(-1, 2)
    return PixelPairs(index=np.array(index, dtype=np.int64), uv=uv)


def test_pairs_follow_the_points_that_a_sample_keeps():
    position = np.array([3, -1, 0, 2, -1, 1])
    pairs, used = gather_pairs(position, [pixel_pairs(0, 1, 2, 3), pixel_pairs(3, 4, 5)])
    assert used == (0, 1)
    assert pairs.point.tolist() == [0, 2, 3, 1, 2]
    assert pairs.view.tolist() == [0, 0, 0, 1, 1]
    assert pairs.uv[:, 0].tolist() == [2, 3, 0, 5, 3]


def test_views_without_a_pair_are_not_counted():
    position = np.array([-1, 0, 1])
    pairs, used = gather_pairs(position, [pixel_pairs(0), pixel_pairs(1, 2), pixel_pairs()])
    assert used == (1,)
    assert pairs.view.tolist() == [0, 0]


def test_nothing_that_survives_gives_no_pairs():
    pairs, used = gather_pairs(np.array([-1]), [pixel_pairs(0)])
    assert (len(pairs), used) == (0, ())


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    "limits", [{}, {"near_depth": 1.0, "near_x": 2.0, "border_px": 1.0}, {"distortion": LENS}]
)
def test_both_forms_pair_alike(limits, dtype):
    rng = np.random.default_rng(0)
    points = rng.normal(0, [20, 20, 3], (30_000, 3)).astype(dtype)
    points[:100, 0] = 0  # on the plane of the camera
    for scan in (points, np.hstack([points, points])[:, :3]):
        found = pair_view(scan, camera(**limits), (57, 113))
        expected = pair_by_numpy(scan, camera(**limits), (57, 113))
        assert 500 < len(found.index) < 29_000
        assert np.array_equal(found.index, expected.index)
        assert np.array_equal(found.uv, expected.uv)
        assert found.uv.dtype == expected.uv.dtype


def pole_and_wall():
    """A pole 5 m and a wall 20 m ahead, as a lidar between them and the camera's left sees them."""
    pole = [(5.0, 0.0, z) for z in np.arange(-1.5, 1.5, 0.1)]
    wall = [(20.0, y, z) for y in np.arange(-3, 3, 0.2) for z in np.arange(-1.5, 1.5, 0.2)]
    return np.array(pole + wall), len(pole)


@pytest.mark.parametrize("limits", [{}, {"distortion": LENS}])
def test_what_a_camera_sees_past_a_pole_is_kept_and_what_is_behind_it_is_not(limits):
    points, num_pole = pole_and_wall()
    view = camera(**limits)
    pairs = pair_view(points, view, (50, 100))
    kept = unoccluded(pairs, points, view)
    lost = np.setdiff1d(pairs.index, kept.index)
    assert kept.index[:num_pole].tolist() == list(range(num_pole))
    assert 10 < len(lost) < len(pairs.index) / 3
    aside = np.abs(points[lost, 1] / points[lost, 0])  # of the ray to the pole, as a tangent
    assert aside.max() < 2.1 / 50  # two cells of one pixel
    stays = np.isin(pairs.index, kept.index)
    assert np.array_equal(pairs.uv[stays], kept.uv)


def test_points_that_no_image_shows_hide_nothing():
    points, num_pole = pole_and_wall()
    added = np.arange(len(points)) < num_pole
    pairs = without(pair_view(points, camera(), (50, 100)), added)
    assert np.array_equal(unoccluded(pairs, points, camera()).index, pairs.index)


@pytest.mark.parametrize("limits", [{}, {"distortion": LENS}])
def test_both_forms_find_the_same_points_occluded(limits, monkeypatch):
    points = np.random.default_rng(0).normal(0, [20, 20, 3], (30_000, 3)).astype(np.float32)
    found = []
    for compile_ in ("0", "1"):
        monkeypatch.setenv("LIDISTILL_COMPILE", compile_)
        pairs = pair_view(points, camera(**limits), (57, 113))
        found.append(unoccluded(pairs, points, camera(**limits)).index)
    assert np.array_equal(*found)
    assert 100 < len(found[0]) < len(pairs.index) / 2
