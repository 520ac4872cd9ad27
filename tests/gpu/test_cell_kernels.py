"""Sums over cells that hold very different numbers of points; see ``test_layer_kernels``."""

import pytest
import torch
import torch.nn.functional as F
from fakes.kernels import DEVICE, pytestmark  # noqa: F401
from fakes.layers import defined_layer, random_case, random_keep, values_and_gradients, worst

from lidistill.backbones.waffleiron.cpu.fused_layer import fused_layer
from lidistill.backbones.waffleiron.flatten_inflate import segment_sum
from lidistill.backbones.waffleiron.layer import LayerForm
from lidistill.backbones.waffleiron.plane import PIECE, build_plane

EPS = 1e-5


def crowded_plane(counts, *, only_read=0, num_scans=1):
    """Cells with so many points each; the points come in any order, the last ones fill no cell."""
    rng = torch.Generator().manual_seed(sum(counts))
    cells = torch.repeat_interleave(torch.arange(len(counts)), torch.tensor(counts).long())
    cells = cells[torch.randperm(len(cells), generator=rng)]
    if only_read:
        cells[-only_read:] = -1 - cells[-only_read:]
    scan = torch.arange(len(cells)) * num_scans // max(1, len(cells))
    return build_plane(cells.to(DEVICE), scan.to(DEVICE), num_scans=num_scans, size_hw=(9, 10))


def both_sums(plane, channels):
    """Forward and backward: the kernels' sums, and those of the definition in float64."""
    from lidistill.backbones.waffleiron.gpu.cells import segment_sums

    rng = torch.Generator().manual_seed(channels)
    tokens = torch.randn(len(plane.reads), channels, generator=rng).to(DEVICE)
    factor = torch.rand(plane.num_cells, generator=rng).to(DEVICE)
    fills, reads = (plane.fills, plane.fills_offsets), (plane.reads_order, plane.reads_offsets)
    found = (
        segment_sums(tokens, *fills, plane.fills_pieces, eps=EPS, share=plane.fills_share),
        segment_sums(tokens, *reads, plane.reads_pieces, factor=factor),
    )
    normed = F.layer_norm(tokens.double(), (channels,), eps=EPS)
    expected = (
        segment_sum(normed, *fills, weight=plane.fills_share.double()),
        segment_sum(tokens.double(), *reads) * factor.double()[:, None],
    )
    return found, expected


@pytest.mark.parametrize(
    ("counts", "channels", "options"),
    [
        ([2100, *[1] * 60], 16, {}),
        ([PIECE - 1, PIECE, PIECE + 1, 2 * PIECE, 2 * PIECE + 1], 7, {}),
        ([PIECE + 1], 130, {}),
        ([400, 3, 200, 70], 96, {"num_scans": 3, "only_read": 150}),
        ([300, 1], 130, {"only_read": 301}),
        ([], 16, {}),
    ],
    ids=["thousands", "bounds", "one-cell", "scans", "nothing-fills", "empty"],
)
def test_sums_of_full_cells_equal_the_definition_and_repeat_bit_for_bit(counts, channels, options):
    plane = crowded_plane(counts, **options)
    found, expected = both_sums(plane, channels)
    for ours, exact in zip(found, expected, strict=True):
        torch.testing.assert_close(ours.double(), exact, rtol=1e-5, atol=1e-4)
    again, _ = both_sums(plane, channels)
    assert all(torch.equal(a, b) for a, b in zip(found, again, strict=True))


def test_more_pieces_than_a_tile_of_them_add_up_in_one_cell():
    """Whole numbers, so that a piece that is lost, or counted twice, shows."""
    from lidistill.backbones.waffleiron.gpu.cells import segment_sums

    plane = crowded_plane([1, 40 * PIECE + 5, 2])
    ones = torch.ones(len(plane.reads), 3, device=DEVICE)
    found = segment_sums(ones, plane.reads_order, plane.reads_offsets, plane.reads_pieces)
    assert found.tolist() == [[1] * 3, [40 * PIECE + 5] * 3, [2] * 3]


@pytest.mark.parametrize(
    ("dtype", "limit"), [(torch.float32, 1e-5), (torch.float16, 5e-3), (torch.bfloat16, 2e-2)]
)
def test_a_layer_with_a_full_cell_equals_the_plain_one(dtype, limit):
    from lidistill.backbones.waffleiron.gpu.layer import TRITON

    tokens, weights, plane = random_case(
        210, channels=24, size_hw=(5, 4), only_read=True, crowd=180, device=DEVICE
    )
    assert plane.fills_offsets.diff().max() > PIECE
    assert plane.reads_offsets.diff().max() > 2 * PIECE
    form = LayerForm(activation="gelu", eps=EPS, dtype=dtype)
    case = (tokens, weights, plane, form, random_keep(plane, len(tokens)))
    found = values_and_gradients(lambda *given: fused_layer(*given, passes=TRITON), *case)
    assert worst(found, values_and_gradients(defined_layer, *case)) < limit
