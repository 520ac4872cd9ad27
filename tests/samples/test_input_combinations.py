"""Samples for other channels, planes, voxels, neighbours and views than the published ones.

What is expected comes from loops written from the definition (METHOD of ScaLR, supplementary).
"""

from dataclasses import replace

import numpy as np
import pytest
import torch
from fakes.batches import opened
from fakes.scan import scan_frame

from lidistill.backbones import WaffleIronConfig
from lidistill.backbones.waffleiron.grid import GridConfig
from lidistill.samples.distillation import SamplingConfig, distillation_sample, sample_rng
from lidistill.samples.ground import height_over_ground
from lidistill.samples.labelled import scan_sample
from lidistill.samples.on_device import build_sample, raw_sample

WIDE = {"fov_min": (-40, -40, -6), "fov_max": (40, 40, 6)}
FRONT = {"fov_min": (0, -9.5, -3), "fov_max": (31, 9.5, 2)}
CASES = {
    "one channel, one plane": (["z"], WIDE | {"axes": (1,), "planes": ((40, 6),)}, 0.1, 1),
    "shuffled": (
        ["radius", "z", "intensity", "x", "y"],
        FRONT | {"axes": (0, 2, 1), "planes": ((8, 5), (31, 19), (30, 4))},
        0.3,
        3,
    ),
    "a plane twice, others left out": (
        ["y", "x"],
        WIDE | {"axes": (2, 2, 0, 1), "planes": ((16, 9), (80, 80), (7, 5), (6, 3))},
        0.05,
        24,
    ),
    "no height": (["x", "radius", "y"], FRONT, 0.5, 7),
    "measured in the whole scan": (
        ["height", "x", "intensity_rank", "radius"],
        FRONT | {"planes": ((31, 19), (31, 5), (19, 5))},
        0.4,
        2,
    ),
    "intensity alone": (["intensity"], WIDE | {"planes": ((3, 2), (2, 3), (1, 1))}, 1.0, 5),
}


@pytest.fixture(params=CASES.values(), ids=CASES)
def case(request):
    channels, grid, voxel, neighbors = request.param
    network = WaffleIronConfig(channels=channels, grid=grid, num_neighbors=neighbors)
    config = SamplingConfig(voxel_size=voxel, image_size_hw=(24, 48))
    return network.inputs(), config, GridConfig(**grid)


def kept_by_definition(points, size, grid):
    """The first point of each voxel, voxels in order of x, y, z; then what lies in view."""
    first = {}
    voxels = np.floor((points - points.min(axis=0)) / np.float32(size)).astype(int)
    for number, voxel in enumerate(map(tuple, voxels)):
        first.setdefault(voxel, number)
    low, high = np.array(grid.fov_min) + 1e-4, np.array(grid.fov_max) - 1e-4
    ordered = [first[voxel] for voxel in sorted(first)]
    return [i for i in ordered if (points[i] > low).all() and (points[i] < high).all()]


def channel(frame, name, index):
    x, y, z = (float(value) for value in frame.points[index])
    mean, deviation = frame.intensity_statistics
    brightness = frame.intensity[index]
    equal = float((frame.intensity == brightness).mean())
    darker = float((frame.intensity < brightness).mean()) + equal / 2
    return {
        "x": x,
        "y": y,
        "z": z,
        "radius": (x * x + y * y + z * z) ** 0.5,
        "height": float(height_over_ground(frame.points)[index]),
        "intensity_rank": (darker - 0.5) * 12**0.5,
        "intensity": (float(frame.intensity[index]) - mean) / deviation,
    }[name]


def cell(point, axis, size, grid):
    first, second = (other for other in range(3) if other != axis)
    steps = []
    for along, count in zip((first, second), size, strict=True):
        edge = (grid.fov_max[along] - grid.fov_min[along]) / count
        steps.append(int((float(point[along]) - grid.fov_min[along]) / edge))
    return steps[0] * size[1] + steps[1]


@pytest.fixture
def frame(tmp_path):
    return replace(scan_frame(tmp_path), intensity_statistics=(11.0, 4.0))


def test_a_sample_is_what_the_definition_says(case, frame):
    preparer, config, grid = case
    sample = scan_sample(frame, config, preparer)
    kept = kept_by_definition(frame.points, config.voxel_size, grid)
    assert 20 < len(kept) == len(sample)
    assert sample.source.tolist() == kept
    features = [[channel(frame, name, i) for name in preparer.channels] for i in kept]
    torch.testing.assert_close(sample.features, torch.tensor(features), rtol=1e-5, atol=1e-5)
    points = frame.points[kept]
    planes = list(zip(grid.axes, grid.planes, strict=True))
    cells = [[cell(point, axis, size, grid) for axis, size in planes] for point in points]
    assert opened(sample).cells.tolist() == cells
    neighbors = opened(sample).neighbors.numpy()
    assert neighbors.shape == (len(kept), 1 + preparer.num_neighbors)
    assert (neighbors[:, 0] == np.arange(len(kept))).all()
    apart = np.linalg.norm(points[:, None].astype(float) - points, axis=2)
    nearest = np.sort(apart, axis=1)[:, 1 : 1 + preparer.num_neighbors]
    found = np.take_along_axis(apart, neighbors[:, 1:], axis=1)
    np.testing.assert_allclose(found, nearest, atol=1e-6)


def test_samples_made_on_the_device_are_the_same(case, frame):
    preparer, config, _ = case
    expected = distillation_sample(frame, config, preparer, sample_rng(0, 0, 0))
    raw = raw_sample(frame, config, preparer, sample_rng(0, 0, 0))
    found = build_sample(raw, config, preparer, torch.device("cpu"))
    torch.testing.assert_close(found.features, expected.features, rtol=1e-5, atol=1e-5)
    assert torch.equal(found.source, expected.source)
    assert torch.equal(opened(found).cells, opened(expected).cells)
