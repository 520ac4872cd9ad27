"""See ``test_layer_kernels`` for where these run."""

import pytest
import torch
from fakes.batches import SMALL_GRID, random_batch
from fakes.kernels import DEVICE, pytestmark  # noqa: F401
from fakes.layers import worst
from fakes.processes import together

from lidistill.backbones import WaffleIronConfig
from lidistill.backbones.waffleiron import edge_max
from lidistill.backbones.waffleiron import folded as inference
from lidistill.backbones.waffleiron import model as waffleiron
from lidistill.distributed.processes import distribute_module


@pytest.fixture(name="on_triton")
def _on_triton(monkeypatch):
    """Everything takes the kernels, in the interpreter too, where the points are on the CPU."""
    from lidistill.backbones.waffleiron.gpu.edges import triton_edge_max
    from lidistill.backbones.waffleiron.gpu.layer import TRITON

    def switch():
        for module in (waffleiron, inference):
            monkeypatch.setattr(module, "passes_for", lambda *_: TRITON)
        monkeypatch.setattr(edge_max, "_path_for", lambda *_: triton_edge_max)

    return switch


def small(**options):
    return WaffleIronConfig(width=12, depth=2, grid=SMALL_GRID, **options)


def step(net, batch):
    torch.manual_seed(1)
    out = net.train()(batch)
    weights = torch.linspace(-1, 1, out.numel(), device=out.device).view_as(out)
    net.zero_grad()
    (out * weights).sum().backward()
    return out.detach(), *(p.grad.cpu() for p in net.parameters())


def test_a_step_and_the_folded_network_equal_those_of_the_dense_network(on_triton):
    torch.manual_seed(0)
    config = small(drop_path=0.3, checkpointing=True)
    batch = random_batch((9, 1, 5), num_neighbors=2)
    net, dense = config.build(), config.model_copy(update={"spatial": "dense"}).build()
    dense.load_state_dict(net.state_dict())
    kept = (torch.rand(4, 3) < 0.7).float()
    for one in (net, dense):  # drop the same residuals on every device
        one.draw_kept = lambda _, device: kept.to(device)
    expected, features = step(dense, batch), dense.eval()(batch).detach()
    on_triton()
    net, moved = net.to(DEVICE), batch.to(DEVICE)
    found = step(net, moved)
    assert worst([found[0].cpu(), *found[1:]], expected) < 1e-4
    net.eval()
    assert worst([net.for_inference()(moved).cpu()], [features]) < 1e-5
    low = net.for_inference(torch.bfloat16)(moved).cpu()
    assert 1e-5 < worst([low], [features]) < 0.02


@pytest.mark.skipif(DEVICE != "cpu", reason="processes that share a GPU cannot be forked")
def test_layers_that_are_split_among_processes_give_the_same(on_triton, tmp_path):
    on_triton()
    torch.manual_seed(0)
    net, split = small().build(), small(checkpointing=True).build()
    split.load_state_dict(net.state_dict())
    batch = random_batch((4, 2), num_neighbors=2)

    def compare(_rank):
        device = torch.device("cpu")
        found = step(distribute_module(split, device, "full"), batch)
        gradients = (parameter.grad.full_tensor() for parameter in split.parameters())
        assert worst([found[0], *gradients], step(net, batch)) < 1e-5

    together(compare, tmp_path, ranks=2)
