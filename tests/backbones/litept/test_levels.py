import numpy as np
import torch

from lidistill.backbones.litept.inputs import LevelRule, SerializedInputs, inputs_of_cells
from lidistill.backbones.litept.levels import grid_cells
from lidistill.backbones.litept.orders import ORDERS, codes

RULE = LevelRule(
    over="scan",
    convolved=(True, False, True),
    ordered=(False, True, True),
    serialized_per_level=True,
)


def cells_of(count, seed, reach=20):
    return torch.randint(reach, (count, 3), generator=torch.Generator().manual_seed(seed))


def rows(tensor):
    return [tuple(row) for row in tensor.tolist()]


def test_cells_are_counted_from_the_least_of_the_scan_and_rounded_down():
    coords = torch.tensor([[-0.01, 0.0, 5.01], [0.11, 0.049, 5.12], [0.0, 0.051, 4.96]])
    assert rows(grid_cells(coords, 0.05)) == [(0, 0, 1), (3, 0, 3), (1, 1, 0)]
    assert grid_cells(coords[:0], 0.05).shape == (0, 3)


def test_every_point_finds_its_cell_and_a_cell_takes_its_first_point():
    cells = cells_of(300, 0, reach=5)
    inputs = inputs_of_cells(cells, RULE)
    own = inputs.levels[0].cells
    assert rows(own) == sorted(set(rows(cells)))
    assert torch.equal(own[inputs.cell_of_point], cells)
    assert inputs.point_of_cell.tolist() == [rows(cells).index(cell) for cell in rows(own)]


def test_a_coarser_cell_knows_its_children_and_they_know_it():
    inputs = inputs_of_cells(cells_of(400, 1), RULE)
    for fine, coarse in zip(inputs.levels, inputs.levels[1:], strict=False):
        assert rows(coarse.cells) == sorted(
            {tuple(c // 2 for c in cell) for cell in rows(fine.cells)}
        )
        assert torch.equal(coarse.cells[fine.parent], fine.cells // 2)
        for number, children in enumerate(coarse.children.tolist()):
            own = np.flatnonzero(fine.parent.numpy() == number).tolist()
            assert sorted(set(children)) == own
            assert children[len(own) :] == [own[0]] * (8 - len(own))


def test_samples_are_packed_as_if_they_had_been_one_batch():
    parts = [inputs_of_cells(cells_of(count, seed), RULE) for seed, count in enumerate((50, 1, 80))]
    whole = SerializedInputs.collate(parts, [0, 50, 51])
    assert len(whole) == 131
    cells = torch.cat([cells_of(count, seed) for seed, count in enumerate((50, 1, 80))])
    assert torch.equal(whole.levels[0].cells[whole.cell_of_point], cells)
    assert torch.equal(cells[whole.point_of_cell], whole.levels[0].cells)
    for level, (fine, coarse) in enumerate(zip(whole.levels, whole.levels[1:], strict=False)):
        assert torch.equal(coarse.cells[fine.parent], fine.cells // 2)
        assert torch.equal(coarse.scan()[fine.parent], fine.scan())
        assert torch.equal(
            fine.parent[coarse.children], torch.arange(len(coarse))[:, None].expand(-1, 8)
        )
        assert coarse.lengths == tuple(len(part.levels[level + 1]) for part in parts)
        assert torch.equal(coarse.orders.sort().values, torch.arange(len(coarse)).expand(4, -1))
        if RULE.ordered[level + 1]:
            in_order = coarse.scan()[coarse.orders]
            assert torch.equal(in_order, in_order.sort().values)


def test_bits_are_counted_over_a_scan_or_over_its_batch():
    near, far = cells_of(60, 0, reach=8), cells_of(60, 1, reach=60)
    own, shared = (
        LevelRule(
            over=over, convolved=(True, True), ordered=(True, True), serialized_per_level=True
        )
        for over in ("scan", "batch")
    )
    alone, far_alone = inputs_of_cells(near, own), inputs_of_cells(far, own)
    length = len(alone.levels[0])
    packed = SerializedInputs.collate([alone, far_alone], [0, 60])
    assert torch.equal(packed.levels[0].orders[:, :length], alone.levels[0].orders)
    parts = [inputs_of_cells(cells, shared) for cells in (near, far)]
    mixed = SerializedInputs.collate(parts, [0, 60]).levels[0]
    for order, found in zip(ORDERS, mixed.orders, strict=True):
        expected = codes(mixed.cells, mixed.scan(), 6, order).argsort()
        assert torch.equal(found, expected)
    assert not torch.equal(mixed.orders[:, :length], alone.levels[0].orders)


def test_a_level_whose_bits_follow_from_the_finest_keeps_its_codes_but_the_last_bits():
    rule = LevelRule(
        over="scan", convolved=(True,) * 3, ordered=(True,) * 3, serialized_per_level=False
    )
    levels = inputs_of_cells(cells_of(500, 3, reach=50), rule).levels
    assert rule.depths(levels) == [6, 5, 4]
    finest = levels[0]
    for order in ORDERS:
        before = codes(finest.cells, finest.scan(), 6, order)
        after = codes(finest.cells >> 1, finest.scan(), 5, order)
        assert torch.equal(before >> 3, after)


def test_a_level_that_counts_anew_has_room_for_one_more_cell():
    levels = inputs_of_cells(torch.tensor([[7, 0, 0], [0, 3, 6]]), RULE).levels
    assert RULE.depths(levels) == [4, 3, 2]
