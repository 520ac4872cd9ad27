import pytest
import torch
from torch.nn.functional import softmax

from lidistill.backbones.litept.attention import PatchAttention, arranged
from lidistill.backbones.litept.orders import MAX_DEPTH, order_depth
from lidistill.backbones.litept.patches import patches
from lidistill.backbones.litept.rotary import rotate, rotation

CPU = torch.device("cpu")


def test_a_short_scan_is_one_patch_and_a_long_one_is_filled_from_the_patch_before():
    cut = patches([3, 10, 8], 4, CPU)
    assert cut.lengths == (3, 4, 4, 4, 4, 4)
    expected = [0, 1, 2, *range(3, 13), 9, 10, *range(13, 21)]
    assert cut.place.tolist() == expected
    assert torch.equal(cut.place[cut.row], torch.arange(21))
    assert cut.row.tolist() == [*range(13), *range(15, 23)]
    assert patches([3, 0, 10, 8, 0], 4, CPU).lengths == cut.lengths
    assert len(patches([0], 4, CPU).place) == 0


def by_definition(attention, x, place, turn):
    """Each row of each patch by itself."""
    query, key, value = attention.qkv(x).unflatten(-1, (3, attention.heads, -1)).unbind(1)
    if turn is not None:
        query, key = rotate(query, turn), rotate(key, turn)
    out = torch.empty(len(place.cell), attention.heads, query.shape[-1])
    begin = 0
    for length in place.lengths:
        cells = place.cell[begin : begin + length]
        for row, cell in enumerate(cells):
            for head in range(attention.heads):
                score = key[cells, head] @ query[cell, head] / query.shape[-1] ** 0.5
                out[begin + row, head] = softmax(score, 0) @ value[cells, head]
        begin += length
    return attention.out(out[place.row].flatten(1))


@pytest.mark.parametrize("turned", [False, True])
def test_attention_is_that_of_each_cell_to_those_of_its_patch(turned):
    torch.manual_seed(0)
    lengths = [5, 30, 16]
    x = torch.randn(sum(lengths), 24)
    order = torch.cat([torch.randperm(n) + sum(lengths[:i]) for i, n in enumerate(lengths)])
    place = arranged(order, patches(lengths, 8, CPU))
    attention = PatchAttention(24, 2)
    turn = rotation(torch.randint(40, (len(x), 3)), 12, 100.0) if turned else None
    with torch.no_grad():
        found, expected = attention(x, place, turn), by_definition(attention, x, place, turn)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


def test_only_the_difference_of_two_cells_counts_between_turned_rows():
    torch.manual_seed(0)
    query, key = torch.randn(2, 1, 3, 18).unbind(0)
    here, there = torch.tensor([[3, 8, 5]]), torch.tensor([[9, 2, 7]])

    def score(shift):
        turns = [rotation(cell + shift, 18, 100.0) for cell in (here, there)]
        return (rotate(query, turns[0]) * rotate(key, turns[1])).sum(-1)

    torch.testing.assert_close(score(0), score(50), atol=1e-4, rtol=1e-4)
    assert not torch.allclose(score(0), (query * key).sum(-1), atol=1e-2)


def test_numbers_of_16_bits_are_an_option():
    torch.manual_seed(0)
    x, place = torch.randn(12, 24), arranged(torch.randperm(12), patches([12], 8, CPU))
    plain, rounded = PatchAttention(24, 2), PatchAttention(24, 2, in_16_bits=True)
    rounded.load_state_dict(plain.state_dict())
    difference = (plain(x, place, None) - rounded(x, place, None)).abs().max()
    assert 0 < difference < 1e-3


def test_cells_beyond_what_orders_count_are_one_clear_line():
    assert order_depth((1 << MAX_DEPTH) - 1, 0) == MAX_DEPTH
    with pytest.raises(ValueError, match="raise grid_size"):
        order_depth((1 << MAX_DEPTH) - 1, 1)
