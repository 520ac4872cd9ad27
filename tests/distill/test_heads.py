import pytest
import torch
from pydantic import TypeAdapter

from lidistill.distill.heads import HEADS, HeadConfig, LinearHeadConfig, MLPHeadConfig


@pytest.mark.parametrize("kind", sorted(HEADS))
def test_every_head_maps_channels_to_channels_and_trains(kind):
    config = TypeAdapter(HeadConfig).validate_python({"kind": kind})
    assert isinstance(config, HEADS[kind])
    head = config.build(8, 5)
    out = head(torch.randn(7, 8))
    assert out.shape == (7, 5)
    out.square().sum().backward()
    assert all(p.grad.abs().sum() > 0 for p in head.parameters())


def test_the_two_layer_head_has_a_relu_between():
    head = MLPHeadConfig(hidden_channels=3).build(4, 2)
    x = torch.randn(6, 4)
    hidden = (x @ head.linear1.weight.t() + head.linear1.bias).clamp(min=0)
    torch.testing.assert_close(head(x), hidden @ head.linear2.weight.t() + head.linear2.bias)


def test_the_linear_head_is_one_layer():
    head = LinearHeadConfig().build(4, 2)
    assert [tuple(p.shape) for p in head.parameters()] == [(2, 4), (2,)]
