import dataclasses

import numpy as np
import pytest
from fakes.rays import pixel_rays

from lidistill.geometry import quaternion_to_matrix, rigid
from lidistill.projection import project
from lidistill.sim.camera import render
from lidistill.sim.files import quaternion
from lidistill.sim.layout import Sky
from lidistill.sim.mesh import Look, quads
from lidistill.sim.raycast import RayWorld
from lidistill.sim.rig import CameraModel
from lidistill.sim.rigs import KITTI, NUSCENES, PANDASET
from lidistill.sim.solids import boxes

SKY = Sky(to_sun=np.array([0.0, 0.6, 0.8]), clouds=0.0, warmth=0.0, drift=(0.0, 0.0))
GROUND = quads([0, 0, 0], [200, 0, 0], [0, 200, 0], Look(color=(0.5, 0.5, 0.5), label=7))


def down_camera(height):
    """A camera that looks straight down, image x to the east, image y to the south."""
    K = np.array([[50.0, 0, 50], [0, 50.0, 40], [0, 0, 1]])
    T = rigid(np.array([[1.0, 0, 0], [0, -1, 0], [0, 0, -1]]), (0, 0, height))
    return CameraModel(name="down", size_hw=(80, 100), K=K, T_body_camera=T)


CAMERAS = [*PANDASET.cameras, *NUSCENES.cameras, *KITTI.cameras]


@pytest.mark.parametrize("camera", CAMERAS, ids=lambda camera: camera.name)
def test_a_point_on_a_pixels_ray_projects_into_that_pixel(camera):
    small = camera.resized((27, 48))
    points = 7.0 * pixel_rays(small) @ small.T_body_camera[:3, :3].T + small.T_body_camera[:3, 3]
    T_camera_body = np.linalg.inv(small.T_body_camera)
    seen = project(points, K=small.K, T_cam_lidar=T_camera_body, size_hw=small.size_hw)
    assert len(seen.index) == 27 * 48
    rows, columns = np.divmod(seen.index, 48)
    np.testing.assert_array_equal(np.floor(seen.uv), np.stack([columns, rows], axis=1))


def test_the_six_cameras_look_all_around():
    forward = {c.name: c.T_body_camera[:2, 2] for c in PANDASET.cameras}
    assert forward["front_camera"][1] > 0.99
    assert forward["back_camera"][1] < -0.99
    assert forward["left_camera"][0] < -0.99
    assert forward["right_camera"][0] > 0.99
    assert forward["front_left_camera"][0] < 0 < forward["front_right_camera"][0]


def test_a_image_shows_a_thing_where_it_lies():
    red = boxes([2.0, 1.0, 0.5], [1, 1, 1], Look(color=(0.9, 0.05, 0.05), label=13))
    camera = down_camera(10.0)
    world = RayWorld(GROUND, red)
    rendering = render(world, camera, camera.T_body_camera, sky=SKY, rng=np.random.default_rng(0))
    top_uv = 50 * np.array([2.0, -1.0]) / 9.0 + [50, 40]
    u, v = top_uv.astype(int)
    assert rendering.label[v, u] == 13
    assert rendering.depth[v, u] == pytest.approx(9.0, rel=0.05)
    r, g, b = rendering.image[v, u].astype(int)
    assert r > g + 60
    assert r > b + 60
    assert rendering.label[5, 5] == 7


def test_a_box_throws_its_shadow_away_from_the_sun():
    camera = down_camera(20.0)
    world = RayWorld(GROUND, boxes([0, 0, 1.5], [2, 2, 3], Look(color=(0.5, 0.5, 0.5), label=41)))
    rendering = render(world, camera, camera.T_body_camera, sky=SKY, rng=np.random.default_rng(0))
    south = rendering.image[44:46, 48:52].mean()  # the sun stands in the north, y > 0
    north = rendering.image[34:36, 48:52].mean()
    assert south < 0.7 * north


def test_the_sky_has_label_zero_and_no_depth():
    camera = dataclasses.replace(down_camera(1.0), T_body_camera=rigid(np.eye(3), (0, 0, 1)))
    rendering = render(
        RayWorld(GROUND), camera, camera.T_body_camera, sky=SKY, rng=np.random.default_rng(0)
    )
    assert (rendering.label == 0).all()
    assert np.isinf(rendering.depth).all()


def test_quaternions_turn_back_into_their_rotation():
    rng = np.random.default_rng(0)
    for q in [*rng.normal(size=(50, 4)), [0, 1, 0, 0], [0, 0, 0, 1], [1, 0, 0, 0]]:
        rotation = quaternion_to_matrix(list(map(float, q)))
        np.testing.assert_allclose(quaternion_to_matrix(quaternion(rotation)), rotation, atol=1e-12)
        assert quaternion(rotation)[0] >= 0
