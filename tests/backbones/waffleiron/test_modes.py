"""A network gives the same in every mode of its caller and on every number of threads."""

import pytest
import torch
from fakes.batches import SMALL_GRID, random_batch
from fakes.modes import MODES, every_mode, with_threads  # noqa: F401  a fixture

from lidistill.backbones import WaffleIronConfig
from lidistill.backbones.waffleiron.edge_max import dense_edge_max, edge_max

LENGTHS = (1100, 40)  # rows enough for 16 threads
BOUND = {"bf16": 0.02}
"""Relative difference that rounding may make; fp16 computes in 32 bits on the CPU."""


def network(**options):
    torch.manual_seed(0)
    return WaffleIronConfig(width=16, depth=3, grid=SMALL_GRID, **options).build()


def relative(found, expected):
    return float((found.detach() - expected).norm() / expected.norm().clamp(min=1e-6))


@every_mode
@pytest.mark.usefixtures("threads")
@pytest.mark.parametrize("training", [True, False])
def test_the_network_equals_the_definition(mode, training):
    batch = random_batch(LENGTHS)
    with torch.no_grad():
        expected = network(spatial="dense").train(training)(batch)
    with MODES[mode]():
        found = network().train(training)(batch)
    assert found.dtype == torch.float32
    assert relative(found, expected) < BOUND.get(mode, 1e-5)


@every_mode
@pytest.mark.usefixtures("threads")
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_the_folded_network_does_not_mind_the_mode(mode, dtype):
    batch = random_batch(LENGTHS)
    with torch.no_grad():
        expected = network(spatial="dense").eval()(batch)
        alone = network().eval().for_inference(dtype)(batch)
    bound = {torch.float32: 1e-5, torch.float16: 1e-3, torch.bfloat16: 0.02}[dtype]
    assert relative(alone, expected) < bound
    with MODES[mode]():
        assert torch.equal(network().eval().for_inference(dtype)(batch), alone)


@pytest.mark.usefixtures("threads")
@pytest.mark.parametrize("mode", ["plain", "fp16", "bf16"])
def test_gradients_under_autocast_equal_those_of_the_definition(mode):
    batch = random_batch(LENGTHS)
    direction = torch.randn(sum(LENGTHS), 16, generator=torch.Generator().manual_seed(1))

    def gradients(net, context):
        with context():
            out = net(batch)
        return torch.autograd.grad((out * direction).sum(), list(net.parameters()))

    expected = gradients(network(spatial="dense"), MODES["plain"])
    found = gradients(network(), MODES[mode])
    scale = max(float(gradient.norm()) for gradient in expected)
    # Rounding to 16 bits turns some ReLUs on or off, and makes other neighbours the largest.
    bound = {"bf16": 0.2}.get(mode, 5e-5)
    for a, b in zip(found, expected, strict=True):
        assert float((a - b).norm()) < bound * max(float(b.norm()), 0.01 * scale)


@pytest.mark.usefixtures("threads")
def test_the_maximum_over_neighbours_is_exact_under_fp16():
    draw = torch.Generator().manual_seed(0)
    edges, affine = torch.randn(4, 1100, 5, generator=draw), torch.randn(16, 5, generator=draw)
    bias, weight = torch.randn(16, generator=draw), torch.randn(16, 16, generator=draw)
    with MODES["fp16"]():
        found = edge_max(edges, affine, bias, weight)
    torch.testing.assert_close(found, dense_edge_max(edges, affine, bias, weight))


def test_what_was_made_in_inference_mode_serves_outside_of_it():
    batch = random_batch(LENGTHS)
    with torch.inference_mode():
        folded = network().eval().for_inference()
        expected = folded(batch)
    assert torch.equal(folded(batch), expected)
