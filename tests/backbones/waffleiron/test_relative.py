"""Channels of which a network sees only differences between neighbours."""

from dataclasses import replace

import pytest
import torch
from fakes.batches import random_batch

from backbones.waffleiron.test_folded import relative, trained
from lidistill.backbones import WaffleIronConfig

CHANNELS = ("intensity", "x", "y", "z", "radius")


@pytest.mark.parametrize("train", [False, True])
def test_a_place_far_away_looks_the_same(train):
    batch = random_batch((40, 30))
    moved = replace(batch, features=batch.features + torch.tensor([0.0, 7, -5, 2, 0]))
    outs = []
    for names in (("x", "y", "z"), ("x", "y")):
        net = trained(relative=names).train(train)
        outs.append([net(one).detach() for one in (batch, moved)])
    assert relative(*outs[0]) < 1e-5
    if not train:  # there BatchNorm takes the mean out of what is left
        assert relative(*outs[1]) > 0.01


def test_neighbours_still_tell_and_so_do_the_other_channels():
    net, batch = trained(relative=("x", "y", "z")), random_batch((40, 30))
    for column in range(5):
        features = batch.features.clone()
        features[3, column] += 2
        changed = net(replace(batch, features=features)).detach()
        assert relative(changed, net(batch).detach()) > 1e-4


def test_nothing_relative_is_the_network_as_it_was():
    net, batch = trained(), random_batch((40, 30))
    named = trained(relative=CHANNELS)
    assert net.state_dict().keys() == named.state_dict().keys()
    named.load_state_dict(net.state_dict())
    assert relative(named(batch).detach(), net(batch).detach()) > 0.01
    assert torch.equal(trained(relative=())(batch), net(batch))


def test_the_folded_network_and_that_of_a_runtime_do_the_same():
    net, batch = trained(relative=("x", "radius"), num_neighbors=4), random_batch((40, 1, 30))
    assert relative(net.for_inference()(batch), net(batch).detach()) < 1e-5
    form, one = net.export_form(), random_batch((50,))
    assert relative(form.network(*form.feed(one)), net(one).detach()) < 1e-5


def test_only_channels_can_be_relative():
    with pytest.raises(ValueError, match="relative x, height: name only channels, x, z"):
        WaffleIronConfig(channels=("x", "z"), relative=("x", "height"))
