"""Sums over processes, in processes that are forked and talk over gloo."""

import pytest
import torch
from fakes.processes import together

from lidistill.distributed.all_reduce import (
    SingleRowError,
    SyncedBatchNorm,
    gather_over_ranks,
    place_among_ranks,
    pool_moments,
    sum_over_ranks,
    world_size,
)

ROWS = (5, 0, 3)  # of each process; one has none


def rows(rank):
    """This process's rows of a table that all know, and where they lie in it."""
    table = torch.randn(sum(ROWS), 4, generator=torch.Generator().manual_seed(0))
    first = sum(ROWS[:rank])
    return table, slice(first, first + ROWS[rank])


def test_one_process_adds_nothing():
    x = torch.ones(3)
    assert world_size() == 1
    assert sum_over_ranks(x) is x
    assert gather_over_ranks(x) is x
    assert place_among_ranks(3, x.device) == (0, 3)


def check_sums(rank):
    x = torch.tensor([1.0 + rank], requires_grad=True)
    total = sum_over_ranks(x)
    assert total.item() == 6
    (total * (rank + 1)).sum().backward()
    assert x.grad.item() == 6  # every process's loss depends on every summand


def test_sums_and_their_gradients_go_to_all(tmp_path):
    together(check_sums, tmp_path)


def check_gathered(rank):
    table, own = rows(rank)
    x = table[own].clone().requires_grad_()
    whole = gather_over_ranks(x)
    assert torch.equal(whole, table)
    assert place_among_ranks(len(x), x.device) == (own.start, sum(ROWS))
    (whole * torch.arange(8.0)[:, None]).sum().backward()
    assert torch.equal(x.grad, 3 * torch.arange(8.0)[own, None].expand(-1, 4))


def test_rows_of_different_numbers_come_together_in_order(tmp_path):
    together(check_gathered, tmp_path)


def check_pooled(rank):
    table, own = rows(rank)
    x, wide = table[own].double(), table.double()
    mean = x.mean(0)
    centred = x - mean
    cov = centred.t() @ centred / max(1, len(x))
    mean, cov, count = pool_moments(mean, cov, len(x))
    assert count == sum(ROWS)
    torch.testing.assert_close(mean, wide.mean(0))
    torch.testing.assert_close(cov, torch.cov(wide.t(), correction=0))


def test_moments_are_those_of_all_rows_together(tmp_path):
    together(check_pooled, tmp_path)


def check_norm(rank):
    table, own = rows(rank)
    weights = torch.arange(8.0)[:, None]
    alone, shared = torch.nn.BatchNorm1d(4), SyncedBatchNorm(4)
    whole = table.clone().requires_grad_()
    expected = alone(whole)
    (expected.square() * weights).sum().backward()
    x = table[own].clone().requires_grad_()
    found = shared(x)
    (found.square() * weights[own]).sum().backward()
    torch.testing.assert_close(found, expected[own])
    torch.testing.assert_close(x.grad, whole.grad[own], atol=1e-4, rtol=1e-4)
    for name, buffer in alone.named_buffers():
        torch.testing.assert_close(shared.get_buffer(name), buffer)


def test_batch_normalisation_over_processes_is_that_of_the_whole_batch(tmp_path):
    together(check_norm, tmp_path)


@pytest.mark.parametrize("training", [True, False])
def test_in_one_process_it_is_torchs_own(training):
    x = torch.randn(6, 4)
    norms = [torch.nn.BatchNorm1d(4), SyncedBatchNorm(4)]
    out = [norm.train(training)(x) for norm in norms]
    assert torch.equal(*out)


@pytest.mark.parametrize("count", [0, 1])
def test_a_single_row_has_no_variance_and_changes_no_statistics(count):
    norm = SyncedBatchNorm(4)
    with pytest.raises(SingleRowError, match=f"has {count} rows"):
        norm(torch.ones(count, 4))
    assert torch.equal(norm.get_buffer("running_var"), torch.ones(4))
    assert norm.eval()(torch.ones(count, 4)).shape == (count, 4)
