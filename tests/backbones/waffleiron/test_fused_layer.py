import pytest
import torch
from fakes.layers import defined_layer, random_case, random_keep, values_and_gradients, worst

from lidistill.backbones.waffleiron.cpu.fused_layer import fused_layer, layer_in_place
from lidistill.backbones.waffleiron.depthwise import occupied_convs
from lidistill.backbones.waffleiron.layer import LayerForm, plain_layer
from lidistill.backbones.waffleiron.plane import build_plane


@pytest.fixture(params=[1, 2], ids=["one-thread", "two-threads"])
def _threads(request):
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("_threads")
@pytest.mark.parametrize("activation", ["relu", "gelu"])
@pytest.mark.parametrize("eps", [1e-5, -1.0], ids=["norms", "no-norms"])
@pytest.mark.parametrize("num_points", [1, 2, 70, 3000])
def test_values_and_gradients_equal_the_plain_version(activation, eps, num_points):
    tokens, weights, plane = random_case(num_points, only_read=num_points > 2)
    form = LayerForm(activation=activation, eps=eps)
    for keep in (None, random_keep(plane, num_points)):
        case = (tokens, weights, plane, form, keep)
        found = values_and_gradients(fused_layer, *case)
        assert worst(found, values_and_gradients(defined_layer, *case)) < 1e-5


@pytest.mark.parametrize("activation", ["relu", "gelu"])
def test_lower_precision_stays_close_in_values_and_gradients(activation):
    tokens, weights, plane = random_case(500)
    form = LayerForm(activation=activation, eps=1e-5, dtype=torch.bfloat16)
    found = values_and_gradients(fused_layer, tokens, weights, plane, form)
    expected = values_and_gradients(defined_layer, tokens, weights, plane, form)
    assert found[0].dtype == torch.float32
    assert 1e-5 < worst(found[:1], expected[:1]) < 0.02
    # Gradients of a ReLU: rounding decides on which side of 0 a number lies.
    assert worst(found, expected) < (0.1 if activation == "relu" else 0.02)


@pytest.mark.usefixtures("_threads")
def test_200_000_points_with_most_cells_empty_equal_the_plain_version():
    tokens, weights, plane = random_case(200_000, channels=4, num_scans=3, size_hw=(40, 30))
    form = LayerForm(activation="relu", eps=1e-5)
    found = values_and_gradients(fused_layer, tokens, weights, plane, form)
    expected = values_and_gradients(defined_layer, tokens, weights, plane, form)
    assert worst(found, expected) < 1e-5


def test_the_plain_layer_is_the_same_on_occupied_cells():
    tokens, weights, plane = random_case(60)
    weights = weights.folded()
    form = LayerForm(activation="gelu", eps=1e-5)
    dense = plain_layer(tokens, weights, plane, form)
    occupied = plain_layer(tokens, weights, plane, form, convs=occupied_convs)
    torch.testing.assert_close(occupied, dense)


def test_a_step_repeats_bit_for_bit():
    tokens, weights, plane = random_case(3000)
    case = (tokens, weights, plane, LayerForm(activation="relu", eps=1e-5))
    first, second = (values_and_gradients(fused_layer, *case) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


def test_a_layer_in_place_gives_the_same_and_the_other_leaves_its_input_alone():
    tokens, weights, plane = random_case(300)
    form, before = LayerForm(activation="relu", eps=1e-5), tokens.clone()
    out = fused_layer(tokens, weights, plane, form)
    assert torch.equal(tokens, before)
    layer_in_place(tokens, weights.folded(), plane, form)
    torch.testing.assert_close(tokens, out)


@pytest.mark.usefixtures("_threads")
def test_a_layer_hands_on_what_the_next_one_would_have_made():
    tokens, weights, plane = random_case(700, only_read=True)
    weights = weights.folded()
    cells = torch.randint(90, (700,), generator=torch.Generator().manual_seed(3))
    scan = plane.scan[plane.reads]
    following = build_plane(cells, scan, num_scans=2, size_hw=(10, 9))
    form = LayerForm(activation="relu", eps=1e-5)
    expected = plain_layer(plain_layer(tokens, weights, plane, form), weights, following, form)
    flat = layer_in_place(tokens, weights, plane, form, following=following)
    assert layer_in_place(tokens, weights, following, form, flat=flat) is None
    assert worst([tokens], [expected]) < 1e-5
