import numpy as np
import pytest
import torch
from fakes.batches import waffle
from fakes.scan import COLORS, NUM_POINTS
from pydantic import ValidationError

from lidistill.backbones.waffleiron.grid import GridConfig
from lidistill.datasets.sensors import SENSORS
from lidistill.errors import FileFormatError, UnknownNameError
from lidistill.loading.collate import collate
from lidistill.loading.loader import step_batches
from lidistill.loading.order import FrameOrder, StepPlan
from lidistill.samples.augmentation import AugmentationConfig
from lidistill.samples.distillation import SamplingConfig, distillation_sample, sample_rng
from lidistill.samples.labelled import labelled_sample

PREPARER = waffle()
HW = (24, 48)
PLAIN = SamplingConfig(image_size_hw=HW, augmentation=AugmentationConfig(kind="none"))


def distil(frame, config=PLAIN, seed=0, **options):
    return distillation_sample(frame, config, PREPARER, sample_rng(seed, 0, 0), **options)


def test_the_student_sees_the_points_of_one_camera_and_each_has_a_pixel_of_it(frame):
    sample = distil(frame)
    assert sample.pairs.point.tolist() == list(range(len(sample)))
    [path] = sample.image_paths
    view = next(view for view in frame.views if view.image_path == path)
    points = frame.points[sample.source]
    camera_xyz = points @ view.T_cam_lidar[:3, :3].T
    uv = camera_xyz[:, :2] / camera_xyz[:, 2:] * 60 + [60, 30]
    expected = np.floor(np.floor(uv) * [48 / 120, 24 / 60])
    assert (camera_xyz[:, 2] > 0).all()
    np.testing.assert_array_equal(sample.pairs.uv, expected)


def test_images_are_those_of_the_drawn_camera(frame):
    for seed in range(4):
        sample = distil(frame, seed=seed)
        assert sample.images.shape == (1, 3, *HW)
        assert sample.images.dtype == torch.uint8
        color = COLORS[sample.image_paths[0].stem]
        assert sample.images[0, :, 5, 7].tolist() == list(color)


def test_every_camera_is_drawn(frame):
    drawn = [distil(frame, seed=s, load_images=False).image_paths[0].stem for s in range(60)]
    assert min(drawn.count(name) for name in COLORS) > 10


def test_a_camera_that_sees_nothing_gives_way_to_another(make_frame):
    frame = make_frame()
    ahead = np.abs(frame.points) * np.float32([1, -0.05, 1])
    only_front = make_frame(points=ahead)
    for seed in range(8):
        assert distil(only_front, seed=seed).image_paths[0].stem == "front"


def test_a_camera_that_sees_only_points_outside_the_field_of_view_gives_way_too(make_frame):
    points = make_frame().points.copy()
    points[:1000] = np.float32([90, 0, 0]) + 0.2 * points[:1000]
    points[1000:] = np.float32([0, 30, 0]) + 0.2 * points[1000:]
    for seed in range(8):
        assert distil(make_frame(points=points), seed=seed).image_paths[0].stem == "left"


def test_a_frame_that_no_camera_sees_is_named(make_frame):
    right = np.float32([[0, -5, 0]]) + np.zeros((NUM_POINTS, 1), np.float32)
    with pytest.raises(FileFormatError, match=r"drive/07.*front, left, back"):
        distil(make_frame(points=right))


@pytest.mark.parametrize("cameras", ["one", "all"])
def test_a_frame_without_cameras_is_named(make_frame, cameras):
    config = PLAIN.model_copy(update={"cameras": cameras})
    with pytest.raises(FileFormatError, match=r"drive/07.*has no image"):
        distil(make_frame(views=()), config)


def test_all_cameras_together_pair_every_point_with_every_view_that_sees_it(make_frame):
    frame = make_frame()
    doubled = make_frame(views=(*frame.views, frame.views[0]))
    config = PLAIN.model_copy(update={"cameras": "all"})
    sample = distil(doubled, config)
    assert [path.stem for path in sample.image_paths] == ["front", "left", "back", "front"]
    assert set(sample.pairs.point.tolist()) == set(range(len(sample)))
    by_view = [sample.pairs.point[sample.pairs.view == view].tolist() for view in range(4)]
    assert by_view[0] == by_view[3]
    assert sample.images.shape == (4, 3, *HW)


def test_cameras_that_see_nothing_are_left_out_of_all(make_frame):
    frame = make_frame()
    forward = make_frame(points=np.abs(frame.points) * np.float32([1, -0.05, 1]))
    sample = distil(forward, PLAIN.model_copy(update={"cameras": "all"}))
    assert [path.stem for path in sample.image_paths] == ["front"]


def test_the_student_may_see_all_points(frame):
    config = PLAIN.model_copy(update={"points": "all"})
    sample, paired = distil(frame, config), distil(frame)
    assert len(sample) > 2 * len(paired)
    np.testing.assert_array_equal(sample.source[sample.pairs.point], paired.source)
    assert torch.equal(sample.pairs.uv, paired.pairs.uv)


