"""Numbers of the network that no shape shows: epsilons, drop paths, planes, first weights."""

import pytest
import torch
from fakes.batches import SMALL_GRID, random_batch
from torch import nn

from lidistill.backbones import WaffleIronConfig
from lidistill.backbones.waffleiron.grid import GridConfig
from lidistill.distill.heads import MLPHeadConfig, build_head
from lidistill.segment.heads import SegmentationHead

NORMS = (nn.LayerNorm, nn.BatchNorm1d)


def network(**changes):
    torch.manual_seed(0)
    return WaffleIronConfig(**({"width": 16, "depth": 4, "grid": SMALL_GRID} | changes)).build()


def test_every_norm_has_epsilon_1e_5_and_every_batchnorm_momentum_a_tenth():
    backbone = network()
    norms = [
        m for m in (*backbone.modules(), *SegmentationHead(16, 3).modules()) if isinstance(m, NORMS)
    ]
    assert len(norms) == 3 + 2 * 4 + 1
    assert {norm.eps for norm in norms} == {1e-5}
    assert {norm.momentum for norm in norms if isinstance(norm, nn.BatchNorm1d)} == {0.1}
    assert {layer.form(torch.float32).eps for layer in backbone.layers} == {1e-5}


def test_a_layernorm_divides_by_the_root_of_variance_plus_epsilon():
    """Where all channels are nearly equal, epsilon decides; in training and when folded."""
    backbone = network(depth=1).eval()
    batch = random_batch((40,))
    with torch.no_grad():
        for parameter in backbone.embed.parameters():
            parameter.mul_(0)
        backbone.embed.merge.bias.copy_(torch.linspace(0, 6e-3, 16))  # variance 3.5e-6
        x = backbone.embed.merge.bias
        normed = (x - x.mean()) / torch.sqrt(x.var(correction=0) + 1e-5)
        mix = backbone.layers[0].channel
        backbone.layers[0].spatial.scale.zero_()
        hidden = torch.relu(mix.linear1.weight @ normed + mix.linear1.bias)
        expected = x + mix.scale * (mix.linear2.weight @ hidden + mix.linear2.bias)
        for form in (backbone, backbone.for_inference()):
            torch.testing.assert_close(form(batch)[7], expected, rtol=1e-4, atol=1e-5)


def test_running_statistics_move_a_tenth_of_the_way():
    backbone, batch = network().train(), random_batch((60, 40))
    backbone(batch)
    mean, variance = batch.features.mean(0), batch.features.var(0)
    norm = backbone.embed.feature_norm
    torch.testing.assert_close(norm.running_mean, 0.1 * mean)
    torch.testing.assert_close(norm.running_var, 0.9 + 0.1 * variance)


@pytest.mark.parametrize(("width", "millions"), [(256, 6.8), (384, 15.1), (768, 59.4)])
def test_the_networks_have_the_papers_numbers_of_parameters(width, millions):
    with torch.device("meta"):
        backbone = WaffleIronConfig(width=width, depth=48).build()
    assert sum(p.numel() for p in backbone.parameters()) / 1e6 == pytest.approx(millions, abs=0.05)


def test_layer_scales_start_uniform_between_minus_one_and_one():
    scales = torch.cat(
        [p.detach() for n, p in network(width=256).named_parameters() if n.endswith("scale")]
    )
    assert len(scales) == 2 * 4 * 256
    assert 0.99 < float(scales.max()) <= 1
    assert -1 <= float(scales.min()) < -0.99
    assert float(scales.abs().mean()) == pytest.approx(0.5, abs=0.03)


def test_layers_project_along_z_y_x_in_turn_onto_cells_of_half_a_metre():
    grid = GridConfig()
    assert (grid.axes, grid.planes) == ((2, 1, 0), ((256, 256), (256, 32), (256, 32)))
    sizes = [
        (high - low) / n
        for high, low, n in zip(grid.fov_max, grid.fov_min, (256, 256, 32), strict=True)
    ]
    assert sizes == [0.5, 0.5, 0.5]
    backbone, batch = network(depth=4).eval(), random_batch((30,))
    seen = []
    for layer in backbone.layers:
        layer.register_forward_pre_hook(lambda _module, inputs: seen.append(inputs[1]))
    backbone(batch)
    planes = backbone.planes(batch)
    assert [next(i for i, p in enumerate(planes) if torch.equal(p.cell, s.cell)) for s in seen] == [
        0,
        1,
        2,
        0,
    ]


def test_drop_paths_draw_once_a_mix_and_scan_and_keep_the_mean():
    backbone = network(drop_path=0.2)
    kept = torch.stack([backbone.draw_kept(50, torch.device("cpu")) for _ in range(50)])
    assert kept.shape == (50, 8, 50)
    assert set(kept.unique().tolist()) == {0, 1}
    assert kept.mean(dim=(0, 2)).tolist() == pytest.approx([0.8] * 8, abs=0.03)  # the same in all
    keep = []
    backbone.layers[0].register_forward_pre_hook(lambda _module, inputs: keep.append(inputs[2]))
    for _ in range(8):
        backbone.train()(random_batch((30, 30)))
    assert set(torch.stack(keep).unique().tolist()) == {0.0, 1.25}
    keep.clear()
    backbone.eval()(random_batch((30, 30)))
    assert keep == [None]


def test_heads_are_one_layer_or_two_with_a_relu_between_and_a_probe_starts_at_zero():
    head = build_head(MLPHeadConfig(), 768, (1024,))
    assert [tuple(p.shape) for p in head.parameters()] == [
        (2048, 768),
        (2048,),
        (1024, 2048),
        (1024,),
    ]
    x = torch.randn(3, 768)
    hidden = (x @ head.linear1.weight.T + head.linear1.bias).clamp(min=0)
    torch.testing.assert_close(head(x), hidden @ head.linear2.weight.T + head.linear2.bias)
    probe = SegmentationHead(8, 5)
    assert not probe.linear.weight.any()
    assert not probe.linear.bias.any()
    x = torch.randn(50, 8) * 3 + 1
    probe.linear.weight.data.normal_()
    normed = (x - x.mean(0)) / torch.sqrt(x.var(0, correction=0) + 1e-5)
    torch.testing.assert_close(probe.train()(x), normed @ probe.linear.weight.T)
