import pytest
import torch
from torch.nn.functional import gelu

from lidistill.backbones.litept.blocks import Pooling
from lidistill.backbones.litept.inputs import SerializedInputs, inputs_of_cells
from lidistill.backbones.litept.litept import LitePTConfig
from lidistill.backbones.litept.ptv3 import PTv3Config
from lidistill.errors import ConfigError
from lidistill.records import Batch

LITEPT = {"widths": (8, 8, 12), "depths": (1, 2, 2), "decoder_widths": (8, 12), "heads": (2,)}
PTV3 = {
    "widths": (8, 8),
    "depths": (2, 1),
    "heads": (2, 1),
    "decoder_widths": (8,),
    "decoder_depths": (2,),
    "decoder_heads": (2,),
}


def litept(**changes):
    return LitePTConfig(**(LITEPT | {"patch_size": 8} | changes))


@pytest.mark.parametrize("lengths", [(0,), (20, 0, 9), (0, 1)])
@pytest.mark.parametrize("kind", ["litept", "ptv3"])
def test_an_empty_scan_changes_no_other(kind, lengths):
    torch.manual_seed(0)
    config = litept() if kind == "litept" else PTv3Config(**PTV3, patch_size=8)
    network = config.build().eval()
    batch = batch_of(config, lengths)
    out = network(batch)
    assert out.shape == (sum(lengths), 8)
    others = batch_of(config, tuple(length for length in lengths if length) or (0,))
    torch.testing.assert_close(out, network(others))


def batch_of(config, lengths=(60, 40), reach=12):
    rng = torch.Generator().manual_seed(0)
    cells = [torch.randint(reach, (length, 3), generator=rng) for length in lengths]
    offsets = torch.tensor((0, *lengths)).cumsum(0)
    parts = [inputs_of_cells(some, config.rule()) for some in cells]
    features = torch.randn(sum(lengths), len(config.channels), generator=rng)
    inputs = SerializedInputs.collate(parts, offsets[:-1].tolist())
    return Batch(offsets=offsets, features=features, inputs=inputs)


@pytest.mark.parametrize(
    ("kind", "changes", "reason"),
    [
        (LitePTConfig, {"heads": (5,)}, r"heads: 5 heads share 12 channels; expected 6 channels"),
        (LitePTConfig, {"heads": (1,) * 4}, r"heads has 4 numbers, for 3 widths"),
        (LitePTConfig, {"depths": (1, 2)}, r"depths has 2 numbers; with 3 widths expected 3"),
        (LitePTConfig, {"decoder_widths": (8,)}, r"decoder_widths has 1 numbers; .* expected 2"),
        (LitePTConfig, {"channels": ("x", "x")}, r"channels x, x: name each once"),
        (LitePTConfig, {"grid_size": 1e-3}, r"256 m has too many cells of 0.001 m; expected at"),
        (LitePTConfig, {"fov_max": (-200.0, 1.0, 1.0)}, r"fov_min .* must lie below fov_max"),
        (LitePTConfig, {"widths": (8, 8, 8190), "depths": (1, 1, 256)}, r"may have .* weights"),
        (PTv3Config, {"decoder_widths": (8000,), "decoder_depths": (256,)}, r"may have .* weights"),
        (PTv3Config, {"heads": (2,)}, r"heads has 1 numbers; with 2 widths expected 2"),
        (PTv3Config, {"decoder_depths": ()}, r"decoder_depths has 0 numbers; .* expected 1"),
        (PTv3Config, {"decoder_heads": (3,)}, r"decoder_heads: 3 heads share 8 channels"),
    ],
)
def test_a_configuration_that_makes_no_network_is_one_clear_line(kind, changes, reason):
    values = LITEPT if kind is LitePTConfig else PTV3
    with pytest.raises(ValueError, match=reason):
        kind(**(values | changes))


def test_layers_are_counted_from_the_stem_down_and_back_up():
    network = PTv3Config(**PTV3).build()
    layers = {
        "stem.conv.kernel": 0,
        "encoder.0.blocks.1.patch.attention.qkv.weight": 2,
        "encoder.1.entry.proj.weight": 3,
        "encoder.1.blocks.0.local.linear.weight": 3,
        "decoder.0.entry.skip.weight": 4,
        "decoder.0.blocks.0.patch.mlp_wide.weight": 4,
        "decoder.0.blocks.1.patch.mlp_wide.weight": 5,
    }
    assert {name: network.layer_of(name) for name in layers} == layers
    assert network.num_layers == 5
    shallow = litept().build()
    assert (shallow.layer_of("decoder.1.entry.skip.bias"), shallow.num_layers) == (6, 7)
    assert shallow.layer_of("decoder.0.entry.skip.bias") == 7


