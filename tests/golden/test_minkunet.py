"""MinkUNet against the vectors of SLidR's own network."""

import json

import pytest
import torch
import torch.nn.functional as F
from golden_cases import golden_files, load_module, read_tensors
from golden_networks import relative
from torch import nn

from lidistill.backbones import MinkUNetConfig
from lidistill.backbones.minkunet.inputs import inputs_of_cells
from lidistill.backbones.minkunet.published import architecture, from_slidr
from lidistill.distill.heads import LinearHead
from lidistill.records import Batch
from lidistill.samples.preparer import CHANNELS
from lidistill.sparse.layout import kernel_offsets

TINY = golden_files("minkunet/tiny*.safetensors")
FULL = golden_files("minkunet/full*.safetensors")


def read(file):
    tensors, meta = read_tensors(file)
    return tensors, meta["config"]


def build(official, facts):
    """Their weights as our network and head."""
    named = from_slidr(official)
    channels = CHANNELS[: facts["in_channels"]]
    momentum = facts.get("bn_momentum", 0.05)
    found = architecture(named.backbone)
    backbone = MinkUNetConfig(**found, channels=channels, bn_momentum=momentum).build()
    backbone.load_state_dict(named.backbone)
    head = LinearHead(backbone.num_channels, facts["out_channels"])
    head.load_state_dict(named.head)
    return nn.ModuleDict({"backbone": backbone, "head": head})


def batch_of(tensors, kernel_size):
    """Cells as if each was a point of its own, in their order."""
    cells = tensors["in.coords"]
    return Batch(
        offsets=torch.tensor([0, len(cells)]),
        features=tensors["in.feats"],
        inputs=inputs_of_cells(cells, kernel_size),
    )


def outputs(net, batch, facts):
    out = net["head"](net["backbone"](batch))
    return F.normalize(out, dim=1) if facts["normalize_features"] else out


def tiny(file):
    tensors, facts = read(file)
    official = {k.removeprefix("sd."): v for k, v in tensors.items() if k.startswith("sd.")}
    return tensors, facts, official, build(official, facts)


