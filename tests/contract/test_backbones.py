import pytest
import torch
from fakes.batches import SMALL_GRID, random_batch

from lidistill.backbones import BACKBONES
from lidistill.records import Batch

SMALL = {"waffleiron": {"width": 16, "depth": 4, "grid": SMALL_GRID}}


@pytest.fixture(params=sorted(BACKBONES))
def backbone(request):
    torch.manual_seed(0)
    return BACKBONES[request.param](**SMALL[request.param]).build()


def part_of(batch: Batch, scan: int) -> Batch:
    start, stop = batch.offsets[scan : scan + 2].tolist()
    return Batch(
        offsets=torch.tensor([0, stop - start]),
        features=batch.features[start:stop],
        neighbors=batch.neighbors[start:stop] - start,
        cells=batch.cells[start:stop],
    )


def test_every_table_entry_has_a_small_configuration_here():
    assert set(SMALL) == set(BACKBONES)


@pytest.mark.parametrize("lengths", [(30,), (1,), (1, 40, 3)])
def test_each_point_gets_a_feature(backbone, lengths):
    out = backbone.eval()(random_batch(lengths))
    assert out.shape == (sum(lengths), backbone.num_channels)
    assert out.dtype == torch.float32
    assert out.isfinite().all()


def test_every_parameter_gets_a_gradient(backbone):
    out = backbone.train()(random_batch((30, 20)))
    torch.manual_seed(1)
    (out * torch.randn_like(out)).sum().backward()
    missing = [name for name, p in backbone.named_parameters() if p.grad is None]
    assert not missing
    assert all(p.grad.isfinite().all() for p in backbone.parameters())


def test_scans_of_a_batch_are_independent(backbone):
    backbone.eval()
    batch = random_batch((30, 1, 20))
    whole = backbone(batch)
    alone = torch.cat([backbone(part_of(batch, scan)) for scan in range(batch.num_scans)])
    torch.testing.assert_close(whole, alone, rtol=1e-4, atol=1e-5)


def test_every_parameter_has_a_layer(backbone):
    found = {backbone.layer_of(name) for name, _ in backbone.named_parameters()}
    assert found == set(range(backbone.num_layers + 1))


def test_an_unknown_parameter_has_no_layer(backbone):
    with pytest.raises(KeyError):
        backbone.layer_of("layers.0.spatial.missing")


def test_training_repeats_bit_for_bit(backbone):
    gradients = []
    for _ in range(2):
        backbone.zero_grad()
        backbone.train()(random_batch((30, 20))).square().mean().backward()
        gradients.append([p.grad.clone() for p in backbone.parameters()])
    assert all(torch.equal(a, b) for a, b in zip(*gradients, strict=True))
