import copy

import torch

from lidistill.teachers import TargetCenter


def batches(*sizes: int) -> list[torch.Tensor]:
    draw = torch.Generator().manual_seed(2)
    return [3 + torch.randn(size, 4, generator=draw) for size in sizes]


def test_every_pair_weighs_the_same() -> None:
    center = TargetCenter(4, num_batches=3)
    parts = batches(5, 1, 40)
    for part in parts:
        center.update(part)
    everything = torch.cat(parts)
    torch.testing.assert_close(center.mean.float(), everything.mean(0))
    torch.testing.assert_close(center(everything).mean(0), torch.zeros(4), atol=1e-6, rtol=0)


def test_the_mean_stands_still_once_enough_batches_are_seen() -> None:
    center = TargetCenter(4, num_batches=2)
    first, second, third = batches(5, 6, 7)
    center.update(first)
    assert not center.is_frozen
    center.update(second)
    assert center.is_frozen
    mean = center.mean.clone()
    center.update(third)
    assert torch.equal(center.mean, mean)


def test_a_center_goes_through_a_checkpoint_half_way() -> None:
    parts = batches(5, 6, 7)
    whole, first_half = TargetCenter(4, num_batches=3), TargetCenter(4, num_batches=3)
    for part in parts:
        whole.update(part)
    first_half.update(parts[0])
    resumed = TargetCenter(4, num_batches=3)
    resumed.load_state_dict(first_half.state_dict())
    for part in parts[1:]:
        resumed.update(part)
    assert resumed.is_frozen
    assert torch.equal(resumed.mean, whole.mean)


def test_processes_share_their_sums() -> None:
    mine, theirs = batches(5, 11)
    others = torch.cat([theirs.double().sum(0), torch.tensor([11.0])])
    center = TargetCenter(4, num_batches=1)
    center.update(mine, total=lambda sums: sums + others)
    torch.testing.assert_close(center.mean.float(), torch.cat([mine, theirs]).mean(0))


def test_a_batch_without_pairs_leaves_the_mean_finite() -> None:
    center = TargetCenter(4, num_batches=2)
    center.update(torch.zeros(0, 4))
    assert torch.equal(center.mean, torch.zeros(4, dtype=torch.float64))


def test_the_count_follows_what_others_write_to_it() -> None:
    """A bad step gives the buffers what they held before, and a checkpoint is loaded into them."""
    center = TargetCenter(2, num_batches=2)
    center.update(torch.ones(3, 2))
    before = center.num_seen.clone()
    center.update(torch.ones(3, 2))
    assert center.is_frozen
    center.num_seen.copy_(before)
    assert not center.is_frozen
    center.load_state_dict(center.state_dict() | {"num_seen": torch.tensor(5)})
    assert center.is_frozen
    assert not TargetCenter(2, num_batches=2).is_frozen
    moved = copy.deepcopy(center)
    moved.num_seen.zero_()
    assert (moved.is_frozen, center.is_frozen) == (False, True)
