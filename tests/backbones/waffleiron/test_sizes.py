"""Every operation on as few and as many points as there are: one, and 200,000."""

import numpy as np
import pytest
import torch

from lidistill.backbones.waffleiron.edge_max import dense_edge_max, edge_max
from lidistill.backbones.waffleiron.flatten_inflate import flatten_points, inflate_cells
from lidistill.backbones.waffleiron.inputs import nearest_neighbors
from lidistill.backbones.waffleiron.plane import build_plane
from lidistill.samples.voxels import voxel_first

SIZES = [1, pytest.param(200_000, marks=pytest.mark.slow)]
rng = np.random.default_rng


@pytest.mark.parametrize("num_points", SIZES)
def test_voxels_are_those_of_a_dictionary(num_points):
    points = rng(0).uniform(-40, 40, (num_points, 3)).astype(np.float32)
    low = points.min(axis=0)
    first = {}
    for index, key in enumerate(np.trunc((points - low) / np.float32(2)).astype(int).tolist()):
        first.setdefault(tuple(key), index)
    assert voxel_first(points, 2.0).tolist() == [first[key] for key in sorted(first)]


@pytest.mark.parametrize("num_points", SIZES)
def test_neighbours_are_the_nearest_ones(num_points):
    points = rng(0).normal(size=(num_points, 3))
    found = nearest_neighbors(points, 4)
    assert found[:, 0].tolist() == list(range(num_points))
    for query in range(0, num_points, max(1, num_points // 50)):
        distance = np.linalg.norm(points - points[query], axis=1)
        nearest = np.sort(distance)[1:5] if num_points > 4 else np.zeros(4)
        np.testing.assert_allclose(distance[found[query, 1:]], nearest, atol=1e-12)


def edges_and_layers(num_points, dtype):
    generator = torch.Generator().manual_seed(0)
    shapes = [(3, num_points, 5), (8, 5), (8,), (8, 8)]
    drawn = [torch.randn(shape, generator=generator, dtype=dtype) for shape in shapes]
    return [values.requires_grad_() for values in drawn]


@pytest.mark.parametrize("num_points", SIZES)
def test_edge_max_equals_the_plain_version(num_points):
    inputs = edges_and_layers(num_points, torch.float32)
    fast, plain = edge_max(*inputs), dense_edge_max(*inputs)
    assert (fast - plain).norm() <= 1e-5 * plain.norm()


@pytest.mark.parametrize("num_points", SIZES)
def test_gradients_of_edge_max_equal_those_of_the_plain_version(num_points):
    # In double: in single, two neighbours of some point are as large up to rounding, which differs
    # from processor to processor and decides which of them has the gradient.
    inputs = edges_and_layers(num_points, torch.float64)
    fast, plain = (
        torch.autograd.grad(function(*inputs).square().mean(), inputs)
        for function in (edge_max, dense_edge_max)
    )
    for one, other in zip(fast, plain, strict=True):
        assert (one - other).norm() <= 1e-10 * other.norm()


@pytest.mark.parametrize("num_points", SIZES)
def test_points_go_to_their_cells_and_back_with_most_cells_empty(num_points):
    generator = torch.Generator().manual_seed(0)
    cells = torch.randint(300, (num_points,), generator=generator) * 200
    points = torch.randn(num_points, 3, generator=generator)
    scan = torch.zeros(num_points, dtype=torch.int64)
    plane = build_plane(cells, scan, num_scans=2, size_hw=(256, 256))
    total = torch.zeros(256 * 256, 3).index_add_(0, cells, points)
    mean = total / torch.bincount(cells, minlength=256 * 256).clamp(min=1)[:, None]
    there_and_back = inflate_cells(flatten_points(points, plane), plane)
    torch.testing.assert_close(there_and_back, mean[cells], rtol=1e-4, atol=1e-5)