def test_rates_of_stochastic_depth_rise_and_fall_on_the_way_back():
    plan = PTv3Config(**(PTV3 | {"drop_path": 0.2})).plan()
    assert [b.drop_path for blocks in plan.encoder for b in blocks] == pytest.approx([0, 0.1, 0.2])
    assert [b.drop_path for b in plan.decoder[0]] == pytest.approx([0.2, 0])


def test_intensity_can_be_given_in_another_scale():
    config = litept(intensity_gain=3.0, intensity_shift=0.5)
    plain, scaled = litept().build().eval(), config.build().eval()
    scaled.load_state_dict(plain.state_dict())
    batch = batch_of(config)
    changed = batch.features * torch.tensor([1, 1, 1, 3.0]) + torch.tensor([0, 0, 0, 0.5])
    other = Batch(offsets=batch.offsets, features=changed, inputs=batch.inputs)
    with torch.no_grad():
        torch.testing.assert_close(scaled(batch), plain(other))


@pytest.mark.parametrize("rule", ["never", "training", "always"])
def test_orders_are_shuffled_where_it_is_asked_for_and_never_by_default_in_evaluation(rule):
    config = litept(shuffle_orders=rule, drop_path=0.0)
    network, batch = config.build(), batch_of(config)
    network.train()(batch)
    for training, shuffled in ((True, rule != "never"), (False, rule == "always")):
        network.train(training)
        results = set()
        with torch.no_grad():
            for seed in range(6):
                torch.manual_seed(seed)
                results.add(network(batch).sum().item())
        assert (len(results) > 1) == shuffled
    assert LitePTConfig().shuffle_orders == PTv3Config().shuffle_orders == "training"


def test_why_it_cannot_become_onnx_is_one_clear_line():
    for network, name in ((litept().build(), "LitePT"), (PTv3Config(**PTV3).build(), "PTv3")):
        with pytest.raises(ConfigError, match=f"^{name} reads orders of cells.*leave --onnx out"):
            network.export_form()


def test_a_pooling_takes_the_largest_child_and_gives_it_the_gradient():
    torch.manual_seed(0)
    pooling = Pooling(3, 4, 0.1).eval()
    x = torch.randn(5, 3, requires_grad=True)
    children = torch.tensor([[0, 2, 3, 0, 0, 0, 0, 0], [4, 1, 4, 4, 4, 4, 4, 4]])
    projected = pooling.proj(x)
    largest = torch.stack([projected[[0, 2, 3]].amax(0), projected[[1, 4]].amax(0)])
    expected = gelu(pooling.norm(largest))
    found = pooling(x, children)
    torch.testing.assert_close(found, expected)
    (gradient,) = torch.autograd.grad(found.square().sum(), x)
    (by_definition,) = torch.autograd.grad(expected.square().sum(), x)
    torch.testing.assert_close(gradient, by_definition)
    with torch.no_grad():
        assert torch.equal(pooling(x, children), found)


def test_of_equal_children_the_first_has_the_gradient():
    pooling = Pooling(2, 2, 0.1).eval()
    x = torch.ones(4, 2, requires_grad=True)
    children = torch.tensor([[2, 1, 3, 2, 2, 2, 2, 2]])
    (gradient,) = torch.autograd.grad(pooling(x, children).sum(), x)
    assert gradient.abs().sum(1).nonzero().flatten().tolist() == [2]


def test_points_of_one_cell_have_the_features_of_its_first():
    config = litept()
    network = config.build().eval()
    cells = torch.tensor([[0, 0, 0], [3, 1, 2], [0, 0, 0], [9, 9, 9]])
    features = torch.randn(4, 4)
    batch = Batch(
        offsets=torch.tensor([0, 4]),
        features=features,
        inputs=inputs_of_cells(cells, config.rule()),
    )
    with torch.no_grad():
        out = network(batch)
        assert torch.equal(out[0], out[2])
        features[2] += 5  # not the first of its cell
        assert torch.equal(network(batch), out)


def test_a_batch_for_another_network_is_refused():
    config = litept()
    batch = batch_of(config)
    other = Batch(offsets=torch.tensor([0, 100]), features=batch.features, inputs=batch.features)
    with pytest.raises(TypeError, match="holds Tensor, this network needs SerializedInputs"):
        config.build()(other)
