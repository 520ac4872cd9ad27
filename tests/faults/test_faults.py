"""The short form of ``tests/faults/every_fault.py``: every fault a few times.

Two ranks against one process, the row that is missing here, is ``integration/test_two_processes``.
"""

import numpy as np
import pytest
import torch
from faults import disk as disks
from faults import hostile, not_finite, parents, ranks, trials

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    torch.set_num_threads(1)
    return trials.build_world(tmp_path_factory.mktemp("faults"), steps=6)


@pytest.fixture
def rng():
    return np.random.default_rng(7)


def test_a_killed_run_loses_nothing_and_goes_on_bit_for_bit(world, rng):
    assert trials.killed(world, 2, rng).failures == []


def test_a_run_that_is_asked_to_stop_saves_first(world, rng):
    assert trials.stopped(world, 2, rng).failures == []


def test_a_run_cut_anywhere_equals_an_uncut_one_whatever_the_workers(world):
    assert trials.resumed(world, 3, (0, 2)).failures == []


def test_a_limit_on_files_leaves_the_old_checkpoint_and_says_what_is_wrong(world, rng):
    assert disks.small_files(world, 2, rng).failures == []


@pytest.fixture
def disk():
    with disks.small_disk() as mounted:
        if mounted is None:
            pytest.skip("no file system can be mounted here")
        yield mounted


def test_a_full_disk_leaves_the_old_checkpoint_and_says_so(world, disk, rng):
    assert disks.full_disk(world, disk[0], 1, rng).failures == []


def test_a_read_only_disk_leaves_the_old_checkpoint_and_says_so(world, disk):
    mounted, remount = disk
    assert disks.read_only(world, mounted, remount, 1).failures == []


def test_a_killed_rank_is_started_again_from_the_last_save(world, rng):
    assert ranks.killed_rank(world, 1, rng).failures == []


def test_a_killed_data_worker_is_no_hang_and_leaves_no_orphan(world, rng):
    assert ranks.killed_worker(world, 1, rng).failures == []


def test_a_data_worker_killed_during_a_save_is_named_and_the_run_goes_on(world, rng):
    tally = parents.killed_worker_in_save(world, 3, rng)
    assert tally.failures == []
    assert "killed while the files were written" in tally.facts


def test_ranks_whose_agent_is_killed_save_and_end(world, rng):
    assert parents.killed_agent(world, 1, rng).failures == []


def test_a_step_that_is_not_finite_leaves_every_weight_as_it_was(world, rng):
    assert not_finite.not_finite(world, 4, rng).failures == []


def test_hostile_checkpoints_recipes_archives_and_scans_do_nothing(world):
    assert hostile.hostile(world, len(hostile.ATTACKS)).failures == []
