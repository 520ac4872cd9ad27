"""A lidar without intensity: nothing is put in its place but where a network asks for it."""

import logging
from dataclasses import replace

import numpy as np
import pytest
import torch
from fakes.batches import waffle
from fakes.scan import scan_frame

from lidistill.backbones import WaffleIronConfig
from lidistill.datasets.sensors import sensor_of
from lidistill.samples import intensity
from lidistill.samples.augmentation import AugmentationConfig
from lidistill.samples.distillation import (
    SamplingConfig,
    distillation_sample,
    draw,
    sample_rng,
)
from lidistill.samples.ground import height_over_ground
from lidistill.samples.labelled import scan_sample
from lidistill.samples.on_device import build_sample, raw_sample
from lidistill.scan_formats.returns import present

CONFIG = SamplingConfig(image_size_hw=(24, 48), voxel_size=0.5)
SPATIAL = WaffleIronConfig(channels=("x", "y", "z", "radius")).inputs()


@pytest.fixture
def frame(tmp_path, monkeypatch):
    monkeypatch.setattr(intensity, "_said", set())
    return replace(scan_frame(tmp_path), sensor="own", intensity=None, intensity_statistics=None)


def on_device(frame, preparer):
    raw = raw_sample(frame, CONFIG, preparer, sample_rng(0, 0, 0))
    return build_sample(raw, CONFIG, preparer, torch.device("cpu"))


def in_worker(frame, preparer):
    return distillation_sample(frame, CONFIG, preparer, sample_rng(0, 0, 0))


@pytest.mark.parametrize("make", [on_device, in_worker])
def test_a_network_that_asks_for_it_is_given_the_mean_and_this_is_said_once(frame, make, caplog):
    with caplog.at_level(logging.INFO):
        sample = make(frame, waffle())
        make(frame, waffle())
    assert (sample.features[:, 0] == 0).all()
    assert (sample.features[:, 1:] != 0).any(0).all()
    (said,) = [line for line in caplog.messages if "no intensity" in line]
    assert said.startswith("own has no intensity: this network's input for it is 0")
    assert "backbone.channels=[x, y, z, radius]" in said


@pytest.mark.parametrize("make", [on_device, in_worker])
def test_a_network_that_does_not_ask_for_it_sees_the_rest(frame, make, caplog):
    with caplog.at_level(logging.INFO):
        found = make(frame, SPATIAL)
    assert torch.equal(found.features, make(frame, waffle()).features[:, 1:])
    assert not [line for line in caplog.messages if "no intensity" in line][1:]


def test_inputs_are_those_of_the_zeros_that_older_versions_put_there(frame):
    """Runs of those versions go on with the same numbers."""
    zeros = np.zeros(len(frame.points), np.float32)
    before = replace(frame, intensity=zeros, intensity_statistics=(0.0, 1.0))
    found, expected = (scan_sample(one, CONFIG, waffle()) for one in (frame, before))
    assert torch.equal(found.features, expected.features)
    assert torch.equal(found.source, expected.source)


def test_points_that_are_not_finite_are_left_out_all_the_same(frame):
    points = frame.points.copy()
    points[::3] = np.nan
    lost = replace(frame, points=points)
    assert present(lost).intensity is None
    assert not set(scan_sample(lost, CONFIG, waffle()).source.tolist()) & set(
        range(0, len(points), 3)
    )


def test_its_sensor_needs_no_statistics(frame):
    assert sensor_of(frame).name == "own"
    assert np.isinf(sensor_of(frame).intensity_std)


@pytest.mark.parametrize("make", [on_device, in_worker])
def test_a_rank_needs_no_statistics_and_survives_whatever_a_lidar_makes_of_brightness(frame, make):
    preparer = WaffleIronConfig(channels=("intensity_rank", "x")).inputs()
    assert (make(frame, preparer).features[:, 0] == 0).all()
    measured = np.random.default_rng(0).integers(0, 40, len(frame.points)).astype(np.float32)
    bright = replace(frame, intensity=measured)
    found = make(bright, preparer).features
    other = make(replace(frame, intensity=measured**3 / 7 + 2), preparer).features
    assert torch.equal(found, other)
    assert abs(found[:, 0].mean()) < 0.1
    assert abs(found[:, 0].std() - 1) < 0.1


@pytest.mark.parametrize("kind", ["distill", "finetune"])
def test_height_is_scaled_with_the_points_and_only_so(frame, kind):
    preparer = WaffleIronConfig(channels=("height", "z")).inputs()
    heights = []
    for scale in (0.0, 0.3):
        config = CONFIG.model_copy(
            update={"augmentation": AugmentationConfig(kind=kind, scale_range=scale)}
        )
        sample = distillation_sample(frame, config, preparer, sample_rng(0, 0, 0))
        raw = raw_sample(frame, config, preparer, sample_rng(0, 0, 0))
        there = build_sample(raw, config, preparer, torch.device("cpu"))
        torch.testing.assert_close(there.features, sample.features)
        factor = draw(frame, config, sample_rng(0, 0, 0)).augmentation.factor
        expected = height_over_ground(frame.points)[sample.source] * factor
        np.testing.assert_allclose(sample.features[:, 0], expected, rtol=1e-5)
        heights.append(expected)
    assert len(heights[0]) != len(heights[1]) or not np.allclose(*heights)