def at_level(inside, coords, batch, stride):
    """Rows of a level in the order of the vectors' coordinates, which are in finest cells."""
    cells = batch[:, 1:] // stride
    unique = torch.unique(torch.cat([batch[:, :1], cells], 1), dim=0)
    rows = {tuple(cell): row for row, cell in enumerate(unique.tolist())}
    wanted = torch.cat([coords[:, :1], coords[:, 1:] // stride], 1).tolist()
    return inside[[rows[tuple(cell)] for cell in wanted]]


@pytest.mark.parametrize("file", TINY)
@pytest.mark.parametrize("folded", [False, True])
def test_evaluation_outputs_equal_the_reference(file, folded):
    tensors, facts, _, net = tiny(file)
    backbone = net["backbone"].eval()
    if folded:
        net["backbone"] = backbone = backbone.for_inference()
    seen = {}

    def watch(name, module):
        module.register_forward_hook(lambda _module, _args, out: seen.update({name: out}))

    watch("block1", backbone.stages[0])
    watch("block4", backbone.stages[3])
    watch("block7", backbone.stages[6])
    if not folded:
        watch("conv1p1s2", backbone.stages[0].move.conv)
        watch("convtr4p16s2", backbone.stages[4].move.conv)
    with torch.no_grad():
        out = outputs(net, batch_of(tensors, facts["kernel_size"]), facts)
    torch.testing.assert_close(out, tensors["eval.out"], rtol=0, atol=2e-5)
    strides = {"block1": 2, "conv1p1s2": 2, "block4": 16, "convtr4p16s2": 8, "block7": 2}
    for name, rows in seen.items():
        coords = tensors[f"eval.{name}.coords"]
        found = at_level(rows, coords, tensors["in.coords"], strides[name])
        torch.testing.assert_close(found, tensors[f"eval.{name}"], rtol=1e-5, atol=5e-5)


@pytest.mark.parametrize("file", TINY)
def test_a_step_of_training_equals_the_reference(file):
    tensors, facts, _, net = tiny(file)
    net.train()
    out = outputs(net, batch_of(tensors, facts["kernel_size"]), facts)
    torch.testing.assert_close(out, tensors["train.out"], rtol=0, atol=5e-5)
    loss = (out - tensors.get("train.target", torch.zeros(()))).square().mean()
    assert loss.item() == pytest.approx(float(tensors["train.loss"]), rel=1e-5)
    loss.backward()
    gradients = {
        k.removeprefix("train.grad."): v for k, v in tensors.items() if k.startswith("train.grad.")
    }
    expected = from_slidr(gradients)
    for part, wanted in (("backbone", expected.backbone), ("head", expected.head)):
        own = dict(net[part].named_parameters())
        assert own.keys() == wanted.keys()
        for name, gradient in wanted.items():
            assert relative(own[name].grad, gradient) < 1e-4, name


@pytest.mark.parametrize("file", TINY)
def test_both_momenta_of_the_norms_equal_the_reference(file):
    tensors, facts, official, net = tiny(file)
    net.train()
    outputs(net, batch_of(tensors, facts["kernel_size"]), facts)
    after = {
        k.removeprefix("train.buffer_after."): v
        for k, v in tensors.items()
        if k.startswith("train.buffer_after.")
    }
    expected = from_slidr(official | after).backbone
    found = net["backbone"].state_dict()
    buffers = [name for name in found if "running" in name or "tracked" in name]
    assert len(buffers) == len(after)
    for name in buffers:
        torch.testing.assert_close(found[name], expected[name], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("file", FULL)
def test_networks_of_the_published_sizes_equal_the_reference(file):
    tensors, facts = read(file)
    kind = file.stem.removeprefix("full")
    keys = json.loads((file.parent / "minkunet_keys.json").read_text())[kind]
    fill = load_module(file.parent / "fill.py").fill
    official = {
        key: torch.from_numpy(fill(f"minkunet{kind}/{key}", tuple(shape)).copy())
        for key, shape in keys["keys"].items()
    }
    net = build(official, facts).eval()
    assert sum(p.numel() for p in net.parameters()) == keys["parameters"]
    momenta = keys["bn_momentum"] or {}
    modules = dict(net["backbone"].named_modules())
    for name, momentum in momenta.items():
        probe = from_slidr({"conv0p1s1.kernel": torch.ones(1), f"{name}.weight": torch.ones(1)})
        (ours,) = (n for n in probe.backbone if n != "stem.conv.kernel")
        assert modules[ours.removesuffix(".weight")].momentum == momentum, name
    with torch.no_grad():
        out = outputs(net, batch_of(tensors, facts["kernel_size"]), facts)
    found = out[tensors["sel_cells"].long()]
    torch.testing.assert_close(found, tensors["eval.out_sel"], rtol=0, atol=2e-6)


@pytest.mark.parametrize("file", golden_files("minkunet/slidr_voxels.safetensors"))
@pytest.mark.parametrize("coordinates", ["cylindrical", "cartesian"])
def test_cells_of_a_scan_equal_the_reference(file, coordinates):
    tensors, facts = read_tensors(file)
    points = tensors["points"]
    preparer = MinkUNetConfig(coordinates=coordinates).inputs()
    cells = preparer.cells(points[:, :3])
    kept, inverse = (tensors[f"{coordinates}.{name}"].long() for name in ("kept_index", "inverse"))
    expected = tensors[f"{coordinates}.coords"].long()[inverse]
    assert int((cells != expected).any(1).sum()) <= facts["points_whose_float64_cell_differs"]
    if torch.equal(cells, expected):
        inputs = preparer.prepare_on_device(points[:, :3], points[:, 3:])
        assert sorted(inputs.first.tolist()) == kept.tolist()
        assert torch.equal(inputs.first[inputs.cell], kept[inverse])


@pytest.mark.parametrize("file", golden_files("minkunet/kernel_offsets.json"))
def test_places_of_a_kernel_equal_the_reference(file):
    stored = json.loads(file.read_text())
    sizes = [int(size) for size in stored if size.isdigit()]
    assert sizes
    for size in sizes:
        assert kernel_offsets(size).tolist() == stored[str(size)]
