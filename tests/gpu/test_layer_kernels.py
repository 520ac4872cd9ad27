"""On a GPU, or anywhere with TRITON_INTERPRET=1, which ``test_without_gpu`` sets."""

import functools

import pytest
import torch
from fakes.kernels import DEVICE, pytestmark  # noqa: F401
from fakes.layers import defined_layer, random_case, random_keep, values_and_gradients, worst

from lidistill.backbones.waffleiron.cpu.fused_layer import fused_layer, layer_in_place
from lidistill.backbones.waffleiron.layer import LayerForm

RELU, GELU = (LayerForm(activation=name, eps=1e-5) for name in ("relu", "gelu"))


@pytest.fixture(name="triton_layer")
def _triton_layer():
    from lidistill.backbones.waffleiron.gpu.layer import TRITON

    return functools.partial(fused_layer, passes=TRITON)


@pytest.mark.parametrize(
    ("form", "num_points", "channels", "with_keep"),
    [
        (RELU, 0, 16, False),
        (RELU, 1, 16, False),
        (GELU, 3, 7, True),
        (RELU, 80, 96, True),
        (LayerForm(activation="gelu", eps=-1.0), 40, 130, False),
    ],
    ids=["no-point", "one-point", "three-points", "relu", "gelu-without-norms"],
)
def test_values_and_gradients_equal_the_plain_layer(
    triton_layer, form, num_points, channels, with_keep
):
    tokens, weights, plane = random_case(
        num_points, channels=channels, num_scans=3, size_hw=(6, 5), only_read=True, device=DEVICE
    )
    keep = random_keep(plane, num_points) if with_keep else None
    case = (tokens, weights, plane, form, keep)
    found = values_and_gradients(triton_layer, *case)
    assert worst(found, values_and_gradients(defined_layer, *case)) < 1e-5


@pytest.mark.parametrize("activation", ["relu", "gelu"])
def test_lower_precision_stays_close_in_values_and_gradients(triton_layer, activation):
    tokens, weights, plane = random_case(60, channels=24, size_hw=(5, 4), device=DEVICE)
    form = LayerForm(activation=activation, eps=1e-5, dtype=torch.bfloat16)
    found = values_and_gradients(triton_layer, tokens, weights, plane, form)
    expected = values_and_gradients(defined_layer, tokens, weights, plane, form)
    assert found[0].dtype == torch.float32
    assert 1e-5 < worst(found, expected) < 0.02


def test_a_step_repeats_bit_for_bit(triton_layer):
    tokens, weights, plane = random_case(40, size_hw=(4, 3), device=DEVICE)
    first, second = (values_and_gradients(triton_layer, tokens, weights, plane, RELU) for _ in "ab")
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


def test_a_layer_in_place_gives_the_same_and_the_other_leaves_its_input_alone(triton_layer):
    tokens, weights, plane = random_case(50, size_hw=(4, 3), device=DEVICE)
    before = tokens.clone()
    out = triton_layer(tokens, weights, plane, GELU)
    assert torch.equal(tokens, before)
    layer_in_place(tokens, weights.folded(), plane, GELU, passes=triton_layer.keywords["passes"])
    torch.testing.assert_close(tokens, out)


@pytest.mark.parametrize(
    ("num_cells", "num_around", "channels"), [(300, 700, 7), (3, 11, 130), (0, 0, 16)]
)
def test_gradients_of_what_all_cells_share_equal_sums_of_columns(num_cells, num_around, channels):
    from lidistill.backbones.waffleiron.gpu.columns import sums_over_cells

    rng = torch.Generator().manual_seed(0)
    sizes = (num_around, *[num_cells] * 3)
    around, cells, grad, flat = (
        torch.randn(size, channels, generator=rng).to(DEVICE) for size in sizes
    )
    filled = torch.rand(num_cells, generator=rng).to(DEVICE)
    found = sums_over_cells(around, cells, grad, flat, filled)
    expected = around.sum(0), cells.sum(0), (grad * flat).sum(0), filled @ grad
    torch.testing.assert_close(found, torch.stack(expected), rtol=1e-5, atol=1e-4)
