"""The short form of ``benchmarks/faults.py``: every fault a few times."""

import numpy as np
import pytest
import torch
from fakes import faults, faults_disk, faults_hostile, faults_numbers

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    torch.set_num_threads(1)
    return faults.build_world(tmp_path_factory.mktemp("faults"), steps=6)


@pytest.fixture
def rng():
    return np.random.default_rng(7)


def test_a_killed_run_loses_nothing_and_goes_on_bit_for_bit(world, rng):
    assert faults.killed(world, 2, rng).failures == []


def test_a_run_that_is_asked_to_stop_saves_first(world, rng):
    assert faults.stopped(world, 2, rng).failures == []


def test_a_run_cut_anywhere_equals_an_uncut_one_whatever_the_workers(world):
    assert faults.resumed(world, 3, (0, 2)).failures == []


def test_a_limit_on_files_leaves_the_old_checkpoint_and_says_what_is_wrong(world, rng):
    assert faults_disk.small_files(world, 2, rng).failures == []


def test_a_step_that_is_not_finite_leaves_every_weight_as_it_was(world, rng):
    assert faults_numbers.not_finite(world, 4, rng).failures == []


def test_hostile_checkpoints_and_recipes_do_nothing(world):
    count = len(faults_hostile.CHECKPOINTS) + len(faults_hostile.RECIPES)
    assert faults_hostile.hostile(world, count).failures == []
