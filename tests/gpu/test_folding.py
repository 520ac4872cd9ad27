"""See ``test_layer_kernels`` for where these run."""

import pytest
import torch
from fakes.batches import SMALL_GRID
from fakes.kernels import DEVICE, pytestmark  # noqa: F401

from lidistill.backbones.waffleiron.layer import LayerForm, LayerParameters, LayerWeights
from lidistill.backbones.waffleiron.model import Layer, WaffleIronConfig

ROUNDING = {torch.float32: 1e-5, torch.bfloat16: 2**-7, torch.float16: 2**-10}
"""Relative; the interpreter cuts off where a GPU rounds."""


def drawn_layer(channels, dtype=torch.float32):
    layer = Layer(WaffleIronConfig(width=channels, depth=1, grid=SMALL_GRID))
    rng = torch.Generator().manual_seed(channels)
    with torch.no_grad():
        for weight in layer.parameters():
            weight.copy_(torch.randn(weight.shape, generator=rng))
    return layer.to(DEVICE, dtype)


FORMATS = [
    (7, torch.float32),
    (16, torch.float16),
    (96, torch.bfloat16),
    (130, torch.float32),
    (130, torch.bfloat16),
]
"""Channels, and the number format of the products."""


@pytest.mark.parametrize(("channels", "dtype"), FORMATS)
def test_weights_fold_as_the_layer_folds_them(channels, dtype):
    from lidistill.backbones.waffleiron.gpu.folding import fold

    layer = drawn_layer(channels)
    found = fold(layer.weights(), LayerForm(activation="relu", eps=1e-5, dtype=dtype))
    low = {"first", "first_bias", "second"}
    for (name, ours), defined in zip(found._asdict().items(), layer.folded(), strict=True):
        limit = ROUNDING[dtype] if name in low else ROUNDING[torch.float32]
        assert ours.dtype == (dtype if name in low else torch.float32)
        torch.testing.assert_close(ours.float(), defined, rtol=limit, atol=1e-4)


@pytest.mark.parametrize(
    ("channels", "products", "stored"),
    [*((*case, torch.float32) for case in FORMATS), (16, torch.bfloat16, torch.bfloat16)],
)
def test_gradients_of_the_weights_equal_those_of_autograd(channels, products, stored):
    from lidistill.backbones.waffleiron.gpu.unfolding import unfold

    weights = drawn_layer(channels, stored).weights()
    wide = LayerParameters(*(one.detach().float().requires_grad_() for one in weights))
    folded = wide.folded()
    above = LayerWeights(*(torch.randn_like(one) for one in folded))
    above = above._replace(first=above.first.to(products), second=above.second.to(products))
    found = unfold(weights, above)
    expected = torch.autograd.grad(folded, wide, [one.float() for one in above])
    for weight, ours, defined in zip(weights, found, expected, strict=True):
        assert ours.dtype == weight.dtype
        torch.testing.assert_close(ours.float(), defined, rtol=ROUNDING[stored], atol=1e-3)


def test_weights_in_another_order_of_storage_give_the_same():
    from lidistill.backbones.waffleiron.gpu.folding import fold
    from lidistill.backbones.waffleiron.gpu.unfolding import unfold

    weights = LayerParameters(*(one.detach() for one in drawn_layer(20).weights()))
    form = LayerForm(activation="relu", eps=1e-5)
    stored = weights._replace(
        linear1=weights.linear1.t().contiguous().t(),
        conv2=weights.conv2.transpose(0, 3).contiguous().transpose(0, 3),
    )
    found, expected = fold(stored, form), fold(weights, form)
    assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))
    found, expected = unfold(stored, expected), unfold(weights, expected)
    assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))
