import dataclasses
import pickle

import numpy as np
import pytest
import torch
from fakes.batches import waffle
from fakes.scan import scan_frame

from lidistill.errors import FileFormatError
from lidistill.geometry import rigid
from lidistill.samples.augmentation import AugmentationConfig
from lidistill.samples.distillation import SamplingConfig, distillation_sample, sample_rng
from lidistill.samples.on_device import build_sample, raw_sample
from lidistill.samples.teacher_inputs import SINGLE_IMAGE_TEACHER

PREPARER = waffle()
CPU = torch.device("cpu")
PLAIN = SamplingConfig(image_size_hw=(24, 48), voxel_size=0.5)


def both(frame, config, preparer=PREPARER, **options):
    """The sample of the NumPy path, and that of the device after a way through a worker."""
    expected = distillation_sample(frame, config, preparer, sample_rng(3, 1, 2), **options)
    raw = pickle.loads(
        pickle.dumps(raw_sample(frame, config, preparer, sample_rng(3, 1, 2), **options))
    )
    wanted = options.get("wanted", SINGLE_IMAGE_TEACHER)
    return expected, build_sample(raw, config, preparer, CPU, wanted=wanted)


def flat(sample):
    values = {f.name: getattr(sample, f.name) for f in dataclasses.fields(sample)}
    pairs, inputs = values.pop("pairs"), values.pop("inputs")
    values |= {"neighbors": inputs.neighbors, "cells": inputs.cells}
    return values | {"point": pairs.point, "view": pairs.view, "uv": pairs.uv}


def assert_same(expected, found):
    expected, found = flat(expected), flat(found)
    for name, value in expected.items():
        if isinstance(value, torch.Tensor):
            assert value.dtype == found[name].dtype, name
            torch.testing.assert_close(found[name], value, rtol=1e-6, atol=1e-6, msg=name)
            assert value.is_floating_point() or torch.equal(value, found[name]), name
        else:
            assert value == found[name], name


@pytest.mark.parametrize("cameras", ["one", "all"])
@pytest.mark.parametrize("points", ["paired", "all"])
@pytest.mark.parametrize("augmentation", ["distill", "finetune", "none"])
def test_the_sample_is_that_of_the_cpu(tmp_path, cameras, points, augmentation):
    config = PLAIN.model_copy(
        update={
            "cameras": cameras,
            "points": points,
            "max_points": 300,
            "augmentation": AugmentationConfig(kind=augmentation),
        }
    )
    expected, found = both(scan_frame(tmp_path), config)
    assert len(expected) == 300
    assert_same(expected, found)


def test_voxels_of_the_world_and_bent_lenses_give_the_same_sample(tmp_path):
    frame = scan_frame(tmp_path, T_world_lidar=rigid(np.eye(3), [1000.1, -20.2, 3.3]))
    bend = np.array([-0.3, 0.1, 1e-3, -1e-3, 0.0])
    views = tuple(
        dataclasses.replace(view, distortion=bend, near_depth=1.0, border_px=1.0)
        for view in frame.views
    )
    config = PLAIN.model_copy(update={"voxel_frame": "world"})
    assert_same(*both(dataclasses.replace(frame, views=views), config))


def test_points_that_are_not_finite_or_without_labels_or_images_are_left_out_alike(tmp_path):
    frame = scan_frame(tmp_path, labels=None)
    frame.points[::7, 1] = np.nan
    expected, found = both(frame, PLAIN, load_images=False)
    assert found.images is None
    assert_same(expected, found)


def test_a_camera_that_sees_nothing_gives_way_to_the_next_and_its_image(tmp_path):
    frame = scan_frame(tmp_path)
    order = raw_sample(frame, PLAIN, PREPARER, sample_rng(3, 1, 2)).draws.view_order
    blind = [
        dataclasses.replace(view, near_depth=90.0) if number == order[0] else view
        for number, view in enumerate(frame.views)
    ]
    expected, found = both(dataclasses.replace(frame, views=tuple(blind)), PLAIN)
    assert found.image_paths == (frame.views[order[1]].image_path,)
    assert_same(expected, found)


def test_a_frame_without_a_pair_is_named(tmp_path):
    frame = scan_frame(tmp_path)
    frame = dataclasses.replace(
        frame, views=tuple(dataclasses.replace(view, near_depth=90.0) for view in frame.views)
    )
    raw = raw_sample(frame, PLAIN, PREPARER, sample_rng(0, 0, 0))
    with pytest.raises(FileFormatError, match="frame drive/07: none of its"):
        build_sample(raw, PLAIN, PREPARER, CPU)


def test_a_scan_with_one_point_in_view_is_a_sample_of_one(tmp_path):
    frame = scan_frame(
        tmp_path,
        points=np.array([[5.0, 0.1, 0.2]], dtype=np.float32),
        intensity=np.ones(1, dtype=np.float32),
        labels=None,
    )
    expected, found = both(frame, PLAIN)
    assert len(found) == 1
    assert_same(expected, found)


@pytest.mark.parametrize("points", ["paired", "all"])
def test_points_that_a_corruption_added_have_no_pixel(tmp_path, points):
    frame = scan_frame(tmp_path)
    added = np.arange(len(frame.points)) % 3 == 0
    config = PLAIN.model_copy(update={"points": points, "cameras": "all"})
    expected, found = both(dataclasses.replace(frame, added=added), config)
    assert_same(expected, found)
    assert not added[expected.source[expected.pairs.point].numpy()].any()
    plain, _ = both(frame, config)
    assert 0 < len(expected.pairs) < len(plain.pairs)
    assert added[expected.source.numpy()].any() == (points == "all")


@pytest.mark.parametrize("distortion", [None, np.array([-0.3, 0.1, 1e-3, -1e-3, 0.0])])
def test_pairs_of_occluded_points_are_dropped_alike(tmp_path, distortion):
    frame = scan_frame(tmp_path)
    views = tuple(dataclasses.replace(view, distortion=distortion) for view in frame.views)
    frame = dataclasses.replace(frame, views=views, added=np.arange(len(frame.points)) % 5 == 0)
    config = PLAIN.model_copy(update={"points": "all", "cameras": "all", "occluded": "drop"})
    expected, found = both(frame, config)
    assert_same(expected, found)
    plain, _ = both(frame, config.model_copy(update={"occluded": "keep"}))
    assert torch.equal(plain.source, expected.source)
    assert 0 < len(expected.pairs) < 0.9 * len(plain.pairs)
