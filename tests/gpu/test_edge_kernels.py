"""See ``test_layer_kernels`` for where these run."""

import pytest
import torch
from fakes.kernels import DEVICE, pytestmark  # noqa: F401
from fakes.layers import worst

from lidistill.backbones.waffleiron.edge_max import dense_edge_max


def random_inputs(num_points, channels):
    rng = torch.Generator().manual_seed(num_points)
    shapes = [(4, num_points, 6), (channels, 6), (channels, channels)]
    edges, affine, weight = (torch.randn(shape, generator=rng).to(DEVICE) for shape in shapes)
    edges[..., -1] = 1
    return [tensor.requires_grad_() for tensor in (edges, affine, weight)]


def values_and_gradients(function, inputs):
    out = function(*inputs)
    direction = torch.randn(out.shape, generator=torch.Generator().manual_seed(1)).to(DEVICE)
    return out.detach(), *torch.autograd.grad((out * direction).sum(), inputs)


def plain(edges, affine, weight):
    return dense_edge_max(edges, affine, affine.new_zeros(len(affine)), weight)


@pytest.mark.parametrize(("num_points", "channels"), [(1, 6), (25, 6), (40, 136)])
def test_values_and_gradients_equal_the_plain_version(num_points, channels, monkeypatch):
    from lidistill.backbones.waffleiron.gpu import edges

    monkeypatch.setattr(edges, "_CHUNK", 20)
    inputs = random_inputs(num_points, channels)
    found = values_and_gradients(
        lambda e, a, w: edges.triton_edge_max(e, a, w, torch.float32), inputs
    )
    assert worst(found, values_and_gradients(plain, inputs)) < 1e-5


def test_equal_neighbours_pass_the_gradient_to_the_first_one():
    from lidistill.backbones.waffleiron.gpu.edges import triton_edge_max

    inputs = random_inputs(3, 6)
    with torch.no_grad():
        inputs[0][1:] = inputs[0][:1]
    gradient = values_and_gradients(
        lambda e, a, w: triton_edge_max(e, a, w, torch.float32), inputs
    )[1]
    assert gradient[0].abs().sum() > 0
    assert gradient[1:].abs().sum() == 0


def test_lower_precision_stays_close():
    from lidistill.backbones.waffleiron.gpu.edges import triton_edge_max

    inputs = random_inputs(40, 24)
    edges, affine, weight = inputs
    low = triton_edge_max(edges, affine, weight, torch.bfloat16).detach()
    exact = plain(*inputs).detach()
    assert low.dtype == torch.float32
    assert 1e-5 < float((low - exact).norm() / exact.norm()) < 0.02
