import numpy as np
import pytest
from fakes.runs import finetune_values, pretrain_values, probe_values, write_world

from lidistill.distill.run import pretrain
from lidistill.recipes import apply_overrides
from lidistill.segment.report import train_and_score


def make(values, *overrides):
    return apply_overrides(values, overrides, source="tiny")


def cloud(num_points=700, seed=0):
    """Points of one scan inside the tiny field of view, no two at one distance of a third."""
    rng = np.random.default_rng(seed)
    points = rng.uniform([-20, -20, -2], [20, 20, 3], (num_points, 3)).astype(np.float32)
    return points, rng.uniform(0, 80, num_points).astype(np.float32)


@pytest.fixture(scope="session")
def runs(tmp_path_factory):
    """A distillation, a probe and a fine-tuning of a tiny network."""
    folder = tmp_path_factory.mktemp("deploy")
    write_world(folder)
    pretrain(make(pretrain_values(folder)))
    train_and_score(make(probe_values(folder)))
    train_and_score(make(finetune_values(folder), "train.steps=2"))
    return folder