@pytest.mark.parametrize("points", ["paired", "all"])
def test_too_many_points_are_limited_around_one_that_a_camera_sees(frame, points):
    config = PLAIN.model_copy(update={"max_points": 100, "points": points})
    for seed in range(5):
        sample = distil(frame, config, seed)
        assert len(sample) == 100
        distance = torch.linalg.vector_norm(sample.coords - sample.coords[0], dim=1)
        assert bool((distance.diff() >= 0).all())
        assert 0 in sample.pairs.point.tolist()


def test_a_centre_with_nothing_but_far_points_around_gives_way_to_another(make_frame):
    rng = np.random.default_rng(0)
    points = rng.uniform(-2, 2, (NUM_POINTS, 3)).astype(np.float32)
    points[:, 0] += np.where(np.arange(NUM_POINTS) < 0.9 * NUM_POINTS, 150, 20)
    config = PLAIN.model_copy(update={"max_points": 50})
    for seed in range(12):
        sample = distil(make_frame(points=points), config, seed=seed)
        assert 0 < len(sample) <= 50
        assert (sample.coords[:, 0] < 64).all()


def test_images_are_not_opened_where_none_are_wanted(frame):
    for view in frame.views:
        view.image_path.unlink()
    sample = distil(frame, load_images=False)
    assert sample.images is None
    assert len(sample.image_paths) == 1


def test_one_seed_epoch_and_frame_determine_a_sample(frame):
    config = SamplingConfig(image_size_hw=HW)

    def coords(*key):
        return distillation_sample(
            frame, config, PREPARER, sample_rng(*key), load_images=False
        ).coords

    assert torch.equal(coords(3, 1, 4), coords(3, 1, 4))
    others = [coords(*key) for key in [(4, 1, 4), (3, 2, 4), (3, 1, 5), (3, 4, 1)]]
    assert not any(torch.equal(coords(3, 1, 4), other) for other in others)


def test_the_number_of_workers_changes_nothing(frame):
    config = SamplingConfig(image_size_hw=HW)
    plan = StepPlan(order=FrameOrder(sizes=(3,), seed=0), batch_size=2, micro_batch=1)

    def make(epoch, index):
        return distillation_sample(frame, config, PREPARER, sample_rng(0, epoch, index))

    runs = [
        [
            batch
            for step in step_batches(make, collate, plan, start=0, stop=3, workers=w)
            for batch in step
        ]
        for w in (0, 2)
    ]
    assert len(runs[0]) == len(runs[1]) == 6
    for alone, helped in zip(*runs, strict=True):
        for name in ("features", "images"):
            assert torch.equal(getattr(alone, name), getattr(helped, name))
        for name in ("neighbors", "cells"):
            assert torch.equal(getattr(alone.inputs, name), getattr(helped.inputs, name))


def test_features_are_standardised_intensity_position_and_radius(frame):
    sample = distil(frame, SamplingConfig(image_size_hw=HW))
    sensor = SENSORS["pandar64"]
    intensity = (frame.intensity[sample.source] - sensor.intensity_mean) / sensor.intensity_std
    np.testing.assert_allclose(sample.features[:, 0], intensity, rtol=1e-5)
    assert torch.equal(sample.features[:, 1:4], sample.coords)
    radius = torch.linalg.vector_norm(sample.coords, dim=1)
    torch.testing.assert_close(sample.features[:, 4], radius)


def test_points_outside_the_field_of_view_are_cropped_with_their_pairs(frame):
    grid = GridConfig(fov_min=(-6.0, -6.0, -2.0), fov_max=(6.0, 6.0, 2.0))
    sample = distillation_sample(frame, PLAIN, waffle(grid), sample_rng(0, 0, 0))
    assert 0 < len(sample) < len(distil(frame))
    assert bool((sample.coords.abs() < torch.tensor([6.0, 6.0, 2.0])).all())
    assert sample.pairs.point.tolist() == list(range(len(sample)))


def test_an_unknown_sensor_is_named(make_frame):
    with pytest.raises(UnknownNameError, match="pandar64"):
        distil(make_frame(sensor="pandar46"))


def test_the_frame_is_left_alone(frame):
    before = frame.points.copy(), frame.intensity.copy()
    labelled_sample(frame, SamplingConfig(), PREPARER, sample_rng(0, 0, 0))
    distil(frame, SamplingConfig(image_size_hw=HW))
    np.testing.assert_array_equal(frame.points, before[0])
    np.testing.assert_array_equal(frame.intensity, before[1])


@pytest.mark.parametrize("wrong", [{"voxel_size": 0}, {"max_points": 0}, {"voxels": 1}])
def test_settings_without_a_meaning_are_refused(wrong):
    with pytest.raises(ValidationError):
        SamplingConfig(**wrong)
