import numpy as np
import pytest
import torch
import torch.nn.functional as F

from lidistill.segment import logistic
from lidistill.segment.logistic import STRENGTHS, choose_strength, fit_logistic


def blobs(num=20, spread=0.3, seed=0):
    rng = torch.Generator().manual_seed(seed)
    centres = F.normalize(torch.randn(3, 12, generator=rng), dim=1)
    classes = torch.arange(3).repeat_interleave(num)
    noise = spread * torch.randn(3 * num, 12, generator=rng)
    return F.normalize(centres[classes] + noise, dim=1), classes


def test_it_is_at_the_minimum_of_the_regularised_loss():
    features, classes = blobs()
    weight, bias = fit_logistic(features, classes, 3, strength=0.01)

    def loss(weight, bias):
        scores = features.double() @ weight.t() + bias
        own = scores.gather(1, classes[:, None]).squeeze(1)
        return (scores.logsumexp(1) - own).mean() + 0.005 * weight.square().sum()

    best = loss(weight, bias)
    rng = torch.Generator().manual_seed(1)
    for _ in range(20):
        step = 1e-2 * torch.randn(weight.shape, generator=rng, dtype=torch.float64)
        shift = 1e-2 * torch.randn(3, generator=rng, dtype=torch.float64)
        assert loss(weight + step, bias + shift) > best


def test_every_class_counts_the_same_however_many_examples_it_has():
    features, classes = blobs(spread=1.0)
    once = fit_logistic(features, classes, 3, strength=0.1)
    more = torch.cat([features, *([features[classes == 2]] * 9)])
    labels = torch.cat([classes, torch.full((9 * 20,), 2)])
    often = fit_logistic(more, labels, 3, strength=0.1)
    torch.testing.assert_close(often[0], once[0], atol=1e-4, rtol=1e-3)


def test_noisy_examples_get_more_regularisation_than_clean_ones():
    groups = list(range(60))
    rng = np.random.default_rng(0)
    chance = torch.from_numpy(rng.normal(size=(60, 200)))
    labels = torch.arange(3).repeat_interleave(20)
    noisy = choose_strength(F.normalize(chance, dim=1), labels, groups, 3)
    assert noisy in STRENGTHS
    clean, classes = blobs(spread=0.05)
    assert choose_strength(clean, classes, groups, 3) == max(STRENGTHS)  # of equals the strongest


def test_sizes_of_one_image_are_left_out_together(monkeypatch):
    features, classes = blobs(num=6)
    groups = [i // 2 for i in range(18)]
    kept = []

    def fit(features_EC, classes_E, num_classes, *, strength):
        kept.append({tuple(row) for row in features_EC.tolist()})
        return torch.zeros(3, 12, dtype=torch.float64), torch.zeros(3, dtype=torch.float64)

    monkeypatch.setattr(logistic, "fit_logistic", fit)
    logistic.choose_strength(features, classes, groups, 3)
    rows = [tuple(row) for row in features.tolist()]
    for seen in kept:
        assert all((rows[i] in seen) == (rows[i + 1] in seen) for i in range(0, 18, 2))


@pytest.mark.parametrize("num", [1, 2])
def test_one_image_a_class_is_enough(num):
    features, classes = blobs(num=num, spread=0.01)
    strength = choose_strength(features, classes, list(range(3 * num)), 3)
    weight, bias = fit_logistic(features, classes, 3, strength=strength)
    assert ((features.double() @ weight.t() + bias).argmax(1) == classes).all()
