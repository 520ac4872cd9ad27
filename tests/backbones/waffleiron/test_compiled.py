import torch

from lidistill.backbones.waffleiron.cpu import loops
from lidistill.backbones.waffleiron.cpu.loops import rows


def test_bfloat16_is_rounded_as_pytorch_rounds_it():
    edges = torch.randn(64, 1, generator=torch.Generator().manual_seed(0)).abs()
    edges[0], edges[1] = 1 + 2**-8, 1 + 3 * 2**-8  # halfway between two numbers: to even
    out = torch.empty(64, 1, dtype=torch.bfloat16)
    loops.affine_relu(rows(edges[None]), rows(torch.ones(1, 1)), rows(out[None]))
    assert torch.equal(out, edges.bfloat16())


def test_the_first_of_equal_neighbours_wins():
    best, winner = torch.empty(1, 3), torch.empty(1, 3, dtype=torch.uint8)
    score = torch.tensor([[[1.0, 5, -2]], [[1.0, 4, -1]]])
    loops.keep_best(rows(score), rows(best), rows(winner))
    assert winner.tolist() == [[0, 0, 1]]
    assert best.tolist() == [[1, 5, -1]]


def test_a_tap_outside_reads_zero():
    values, kernel, bias = torch.ones(2, 1), torch.arange(9.0)[:, None], torch.tensor([0.5])
    taps = torch.full((9, 1), 2)
    taps[4], taps[8] = 0, 1
    out = torch.empty(1, 1)
    loops.gather_taps(rows(values), rows(taps), rows(kernel), rows(bias), (0, 1), rows(out))
    assert out.item() == 0.5 + 4 + 8
