import pytest
import torch

from lidistill.backbones.waffleiron import edge_max as module
from lidistill.backbones.waffleiron.edge_max import dense_edge_max, edge_max


def random_inputs(num_points, *, dtype=torch.float64):
    rng = torch.Generator().manual_seed(num_points)
    shapes = [(4, num_points, 5), (6, 5), (6,), (6, 6)]
    return [torch.randn(s, generator=rng, dtype=dtype).requires_grad_() for s in shapes]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("num_points", [1, 7, 25])
def test_values_and_gradients_equal_the_plain_version(dtype, num_points, monkeypatch):
    monkeypatch.setattr(module, "_CHUNK", 10)
    inputs = random_inputs(num_points, dtype=dtype)
    direction = torch.randn(num_points, 6, dtype=dtype)
    results = []
    for function in (edge_max, dense_edge_max):
        out = function(*inputs)
        results.append((out, *torch.autograd.grad((out * direction).sum(), inputs)))
    for fast, plain in zip(*results, strict=True):
        torch.testing.assert_close(fast, plain)


def test_gradients_are_exact():
    torch.autograd.gradcheck(edge_max, random_inputs(5))


def test_autocast_multiplies_in_the_lower_precision_only_where_it_is_cheap():
    inputs = [x.detach() for x in random_inputs(50, dtype=torch.float32)]
    exact = edge_max(*inputs)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        low = edge_max(*inputs)
    assert low.dtype == torch.float32
    assert not torch.equal(low, exact)
    assert (low - exact).norm() < 0.02 * exact.norm()
