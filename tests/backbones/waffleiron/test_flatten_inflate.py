from itertools import pairwise

import pytest
import torch

from lidistill.backbones.waffleiron.flatten_inflate import (
    flatten_points,
    inflate_cells,
    segment_sum,
)
from lidistill.backbones.waffleiron.plane import PIECE, build_plane

SCAN = torch.tensor([0, 0, 0, 1, 1, 1])
CELLS = torch.tensor([7, 3, 7, 7, 0, 0])


def plane(cells=CELLS, **options):
    return build_plane(cells, SCAN, num_scans=2, size_hw=(3, 4), **options)


def expected_means(points, cells, *, eps=0.0):
    keys = sorted({(int(s), int(c)) for s, c in zip(SCAN, cells, strict=True)})
    rows = []
    for key in keys:
        members = [i for i in range(len(cells)) if (int(SCAN[i]), int(cells[i])) == key]
        rows.append(sum(points[i] for i in members) / (len(members) + eps))
    return torch.stack(rows)


def test_cells_hold_the_mean_of_the_points_of_their_own_scan():
    points = torch.randn(6, 3, dtype=torch.float64)
    found = flatten_points(points, plane())
    torch.testing.assert_close(found, expected_means(points, CELLS), rtol=1e-6, atol=1e-6)


def test_the_other_way_to_average_adds_a_little_to_the_count():
    points = torch.full((6, 1), 1e6, dtype=torch.float64)
    found = flatten_points(points, plane(flatten="sum_over_count_eps"))
    expected = expected_means(points, CELLS, eps=1e-6)
    torch.testing.assert_close(found, expected, rtol=1e-7, atol=0)


def test_every_point_reads_its_cell():
    p = plane()
    read = inflate_cells(torch.arange(p.num_cells, dtype=torch.float32)[:, None], p)[:, 0]
    assert read.tolist() == [1, 0, 1, 3, 2, 2]
    assert p.scan.tolist() == [0, 0, 1, 1]


def test_a_negative_cell_is_read_but_not_filled():
    cells = torch.tensor([7, 3, -1 - 7, 7, 0, -1 - 5])
    p = plane(cells)
    points = torch.arange(6, dtype=torch.float32)[:, None] + 1
    read = inflate_cells(flatten_points(points, p), p)[:, 0]
    assert read.tolist() == [1, 2, 1, 4, 5, 0]


def test_gradients_of_both_are_exact():
    p = plane(torch.tensor([7, 3, -1 - 7, 7, 0, -1 - 5]))
    points = torch.randn(6, 2, dtype=torch.float64, requires_grad=True)
    torch.autograd.gradcheck(lambda x: inflate_cells(flatten_points(x, p).exp(), p), points)


@pytest.mark.parametrize(
    "counts", [[], [1, PIECE], [PIECE + 1], [3 * PIECE, 1, 2 * PIECE + 1, PIECE - 1, 4]]
)
def test_full_cells_are_cut_into_pieces_and_the_table_is_as_long_as_any_points_may_need(counts):
    cells = torch.repeat_interleave(torch.arange(len(counts)), torch.tensor(counts).long())
    only_read = cells[: PIECE // 2]
    cells = torch.cat([-1 - only_read, cells])
    p = build_plane(cells, torch.zeros_like(cells), num_scans=1, size_hw=(2, 3))
    for pieces, offsets in (
        (p.reads_pieces, p.reads_offsets.tolist()),
        (p.fills_pieces, p.fills_offsets.tolist()),
    ):
        expected = [
            [cell, start]
            for cell, (first, stop) in enumerate(pairwise(offsets))
            for start in range(first + PIECE, stop, PIECE)
        ]
        assert pieces.T.tolist()[: len(expected)] == expected
        assert pieces.shape == (2, offsets[-1] // PIECE)
        assert (pieces[:, len(expected) :] >= torch.tensor([[p.num_cells], [offsets[-1]]])).all()


def test_a_cell_outside_the_grid_is_refused():
    with pytest.raises(ValueError, match="cell 12 lies outside a grid of 3 x 4"):
        plane(torch.tensor([0, 1, 2, 3, 4, 12]))


def test_segment_sums_repeat_bit_for_bit():
    values = torch.randn(1000, 8)
    order = torch.randperm(1000)
    offsets = torch.tensor([0, 10, 10, 700, 1000])
    first = segment_sum(values, order, offsets)
    assert torch.equal(first, segment_sum(values, order, offsets))
    assert torch.equal(first[1], torch.zeros(8))
    torch.testing.assert_close(first[3], values[order[700:]].sum(0), rtol=1e-4, atol=1e-4)
