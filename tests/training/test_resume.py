import pytest
from fakes.runs import finetune_values, pretrain_values, probe_values

from lidistill.config import resume_rule
from lidistill.recipes import apply_overrides

EVERY_RUN = (
    "name",
    "output",
    "device",
    "data.in_memory",
    "data.sets.0.root",
    "data.sets.0.missing",
    "data.bad_frames.policy",
    "train.steps",
    "train.epochs",
    "train.checkpoint_every",
    "train.keep_checkpoints",
    "train.keep_best",
    "train.max_bad_steps",
    "train.sharding",
)
OF_LABELS = ("workers", "evaluation.sets.0.root", "evaluation.num_frames", "votes.votes")
MAY_CHANGE = {
    "pretrain": (*EVERY_RUN, "data.workers", "samples", "figures.enabled", "figures.frames"),
    "probe": (*EVERY_RUN, *OF_LABELS),
    "finetune": (*EVERY_RUN, *OF_LABELS),
}
MAY_MOVE = {"pretrain": ("teacher_cache", "init"), "probe": ("teacher_cache",), "finetune": ()}
FIXED = (
    "seed",
    "kind",
    "optimizer.lr",
    "schedule.warmup_steps",
    "train.batch_size",
    "train.micro_batch",
    "train.precision",
    "data.sets.0.split",
    "data.num_frames",
    "data.weights",
    "no.such.key",
    "data.sets.7.split",
)
VALUES = {"pretrain": pretrain_values, "probe": probe_values, "finetune": finetune_values}


@pytest.mark.parametrize("kind", VALUES)
def test_what_may_change_on_resume_is_what_changes_nothing_that_is_learned(kind, tmp_path):
    recipe = apply_overrides(VALUES[kind](tmp_path), (), source="tiny")
    rules = {
        **dict.fromkeys(FIXED),
        **dict.fromkeys(MAY_CHANGE[kind], "may change"),
        **dict.fromkeys(MAY_MOVE[kind], "may move"),
    }
    assert {key: resume_rule(recipe, key) for key in rules} == rules
