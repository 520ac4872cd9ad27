from dataclasses import replace

import pytest
import torch
from fakes.batches import SMALL_GRID, opened, random_batch

from lidistill.backbones import WaffleIronConfig
from lidistill.backbones.waffleiron.inputs import WaffleInputs


def trained(**options):
    """A network whose norms have statistics and affine parts that matter."""
    torch.manual_seed(0)
    net = WaffleIronConfig(**({"width": 16, "depth": 4, "grid": SMALL_GRID} | options)).build()
    for name, tensor in net.state_dict().items():
        if name.endswith(("running_var", "norm.weight")):
            tensor.uniform_(0.5, 2)
        elif name.endswith(("running_mean", "norm.bias")):
            tensor.normal_()
    return net.eval()


def relative(found, expected):
    return float((found - expected).norm() / expected.norm())


@pytest.mark.usefixtures("both_forms")
@pytest.mark.parametrize("activation", ["relu", "gelu"])
@pytest.mark.parametrize("norm", ["layer", "batch"])
@pytest.mark.parametrize("flatten", ["mean", "sum_over_count_eps"])
def test_the_folded_network_gives_the_same_features(activation, norm, flatten):
    net = trained(activation=activation, norm=norm, flatten=flatten, spatial="dense")
    for lengths in ((40, 1, 25), (1,), (700,)):
        batch = random_batch(lengths)
        expected = net(batch).detach()
        assert relative(net.for_inference()(batch), expected) < 1e-5
        assert 0 < relative(net.for_inference(torch.bfloat16)(batch), expected) < 0.02


def test_float64_takes_the_plain_path():
    net = trained().double()
    batch = random_batch((40, 3))
    wide = replace(batch, features=batch.features.double())
    found = net.for_inference(torch.float64)(wide)
    assert found.dtype == torch.float64
    assert relative(found, net(wide).detach()) < 1e-7


def test_the_folded_network_is_a_copy_without_parameters():
    net, batch = trained(), random_batch((30,))
    folded = net.for_inference()
    before = folded(batch)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.zero_()
    assert torch.equal(folded(batch), before)
    assert not list(folded.parameters())
    assert not before.requires_grad
    assert (folded.num_channels, folded.num_layers, folded.grid) == (16, 4, SMALL_GRID)


def test_scans_of_a_batch_do_not_touch_each_other():
    folded, batch = trained().for_inference(), random_batch((40, 25))
    alone = replace(
        batch,
        offsets=batch.offsets[:2],
        features=batch.features[:40],
        inputs=WaffleInputs(neighbors=opened(batch).neighbors[:40], cells=opened(batch).cells[:40]),
    )
    torch.testing.assert_close(folded(batch)[:40], folded(alone))
