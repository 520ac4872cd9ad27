import copy

import pytest
import torch
from torch import nn

from lidistill.segment.heads import SegmentationHead


def test_a_fresh_probe_gives_every_class_the_same_score():
    head = SegmentationHead(8, 5)
    assert torch.equal(head(torch.randn(7, 8)), torch.zeros(7, 5))


def test_a_probe_standardises_its_input():
    head = SegmentationHead(2, 2)
    torch.nn.init.eye_(head.linear.weight)
    out = head(torch.randn(500, 2) * 50 + 9)
    torch.testing.assert_close(out.mean(0), torch.zeros(2), atol=1e-4, rtol=0)
    torch.testing.assert_close(out.std(0, correction=0), torch.ones(2), atol=1e-4, rtol=0)


@pytest.mark.parametrize("mean", [0.0, 30.0, 1e4])
def test_a_probe_of_frozen_features_learns_as_norm_and_matrix_one_after_the_other(mean):
    torch.manual_seed(0)
    head = SegmentationHead(6, 4)
    nn.init.normal_(head.linear.weight)
    nn.init.normal_(head.norm.bias)
    defined = nn.Sequential(nn.BatchNorm1d(6), nn.Linear(6, 4)).double()
    defined[0].load_state_dict(head.norm.state_dict())
    defined[1].load_state_dict(head.linear.state_dict())
    features = torch.randn(20_000, 6) * torch.rand(6) + mean
    above = torch.randn(20_000, 4)
    scores, expected = head(features), defined(features.double())
    torch.testing.assert_close(scores.double(), expected, atol=5e-5, rtol=0)
    scores.backward(above)
    expected.backward(above.double())
    for one, other in zip(head.parameters(), defined.parameters(), strict=True):
        assert (one.grad - other.grad).norm() <= 1e-3 * other.grad.norm()
    for one, other in zip(head.norm.buffers(), defined[0].buffers(), strict=True):
        torch.testing.assert_close(one.to(other.dtype), other, rtol=1e-5, atol=1e-6)


def test_a_channel_that_never_changes_says_nothing_however_large_it_is():
    head = SegmentationHead(2, 3)
    nn.init.ones_(head.linear.weight)
    features = torch.tensor([[1000.0, 1], [1000, -1]])
    torch.testing.assert_close(head(features), features[:, 1:].expand(2, 3), atol=1e-4, rtol=0)


def test_frozen_features_and_features_that_learn_get_the_same_scores():
    torch.manual_seed(0)
    head = SegmentationHead(5, 3)
    nn.init.normal_(head.linear.weight)
    twin, features = copy.deepcopy(head), torch.randn(40, 5) + 3
    torch.testing.assert_close(head(features), twin(features.clone().requires_grad_()))
    torch.testing.assert_close(head.norm.running_var, twin.norm.running_var)
    torch.testing.assert_close(head.eval()(features), twin.eval()(features))
