import pytest
import torch
from fakes.batches import SMALL_GRID, random_batch
from fakes.pointwise_backbone import PointwiseConfig

from lidistill.backbones import WaffleIronConfig
from lidistill.errors import ConfigError


def trained(**keys):
    """A network whose norms have statistics, as after training."""
    torch.manual_seed(0)
    network = WaffleIronConfig(width=16, depth=4, grid=SMALL_GRID, num_neighbors=6, **keys).build()
    for name, buffer in network.named_buffers():
        if name.endswith("running_mean"):
            buffer.normal_()
        elif name.endswith("running_var"):
            buffer.uniform_(0.5, 2)
    return network.eval()


@pytest.mark.parametrize("norm", ["layer", "batch"])
@pytest.mark.parametrize("activation", ["relu", "gelu"])
@pytest.mark.parametrize("flatten", ["mean", "sum_over_count_eps"])
def test_the_graph_computes_what_the_network_computes(norm, activation, flatten):
    network = trained(norm=norm, activation=activation, flatten=flatten)
    form = network.export_form()
    for length in (7, 60):
        batch = random_batch((length,), num_neighbors=6, seed=length)
        with torch.no_grad():
            expected = network(batch)
            found = form.network(*form.feed(batch))
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


def test_in_half_precision_it_differs_by_rounding_only():
    network, batch = trained(), random_batch((60,), num_neighbors=6)
    form = network.export_form(torch.float16)
    found, expected = form.network(*form.feed(batch)), network.for_inference()(batch)
    assert found.dtype == torch.float32
    scale = expected.abs().max()
    assert 0 < (found - expected).abs().max() < 0.01 * scale


def test_two_close_points_far_away_differ_in_half_precision():
    """At 60 m half precision has steps of 3 cm; their difference must not be rounded to one."""
    network, batch = trained(), random_batch((20,), num_neighbors=6)
    near, far = batch.features.clone(), batch.features.clone()
    far[:, 1:4] += 60.0  # x, y, z
    form = network.export_form(torch.float16)
    _, *tables = form.feed(batch)
    embed = form.network.embed
    get = embed.get_buffer
    with torch.no_grad():
        get("point").zero_()  # what is left is the branch of the differences
        moved = embed(far, tables[0]) - embed(near, tables[0])
    assert moved.abs().max() < 2e-3


def test_one_scan_at_a_time():
    with pytest.raises(ValueError, match="one scan at a time, found 2"):
        trained().export_form().feed(random_batch((5, 6), num_neighbors=6))


def test_a_network_without_such_a_form_says_so():
    with pytest.raises(ConfigError, match="leave --onnx out"):
        PointwiseConfig().build().export_form()
