"""Daily work with runs: start from given weights, make a finished run longer, add a data set."""

import logging

import pytest
import torch
from fakes.runs import pretrain_values, write_street, write_world
from fakes.teachers import write_vit

from lidistill.distill.run import pretrain
from lidistill.distill.step import build_distiller
from lidistill.distill.teacher_config import UNNAMED_TEACHER
from lidistill.errors import CheckpointError, ConfigError
from lidistill.recipes import apply_overrides
from lidistill.training.checkpoint import load_checkpoint
from lidistill.training.run_files import read_log


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    folder = tmp_path_factory.mktemp("going-on")
    write_world(folder)
    pretrain(recipe(folder, "train.steps=4"))
    return folder


def recipe(folder, *changes):
    return apply_overrides(pretrain_values(folder), changes, source="tiny")


def test_a_run_starts_with_the_weights_of_another(world, tmp_path, caplog):
    given = load_checkpoint(world / "pretrain")
    changes = (f"init={world / 'pretrain'}", f"output={tmp_path / 'new'}", "seed=7")
    no_learning = ("train.steps=1", "schedule.warmup_steps=2")  # the first rate of a warm-up is 0
    with caplog.at_level(logging.INFO):
        made = load_checkpoint(pretrain(recipe(world, *changes, *no_learning)))
    assert "starting with backbone and head of" in caplog.text
    learned = [name for name in given.weights if "running" not in name and "batches" not in name]
    for name in learned:
        if name.startswith(("backbone.", "head.")):
            assert torch.equal(made.weights[name], given.weights[name]), name
    assert made.meta["init"].startswith("backbone and head of")


def test_random_weights_differ_from_given_ones(world):
    """The test above can fail: without init nothing is equal."""
    given = load_checkpoint(world / "pretrain").weights
    fresh = build_distiller(recipe(world, "seed=7"), _groups(world)).state_dict()
    assert not torch.equal(fresh["head.linear.weight"], given["head.linear.weight"])


def _groups(world):
    return {UNNAMED_TEACHER: recipe(world).teacher.build().groups}


def test_a_head_of_another_teacher_starts_anew(world, tmp_path, caplog):
    other = write_vit(tmp_path / "vit", seed=5)
    changes = (f"init={world / 'pretrain'}", f"output={tmp_path / 'new'}", "train.steps=1")
    with caplog.at_level(logging.INFO):
        path = pretrain(recipe(world, *changes, f"teacher.model={other}"))
    assert "the head starts anew: that of the run was distilled from another teacher" in caplog.text
    assert load_checkpoint(path).meta["init"].startswith("backbone of")


def test_another_backbone_is_refused_before_anything_is_trained(world, tmp_path):
    changes = (f"init={world / 'pretrain'}", f"output={tmp_path / 'new'}", "backbone.width=16")
    with pytest.raises(CheckpointError, match="init needs the same backbone"):
        pretrain(recipe(world, *changes))
    assert not (tmp_path / "new" / "checkpoints").exists()


def test_a_run_that_goes_on_no_longer_needs_what_it_began_with(world, tmp_path):
    start = tmp_path / "start"
    pretrain(recipe(world, f"output={start}", "train.steps=1"))
    changes = (f"init={start}", f"output={tmp_path / 'new'}")
    first = load_checkpoint(pretrain(recipe(world, *changes, "train.steps=2")))
    start.rename(tmp_path / "away")
    last = load_checkpoint(pretrain(recipe(world, *changes, "train.steps=3")))
    assert last.step == 3
    assert str(start) in first.meta["init"]
    assert last.meta["init"] == first.meta["init"]


def test_a_finished_run_can_be_made_longer_but_not_shorter(world, tmp_path, caplog):
    output = f"output={tmp_path / 'run'}"
    pretrain(recipe(world, output, "train.steps=3"))
    with caplog.at_level(logging.WARNING):
        path = pretrain(recipe(world, output, "train.steps=5"))
    assert load_checkpoint(path).step == 5
    assert "now has 5 steps in all: from step 3 on" in caplog.text
    steps = [line["step"] for line in read_log(tmp_path / "run" / "log.jsonl")]
    assert steps == [1, 2, 3, 4, 5]
    with pytest.raises(CheckpointError, match="has done 5 steps, more than the 2"):
        pretrain(recipe(world, output, "train.steps=2"))


def test_a_data_set_is_added_on_the_command_line(world, tmp_path):
    write_street(tmp_path / "more", name="002")
    added = recipe(
        world,
        "data.sets.1.kind=pandaset",
        f"data.sets.1.root={tmp_path / 'more'}",
        "data.sets.1.split=all",
    )
    assert len(added.data.build()) == 8
    whole = recipe(world, f"data.sets.1={{kind: pandaset, root: {tmp_path / 'more'}, split: all}}")
    assert whole.data == added.data
    with pytest.raises(ConfigError, match="'3' is not an index of a list of 1"):
        recipe(world, "data.sets.3.kind=pandaset")
