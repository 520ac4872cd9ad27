import copy

import pytest
import torch
import torch.nn.functional as F
from fakes.batches import SMALL_GRID, opened, random_batch

from lidistill.backbones import WaffleIronConfig
from lidistill.backbones.waffleiron.grid import GridConfig


def small(**options):
    torch.manual_seed(0)
    return WaffleIronConfig(**({"width": 16, "depth": 4, "grid": SMALL_GRID} | options)).build()


def step(net, batch):
    out = net.train()(batch)
    weights = torch.linspace(-1, 1, out.numel()).view_as(out)
    (out * weights).sum().backward()
    return out.detach(), [p.grad for p in net.parameters()]


@pytest.mark.parametrize("activation", ["relu", "gelu"])
@pytest.mark.parametrize("norm", ["layer", "batch"])
def test_occupied_and_dense_networks_are_equal(activation, norm):
    batch = random_batch((40, 2, 25))
    results = [
        step(small(spatial=spatial, activation=activation, norm=norm).double(), wide(batch))
        for spatial in ("occupied", "dense")
    ]
    torch.testing.assert_close(results[0][0], results[1][0], rtol=1e-6, atol=1e-6)
    for fast, plain in zip(results[0][1], results[1][1], strict=True):
        torch.testing.assert_close(fast, plain, rtol=1e-5, atol=1e-6)


def wide(batch):
    return type(batch)(
        offsets=batch.offsets,
        features=batch.features.double(),
        inputs=batch.inputs,
    )


def test_recomputing_layers_changes_nothing_even_with_stochastic_depth():
    batch = random_batch((40, 25))
    results = []
    for checkpointing in (False, True):
        net = small(checkpointing=checkpointing, drop_path=0.5)
        torch.manual_seed(3)
        results.append(step(net, batch))
    assert torch.equal(results[0][0], results[1][0])
    assert all(torch.equal(a, b) for a, b in zip(results[0][1], results[1][1], strict=True))


def test_a_dropped_scan_keeps_its_embedding_and_a_kept_one_is_scaled_up(monkeypatch):
    net = small(drop_path=0.25, depth=1).train()
    batch = random_batch((10, 12))
    residual = torch.tensor([[0.0, 1.0], [0.0, 0.0]])
    monkeypatch.setattr(net, "draw_kept", lambda *_: residual)
    out = net(batch)
    embedded = net.embed(batch.features, opened(batch).neighbors)
    torch.testing.assert_close(out[:10], embedded[:10])
    full = net.layers[0].spatial(embedded, net.planes(batch)[0], None)
    torch.testing.assert_close(out[10:], embedded[10:] + full[10:] / 0.75)


def test_draws_are_one_per_mix_and_scan_with_the_right_rate():
    kept = small(drop_path=0.2).draw_kept(5000, torch.device("cpu"))
    assert kept.shape == (8, 5000)
    assert set(kept.unique().tolist()) == {0, 1}
    assert kept.mean().item() == pytest.approx(0.8, abs=0.01)


def test_stochastic_depth_rests_in_evaluation():
    net = small(drop_path=0.9).eval()
    batch = random_batch((30,))
    assert torch.equal(net(batch), net(batch))


def test_lower_precision_keeps_the_residual_stream_in_float32():
    net = small(activation="gelu").eval()
    batch = random_batch((60,))
    exact = net(batch)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        low = net(batch)
    assert low.dtype == torch.float32
    assert 0 < (low - exact).norm() < 0.05 * exact.norm()


def test_layer_scale_starts_uniform_or_at_a_constant():
    uniform = small(width=500, depth=1).layers[0].channel.scale
    assert -1 < uniform.min() < -0.9 < 0.9 < uniform.max() < 1
    constant = small(layer_scale_init=0.1).layers[0].spatial.scale
    assert torch.equal(constant, torch.full((16,), 0.1))


@pytest.mark.parametrize(("width", "millions"), [(256, 6.8), (384, 15.1), (768, 59.4)])
def test_widths_of_the_paper_have_the_parameters_of_the_paper(width, millions):
    with torch.device("meta"):
        net = WaffleIronConfig(width=width).build()
    assert sum(p.numel() for p in net.parameters()) / 1e6 == pytest.approx(millions, abs=0.06)


def test_layers_take_turns_on_the_planes():
    net = small(depth=5)
    seen = []
    for layer in net.layers:
        layer.register_forward_pre_hook(lambda _m, args: seen.append(args[1].size_hw))
    net(random_batch((20,)))
    first, second, third = SMALL_GRID.planes
    assert seen == [first, second, third, first, second]


def test_samples_made_for_other_grids_are_refused():
    batch = random_batch((20,), grid=GridConfig(axes=(2,), planes=((12, 10),)))
    with pytest.raises(ValueError, match="cells of 1 grids, this backbone needs 3"):
        small()(batch)


def plain_embedding(embed, features, neighbors):
    """The definition, with every neighbour's hidden layer in memory."""
    x = embed.feature_norm(features)
    edges = (x[neighbors[:, 1:]] - x[:, None]).flatten(0, 1)
    hidden = embed.hidden_norm(embed.difference(embed.difference_norm(edges)))
    near = embed.neighbor(F.relu(hidden)).unflatten(0, (len(x), -1)).amax(1)
    return embed.merge(torch.cat([embed.point(x), near], dim=1))


@pytest.mark.parametrize("training", [True, False])
def test_the_folded_embedding_equals_its_definition(training):
    batch = random_batch((40, 30))
    features = (batch.features.double() * torch.tensor([0.1, 9, 20, 1, 3])).requires_grad_()
    folded = small().embed.double().train(training)
    for name, buffer in folded.named_buffers():
        if name.endswith("running_var"):
            buffer.uniform_(0.5, 2)
    plain = copy.deepcopy(folded)
    found = folded(features, opened(batch).neighbors)
    expected = plain_embedding(plain, features, opened(batch).neighbors)
    torch.testing.assert_close(found, expected, rtol=1e-8, atol=1e-8)
    direction = torch.randn_like(found)
    grads = [
        torch.autograd.grad((out * direction).sum(), [features, *net.parameters()])
        for net, out in ((folded, found), (plain, expected))
    ]
    for fast, slow in zip(*grads, strict=True):
        torch.testing.assert_close(fast, slow, rtol=1e-6, atol=1e-8)
    for name, buffer in plain.named_buffers():
        torch.testing.assert_close(folded.get_buffer(name), buffer, rtol=1e-8, atol=1e-8)
