"""16 bits where the first scans show that they change next to nothing, else 32."""

import logging

import pytest
import torch
from fakes.batches import SMALL_GRID, random_batch

from lidistill.backbones import Backbone, WaffleIronConfig, checked
from lidistill.backbones.checked import (
    CheckedNetwork,
    Difference,
    SameClass,
    same_direction,
)


class Given(Backbone):
    """Gives a batch's own features, of which some rows are others."""

    num_channels, num_layers, channels = 4, 1, ("intensity", "x", "y", "z")

    def __init__(self, wrong=0, value=100.0):
        super().__init__()
        self.wrong, self.value, self.asked = wrong, value, 0

    def forward(self, batch):
        self.asked += 1
        features = batch.features[:, :4].clone()
        features[: self.wrong] = self.value
        return features

    def layer_of(self, parameter_name):
        raise KeyError(parameter_name)


def by_sign(features):
    """Two classes: by the sign of the first channel."""
    return torch.stack([features[:, 0], -features[:, 0]], dim=1)


def network(wrong, *, value=100.0, judge=same_direction, what="direction"):
    return CheckedNetwork(Given(), Given(wrong, value), judge, what=what)


@pytest.fixture
def scan():
    """12,000 points, of which 3 may differ at first and 12 later."""
    return random_batch((12_000,))


@pytest.fixture
def draw(monkeypatch):
    """Says whether scans are checked later."""

    def set_to(value):
        monkeypatch.setattr(checked, "_drawn", lambda _: value)

    set_to(False)
    return set_to


def test_a_waffleiron_goes_on_in_16_bits(caplog, draw):
    torch.manual_seed(0)
    net = WaffleIronConfig(width=16, depth=2, grid=SMALL_GRID).build().eval()
    exact, low = net.for_inference(), net.for_inference(torch.bfloat16)
    found = CheckedNetwork(exact, low, same_direction, what="direction")
    first, second = random_batch((6_000, 5_000)), random_batch((200, 40))
    with caplog.at_level(logging.INFO):
        assert torch.equal(found(first), exact(first))
    assert found.taken == "bf16"
    assert torch.equal(found(second), low(second))
    assert not torch.equal(found(second), exact(second))
    (line,) = [record.message for record in caplog.records]
    assert line == (
        "products in bf16: bf16 gives 0 of the first 11000 points another direction, and at most "
        "3 may have one"
    )
    assert (found.num_channels, found.num_layers, found.channels) == (16, 2, net.channels)


@pytest.mark.parametrize("value", [100.0, float("nan"), float("inf")])
def test_four_changed_points_of_12000_are_too_many_and_three_are_not(value, scan, draw, caplog):
    refused, taken = network(4, value=value), network(3, value=value)
    with caplog.at_level(logging.INFO):
        for net in (refused, taken):
            net.settle([scan, None])  # the second one is not asked for
    assert (refused.taken, taken.taken) == ("fp32", "bf16")
    assert "products in fp32: bf16 gives 4 of the first 12000 points another dir" in caplog.text
    assert torch.equal(refused(scan), refused.exact(scan))
    assert refused.low.asked == 1
    assert torch.equal(taken(scan).isfinite(), taken.low(scan).isfinite())


def test_small_scans_are_put_together_until_they_can_show_it(draw):
    net = network(1)
    for _ in range(9):
        net(random_batch((1_000,)))
        assert net.taken is None
    net(random_batch((1_000,)))
    assert net.seen == Difference(10, 10_000)
    assert net.taken == "fp32"
    few = network(0)
    few.settle(random_batch((1_000,)) for _ in range(9))
    assert few.taken == "fp32"
    assert few.seen == Difference(0, 9_000)


def test_the_head_that_is_used_decides(draw, scan):
    scan.features[:, 0] = 1e-6
    scan.features[:, 1:] = 1.0
    turned = network(9, judge=SameClass(by_sign), what="class")
    turned.low.forward = lambda batch: torch.cat(
        [batch.features[:, :1] * torch.where(torch.arange(12_000) < 9, -1, 1)[:, None],
         batch.features[:, 1:4]], dim=1,
    )  # fmt: skip
    turned.settle([scan])
    assert turned.seen == Difference(9, 12_000)
    assert turned.taken == "fp32"
    alike = CheckedNetwork(turned.exact, turned.low, same_direction, what="direction")
    alike.settle([scan])
    assert alike.seen == Difference(0, 12_000)
    nothing = network(5, value=float("nan"), judge=SameClass(by_sign), what="class")
    nothing.settle([scan])
    assert nothing.seen.changed == 5


@pytest.mark.parametrize(("wrong", "expected"), [(12, "low"), (13, "exact")])
def test_a_scan_that_is_checked_later_falls_back_alone(scan, draw, caplog, wrong, expected):
    net = network(wrong)
    net.taken = "bf16"
    draw(True)
    with caplog.at_level(logging.WARNING):
        found = net(scan)
    assert torch.equal(found, getattr(net, expected)(scan))
    said = "would give 13 of its 12000 points another direction, expected at most 12"
    assert (said in caplog.text) == (expected == "exact")
    assert net.num_exceptions == (expected == "exact")
    draw(False)
    assert torch.equal(net(scan), net.low(scan))


def test_a_few_points_of_a_small_scan_are_no_failure():
    assert [Difference(0, n).most_later for n in (10, 2_999, 4_000, 60_000)] == [3, 3, 4, 60]
    assert [Difference(0, n).most_at_first for n in (10_000, 60_000)] == [3, 18]


def test_one_scan_in_a_hundred_is_drawn_by_its_own_points():
    generator = torch.Generator().manual_seed(0)
    batches = [random_batch((40,)) for _ in range(4)]
    drawn = []
    for number in range(3_000):
        batch = batches[number % 4]
        batch.features.normal_(generator=generator)
        drawn.append(checked._drawn(batch))
        assert checked._drawn(batch) == drawn[-1]
    assert 15 <= sum(drawn) <= 50


def test_features_of_length_zero_agree_with_themselves():
    zero = torch.zeros(3, 4)
    assert same_direction(zero, zero.clone()).all()
    assert not same_direction(zero, zero + 1).any()


def test_there_is_nothing_to_train():
    with pytest.raises(KeyError):
        network(0).layer_of("exact")
