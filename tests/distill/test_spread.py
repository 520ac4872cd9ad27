import torch

from lidistill.distill.spread import TargetSpread


def test_a_teacher_that_has_not_seen_a_point_yet_does_not_drown_the_others():
    """Losses are weighed by one over the unit: 0.01 would make them a hundredth of the sum."""
    spread = TargetSpread([4], form="distance", num_batches=2, name="a")
    assert (spread.value.item(), spread.value.dtype) == (1, torch.float32)
    spread.update(torch.eye(4) + 1, lambda x: x)
    assert 0.3 < spread.value.item() < 0.4
