import numpy as np
import pytest
from fakes.rays import pixel_rays

from lidistill.geometry import rigid
from lidistill.sim.camera import look, render
from lidistill.sim.daylight import shade_of
from lidistill.sim.layout import Sky
from lidistill.sim.mesh import Look, merge, quads
from lidistill.sim.raster import draw_from_above
from lidistill.sim.raycast import Layer, RayWorld
from lidistill.sim.rig import CameraModel
from lidistill.sim.solids import boxes, ellipsoid

GREY = (0.5, 0.5, 0.5)
SKY = Sky(to_sun=np.array([0.0, 0.6, 0.8]), clouds=0.3, warmth=0.0, drift=(0.0, 0.0))
GROUND = quads([0, 0, 0], [80, 0, 0], [0, 80, 0], Look(color=GREY, material="asphalt", label=7))
CAMERA = CameraModel(
    name="ahead",
    size_hw=(60, 96),
    K=np.array([[60.0, 0, 48.3], [0, 58.0, 29.1], [0, 0, 1]]),
    T_body_camera=rigid(np.array([[0.0, 0, 1], [-1, 0, 0], [0, -1, 0]]), (0.0, 0.3, 1.6)),
)


def clutter(seed, num=40):
    """Boxes and balls of random places, sizes and labels; some around the camera itself."""
    rng = np.random.default_rng(seed)
    parts = []
    for i in range(num):
        look_ = Look(color=tuple(rng.uniform(0.1, 0.9, 3)), label=20 + i)
        place = rng.uniform([-3, -8, 0], [25, 8, 4])
        size = rng.uniform(0.2, 2.5, 3)
        parts.append(boxes(place, size, look_) if i % 2 else ellipsoid(place, size / 2, look_))
    return merge(parts)


@pytest.mark.parametrize("seed", range(3))
def test_drawn_pixels_show_what_rays_meet(seed):
    world = RayWorld(clutter(seed), base=RayWorld(GROUND))
    T_street_camera = CAMERA.T_body_camera
    rendering = render(world, CAMERA, T_street_camera, sky=SKY, rng=np.random.default_rng(0))
    rays = (pixel_rays(CAMERA) @ T_street_camera[:3, :3].T).astype(np.float32)
    eye = np.broadcast_to(T_street_camera[:3, 3].astype(np.float32), rays.shape)
    hits = world.cast(eye, rays)
    label, depth = np.zeros(len(rays), dtype=np.uint8), np.full(len(rays), np.inf)
    label[hits.ray], depth[hits.ray] = world.label[hits.face], hits.distance
    near = depth < 0.2  # the drawn image starts a little in front of the lens
    same = (rendering.label.ravel() == label)[~near]
    assert len(np.unique(label)) > 8
    assert same.mean() > 0.998
    np.testing.assert_allclose(
        rendering.depth.ravel()[~near][same], depth[~near][same], rtol=1e-3, atol=1e-3
    )


def test_layers_meet_rays_like_one_scene():
    things = clutter(5)
    rays = pixel_rays(CAMERA).astype(np.float32) @ np.array(
        [[0, -1, 0], [0, 0, -1], [1, 0, 0]], dtype=np.float32
    )
    eye = np.broadcast_to(np.array([0, 0.3, 1.6], dtype=np.float32), rays.shape)
    whole, layered = RayWorld(GROUND, things), RayWorld(things, base=RayWorld(GROUND))
    one, two = whole.cast(eye, rays), layered.cast(eye, rays)
    np.testing.assert_array_equal(one.ray, two.ray)
    np.testing.assert_array_equal(one.distance, two.distance)
    np.testing.assert_array_equal(whole.label[one.face], layered.label[two.face])


def test_a_surface_that_reaches_behind_the_camera_fills_the_image_below_the_horizon():
    seen = look(RayWorld(GROUND), CAMERA, CAMERA.T_body_camera)
    horizon = CAMERA.K[1, 2]
    below = np.arange(60) > horizon + 3
    assert (seen.face[below] >= 0).all()
    assert (seen.face[: int(horizon) - 1] < 0).all()


def test_a_map_from_above_holds_the_highest_surface():
    height = np.full((9, 9), -5, dtype=np.float32)
    layer = Layer(merge([GROUND, boxes([4, 4, 1.5], [2.5, 2.5, 1], Look(color=GREY))]))
    draw_from_above(layer.vertices, layer.mesh.faces, np.eye(3, 4), height)
    expected = np.zeros((9, 9))
    expected[3:6, 3:6] = 2
    np.testing.assert_allclose(height, expected, atol=1e-5)


def test_round_bodies_have_smooth_normals_and_boxes_flat_ones():
    ball = Layer(ellipsoid([0, 0, 0], [1, 1, 1], Look(color=GREY)))
    corner = ball.vertices[ball.mesh.faces]
    away = corner / np.linalg.norm(corner, axis=2, keepdims=True)
    assert np.abs((ball.normals * away).sum(axis=2)).min() > 0.95
    box = Layer(boxes([0, 0, 0], [1, 2, 3], Look(color=GREY)))
    assert (np.sort(np.abs(box.normals), axis=2) == [0, 0, 1]).all()


def test_what_moves_throws_shadows_on_what_stands():
    tall = boxes([8, 0, 3], [1, 1, 6], Look(color=GREY, label=30))
    base, rng = RayWorld(GROUND), np.random.default_rng(0)
    empty, full = (
        render(world, CAMERA, CAMERA.T_body_camera, sky=SKY, rng=rng)
        for world in (base, RayWorld(tall, base=base))
    )
    ground = (full.label == 7) & (empty.label == 7)
    darker = full.image.astype(int).mean(axis=2) < 0.75 * empty.image.astype(int).mean(axis=2)
    assert 20 < (ground & darker).sum() < 0.5 * ground.sum()


def test_under_a_car_less_of_the_sky_is_free():
    shade = shade_of(Layer(merge([GROUND, boxes([0, 0, 1], [4, 2, 1], Look(color=GREY))])), SKY)
    column, row = (shade.cover_frame[:2, 3] + 0.5).astype(int)
    assert shade.cover[row, column, 0] == pytest.approx(1.5, abs=0.1)
    assert shade.cover[row + 40, column, 0] == pytest.approx(0, abs=1e-4)


def test_the_same_generator_gives_the_same_image_and_another_one_other_grain():
    world = RayWorld(clutter(1), base=RayWorld(GROUND))
    first, again, other = (
        render(world, CAMERA, CAMERA.T_body_camera, sky=SKY, rng=np.random.default_rng(seed)).image
        for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(first, again)
    assert 0 < np.abs(first.astype(int) - other).mean() < 8
