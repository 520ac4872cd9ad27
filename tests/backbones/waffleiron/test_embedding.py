"""The embedding in evaluation: statistics that it has, none of what comes in."""

import pytest
import torch
import torch.nn.functional as F

from lidistill.backbones.waffleiron import embedding
from lidistill.backbones.waffleiron.embedding import Embedding


@pytest.fixture
def learned():
    """An embedding after some batches, features of 50 points and their neighbours."""
    torch.manual_seed(0)
    embed = Embedding(5, 16)
    neighbors = torch.randint(0, 50, (50, 9))
    neighbors[:, 0] = torch.arange(50)
    for _ in range(3):
        embed(3 * torch.randn(50, 5) + 1, neighbors)
    return embed, torch.randn(50, 5), neighbors


def defined(embed, features, neighbors):
    """The embedding by its definition, one layer after the other."""
    normed = embed.feature_norm(features)
    differences = (normed[neighbors[:, 1:]] - normed[:, None]).flatten(0, 1)
    hidden = embed.hidden_norm(embed.difference(embed.difference_norm(differences)))
    near = embed.neighbor(F.relu(hidden)).view(50, 8, 16).amax(1)
    return embed.merge(torch.cat([embed.point(normed), near], dim=1))


def test_evaluation_is_the_definition_and_takes_no_statistics(learned, monkeypatch):
    embed, features, neighbors = learned
    embed.eval()
    expected = defined(embed, features, neighbors)
    for name in ("_covariance", "_moments"):
        monkeypatch.setattr(embedding, name, lambda *_: pytest.fail("statistics of what comes in"))
    before = {name: value.clone() for name, value in embed.state_dict().items()}
    found = embed(features, neighbors)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
    assert all(torch.equal(value, before[name]) for name, value in embed.state_dict().items())


def test_a_single_norm_that_learns_still_sees_what_comes_in(learned):
    embed, features, neighbors = learned
    embed.eval().hidden_norm.train()
    before = embed.hidden_norm.running_var.clone()
    expected = defined(embed, features, neighbors)
    embed.hidden_norm.running_var.copy_(before)
    torch.testing.assert_close(embed(features, neighbors), expected, rtol=1e-4, atol=1e-4)
    assert not torch.equal(embed.hidden_norm.running_var, before)
