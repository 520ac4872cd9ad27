import pytest
import torch
import torch.nn.functional as F

from lidistill.distill.spread import TargetSpread
from lidistill.teachers.centering import TargetCenter


def spread_of(num_channels, num_batches):
    return TargetSpread(
        [num_channels], num_channels, form="distance", num_batches=num_batches, name="a"
    )


def test_a_teacher_that_has_not_seen_a_point_yet_does_not_drown_the_others():
    """Losses are weighed by one over the unit: 0.01 would make them a hundredth of the sum."""
    spread = spread_of(4, 2)
    assert (spread.value.item(), spread.value.dtype) == (1, torch.float32)
    spread.update(torch.eye(4) + 1, lambda x: x)
    assert 0.3 < spread.value.item() < 0.4


@pytest.mark.parametrize(("size", "tolerance"), [(200, 1e-5), (3000, 0.02)])
def test_batches_that_differ_give_the_spread_around_the_final_mean(size, tolerance):
    """Each place has features of its own: early batches lie close to the mean of few."""
    rng = torch.Generator().manual_seed(0)
    batches = [
        2 * torch.randn(1, 16, generator=rng) + torch.randn(size, 16, generator=rng) + 5
        for _ in range(5)
    ]
    spread, center = spread_of(16, 5), TargetCenter(16, num_batches=5)
    for batch in batches:
        center.update(batch)
        spread.update(batch, center)
    every = torch.cat(batches).double()
    unit = F.normalize(every - every.mean(0), dim=1)
    expected = (unit - F.normalize(unit.mean(0), dim=0)).norm(dim=1).mean()
    assert spread.is_frozen
    assert spread.value.item() == pytest.approx(expected.item(), rel=tolerance)
    before = spread.value.item()
    spread.update(batches[0], center)
    assert spread.value.item() == before
