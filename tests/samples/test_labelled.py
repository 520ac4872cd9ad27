import logging

import numpy as np
import pytest
import torch
from fakes.batches import waffle
from fakes.scan import NUM_POINTS, turn

from lidistill.errors import DatasetNotFoundError, FileFormatError
from lidistill.labels import IGNORE
from lidistill.samples.augmentation import AugmentationConfig
from lidistill.samples.distillation import SamplingConfig, distillation_sample, sample_rng
from lidistill.samples.labelled import labelled_sample, scan_sample

PREPARER = waffle()
PLAIN = SamplingConfig(image_size_hw=(24, 48), augmentation=AugmentationConfig(kind="none"))


def distil(frame, config=PLAIN):
    return distillation_sample(frame, config, PREPARER, sample_rng(0, 0, 0))


def test_voxels_may_be_those_of_the_world(make_frame):
    T_world_lidar = turn(0.3)
    frame = make_frame(T_world_lidar=T_world_lidar)
    world = frame.points @ T_world_lidar[:3, :3].T
    voxels = {tuple(row) for row in np.floor((world - world.min(axis=0)) / 2.0).tolist()}
    config = PLAIN.model_copy(update={"voxel_frame": "world", "voxel_size": 2.0})
    sample = scan_sample(frame, config, PREPARER)
    assert len(sample) == len(voxels)
    with pytest.raises(FileFormatError, match=r"drive/07 has no world pose"):
        distil(make_frame(), config)


def test_a_training_sample_carries_the_labels_of_its_points(frame):
    config = SamplingConfig(max_points=500, augmentation=AugmentationConfig(kind="finetune"))
    sample = labelled_sample(frame, config, PREPARER, sample_rng(0, 0, 0))
    assert len(sample) == 500
    np.testing.assert_array_equal(sample.labels, frame.labels[sample.source])
    assert (sample.inverse, sample.full_labels, sample.pairs) == (None, None, None)


def test_training_needs_labels(make_frame):
    with pytest.raises(DatasetNotFoundError, match=r"drive/07 has no labels"):
        labelled_sample(make_frame(labels=None), PLAIN, PREPARER, sample_rng(0, 0, 0))


def test_evaluation_leads_every_original_point_to_its_nearest_kept_one(frame):
    config = SamplingConfig(voxel_size=3.0, max_points=10)
    sample = scan_sample(frame, config, PREPARER)
    kept = frame.points[sample.source]
    assert 10 < len(sample) < NUM_POINTS
    distance = np.linalg.norm(frame.points[:, None] - kept[None], axis=2)
    np.testing.assert_array_equal(sample.inverse, distance.argmin(axis=1))
    np.testing.assert_array_equal(sample.full_labels, frame.labels)
    np.testing.assert_array_equal(sample.coords, kept)


def test_evaluation_works_without_labels(make_frame):
    sample = scan_sample(make_frame(labels=None), PLAIN, PREPARER)
    assert (sample.labels, sample.full_labels) == (None, None)
    assert len(sample.inverse) == NUM_POINTS


def test_a_scan_outside_the_field_of_view_is_named(make_frame):
    far = make_frame(points=np.full((NUM_POINTS, 3), 500, np.float32))
    with pytest.raises(FileFormatError, match=r"drive/07.*field of view"):
        scan_sample(far, PLAIN, PREPARER)
    with pytest.raises(FileFormatError, match=r"drive/07.*field of view"):
        labelled_sample(far, PLAIN, PREPARER, sample_rng(0, 0, 0))


def test_an_empty_scan_is_named(make_frame):
    empty = make_frame(
        points=np.zeros((0, 3), np.float32),
        intensity=np.zeros(0, np.float32),
        labels=np.zeros(0, np.uint8),
    )
    with pytest.raises(FileFormatError, match=r"drive/07"):
        distil(empty)
    with pytest.raises(FileFormatError, match=r"drive/07"):
        scan_sample(empty, PLAIN, PREPARER)
    with pytest.raises(FileFormatError, match=r"drive/07"):
        labelled_sample(empty, PLAIN, PREPARER, sample_rng(0, 0, 0))


def test_points_that_are_not_finite_are_dropped_counted_and_ignored(
    make_frame, caplog, monkeypatch
):
    monkeypatch.setattr("lidistill.samples.voxels._said", set())
    frame = make_frame()
    points, intensity = frame.points.copy(), frame.intensity.copy()
    points[[5, 9], [0, 2]] = [np.nan, np.inf]
    intensity[11] = np.nan
    broken = make_frame(points=points, intensity=intensity)
    with caplog.at_level(logging.INFO, logger="lidistill"):
        sample = scan_sample(broken, PLAIN, PREPARER)
        scan_sample(broken, PLAIN, PREPARER)
    assert "left out with their labels (3 of 3000 in drive/07; said once)" in caplog.text
    assert len(caplog.records) == 1
    assert not set(sample.source.tolist()) & {5, 9, 11}
    assert sample.full_labels[[5, 9, 11]].tolist() == [IGNORE] * 3
    assert sample.inverse[[5, 9, 11]].tolist() == [0, 0, 0]
    for one in (sample, distil(broken)):
        assert bool(torch.isfinite(one.features).all())
