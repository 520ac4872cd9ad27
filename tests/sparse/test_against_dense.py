"""Convolutions over occupied cells equal dense ones on the same grid, which define them."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from lidistill.sparse.cells import unique_cells
from lidistill.sparse.convolution import SparseConvolution, convolve
from lidistill.sparse.kernel_map import KernelMap, strided_map, submanifold_map
from lidistill.sparse.layout import dense_weight

EDGE = 12  # cells of a dense grid along each axis
LOW = -6  # where it begins: even, so that coarse cells begin there too
CHANNELS = (3, 5)


def occupied(seed, num_scans, number):
    """(M, 4) so many different cells of each scan at most, in no order."""
    generator = torch.Generator().manual_seed(seed)
    cells = torch.randint(LOW, LOW + EDGE, (num_scans * number, 4), generator=generator)
    cells[:, 0] = torch.arange(num_scans).repeat_interleave(number)
    cells = unique_cells(cells).cells
    return cells[torch.randperm(len(cells), generator=generator)]


def random(*shape, seed):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64)


def to_dense(features, cells, num_scans, edge=EDGE, low=LOW):
    """(B, C, x, y, z) features at their cells, zeros elsewhere."""
    grid = features.new_zeros(num_scans, edge, edge, edge, features.shape[1])
    batch, x, y, z = (cells - torch.tensor([0, low, low, low])).unbind(1)
    return grid.index_put((batch, x, y, z), features).permute(0, 4, 1, 2, 3)


def from_dense(grid, cells, low=LOW):
    """(M, C) features of a dense grid at some cells."""
    batch, x, y, z = (cells - torch.tensor([0, low, low, low])).unbind(1)
    return grid.permute(0, 2, 3, 4, 1)[batch, x, y, z]


def compare(sparse, dense, features, kernel):
    """Values, and the gradients of a random sum of them."""
    weights = random(*sparse.shape, seed=9)
    torch.testing.assert_close(sparse, dense)
    found, expected = (
        torch.autograd.grad((out * weights).sum(), (features, kernel)) for out in (sparse, dense)
    )
    torch.testing.assert_close(found, expected)


def leaves(num_cells, num_places, seed):
    features = random(num_cells, CHANNELS[0], seed=seed).requires_grad_()
    return features, random(num_places, *CHANNELS, seed=seed + 1).requires_grad_()


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    num_scans=st.integers(1, 3),
    number=st.integers(1, 400),
    kernel_size=st.sampled_from([1, 3, 5]),
)
def test_a_submanifold_convolution(seed, num_scans, number, kernel_size):
    cells = occupied(seed, num_scans, number)
    features, kernel = leaves(len(cells), kernel_size**3, seed)
    sparse = convolve(features, kernel, submanifold_map(cells, kernel_size))
    grid = to_dense(features, cells, num_scans)
    dense = F.conv3d(grid, dense_weight(kernel), padding=kernel_size // 2)
    compare(sparse, from_dense(dense, cells), features, kernel)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6), num_scans=st.integers(1, 3), number=st.integers(1, 400))
def test_a_strided_convolution_and_the_transposed_one_back(seed, num_scans, number):
    cells = occupied(seed, num_scans, number)
    features, kernel = leaves(len(cells), 8, seed)
    coarse, kernel_map = strided_map(cells)
    sparse = convolve(features, kernel, kernel_map)
    dense = F.conv3d(to_dense(features, cells, num_scans), dense_weight(kernel), stride=2)
    # Every coarse cell that holds a cell, and no other, is there.
    grid = to_dense(torch.ones(len(cells), 1), cells, num_scans)
    assert len(coarse) == int(F.max_pool3d(grid, 2).sum())
    compare(sparse, from_dense(dense, coarse, LOW // 2), features, kernel)

    features, kernel = leaves(len(coarse), 8, seed)
    sparse = convolve(features, kernel, kernel_map.transposed())
    grid = to_dense(features, coarse, num_scans, EDGE // 2, LOW // 2)
    weight = dense_weight(kernel).transpose(0, 1)
    dense = F.conv_transpose3d(grid, weight, stride=2)
    compare(sparse, from_dense(dense, cells), features, kernel)


def test_scans_packed_after_their_maps_were_made_equal_one_map_of_the_batch():
    cells = unique_cells(occupied(0, 3, 200)).cells
    scans = [cells[cells[:, 0] == scan, 1:] for scan in range(3)]
    scans.insert(2, torch.zeros(0, 3, dtype=torch.int64))  # a scan without a point
    features = random(len(cells), 3, seed=0)
    kernel, down = random(27, 3, 4, seed=1), random(8, 3, 4, seed=2)
    packed = KernelMap.collate([submanifold_map(scan, 3) for scan in scans])
    expected = convolve(features, kernel, submanifold_map(cells, 3))
    torch.testing.assert_close(convolve(features, kernel, packed), expected)
    strides = [strided_map(scan) for scan in scans]
    packed = KernelMap.collate([stride.kernel_map for stride in strides])
    whole = strided_map(cells)
    torch.testing.assert_close(torch.cat([s.cells for s in strides]), whole.cells[:, 1:])
    expected = convolve(features, down, whole.kernel_map)
    torch.testing.assert_close(convolve(features, down, packed), expected)


@pytest.mark.parametrize("number", [1, 2, 20_000, 200_000])
def test_scans_of_one_cell_to_many(number):
    # On a shell like a lidar's, which no dense grid could hold: against sums over pairs.
    generator = torch.Generator().manual_seed(number)
    points = F.normalize(torch.randn(number * 2, 3, generator=generator)) * number**0.5
    cells = unique_cells(points.round().long()).cells[:number]
    layer = SparseConvolution(4, 6, 27, bias=True)
    features = torch.randn(len(cells), 4, generator=generator)
    kernel_map = submanifold_map(cells, 3)
    with torch.no_grad():
        found = layer(features, kernel_map)
    known = {tuple(cell): row for row, cell in enumerate(cells.tolist())}
    for row in torch.randint(len(cells), (50,), generator=generator).tolist():
        x, y, z = cells[row].tolist()
        expected = layer.bias.detach().clone()
        for place in range(27):
            offset = place % 3 - 1, place // 3 % 3 - 1, place // 9 - 1
            at = known.get((x + offset[0], y + offset[1], z + offset[2]))
            if at is not None:
                expected += features[at] @ layer.kernel[place].detach()
        torch.testing.assert_close(found[row], expected)


def test_no_scan_at_all_has_no_features():
    cells = torch.zeros(0, 4, dtype=torch.int64)
    features = torch.zeros(0, 3, requires_grad=True)
    kernel = torch.randn(27, 3, 5, requires_grad=True)
    out = convolve(features, kernel, submanifold_map(cells, 3))
    assert out.shape == (0, 5)
    out.sum().backward()
    assert not kernel.grad.any()
    coarse, kernel_map = strided_map(cells)
    assert coarse.shape == (0, 4)
    assert len(kernel_map) == 0
