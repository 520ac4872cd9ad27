"""How often a step of a distillation makes Python wait for a GPU."""

import contextlib
import dataclasses
import itertools

import pytest
import torch
from fakes.runs import pretrain_values, write_world
from fakes.waits import GPU, Waits, let_it_train

from lidistill.distill.objective import num_counted
from lidistill.distill.run import build_run, pretrain, training_batches
from lidistill.recipes import apply_overrides
from lidistill.teachers import base
from lidistill.training.config import BatchSource, Training
from lidistill.training.loop import _text
from lidistill.training.precision import make_scaler
from lidistill.training.run_files import read_log
from lidistill.training.step import Stepper
from lidistill.training.tracking import JsonLinesTracker

ONE_READING = {("step", "copy from the GPU"): 1}
"""Python has to know whether loss and gradient are finite before the optimiser may step: a step
that is not leaves weights and statistics as they were. The numbers of the log come with it."""
FIRST_LOOK = {("centering", "a number"): 1}
"""How many batches a checkpoint says were seen."""
COLOURS = {("base", "copy to the GPU"): 2}
"""What images are standardised by, in the first batch."""
WAYS = {
    "paper": (),
    "passes": ("train.micro_batch=1", "backbone.checkpointing=true"),
    "clipped": ("optimizer.clip_norm=1", "train.precision=fp16"),
    "cached": ("teacher_cache=cache",),
    "lidar": ("teacher={kind: lidistill, run: world/pretrain}",),
    "class token": (
        *("head.kind=linear", "head.per_layer=true"),
        *("teacher.class_token=true", "target.class_token=0.1"),
    ),
}


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    folder = tmp_path_factory.mktemp("world")
    write_world(folder)
    pretrain(apply_overrides(pretrain_values(folder), ["train.steps=1"], source="tiny"))
    return folder


@pytest.mark.parametrize("way", WAYS)
def test_a_step_waits_for_the_gpu_once(world, tmp_path, monkeypatch, way):
    let_it_train(monkeypatch)
    base._colours.cache_clear()
    monkeypatch.chdir(tmp_path)
    (tmp_path / "world").symlink_to(world)
    recipe = apply_overrides(pretrain_values(world), WAYS[way], source="tiny")
    run = dataclasses.replace(build_run(recipe), device=GPU)
    groups = list(training_batches(run)(0, 4))
    distiller = run.build_distiller().to(GPU).train()
    for batch_teacher in run.batch_teachers.values():
        if recipe.teacher_cache is not None:
            for batch in itertools.chain(*groups):  # as an earlier epoch leaves it
                batch_teacher(batch)
        batch_teacher.teacher.to(GPU)
    feed = BatchSource(batches=training_batches(run), steps_per_epoch=2, weight=num_counted)
    training = Training(module=distiller, feed=feed, recipe=recipe, device=GPU, meta={})
    optimizer = recipe.optimizer.build(distiller)
    scaler = make_scaler(GPU, recipe.train.precision)
    stepper = Stepper(training, distiller, optimizer, scaler)
    tracker = JsonLinesTracker(tmp_path / "log.jsonl", resume_step=0)
    found = []
    for step, group in enumerate(groups):
        with Waits() as waits:
            result = stepper(step, group)
            tracker.log(step + 1, result.values)
            _text(result.values)
        assert result.fault is None
        found.append(dict(waits.found))
    tracker.close()
    first = ONE_READING | FIRST_LOOK | ({} if way in {"cached", "lidar"} else COLOURS)
    assert found == [first, ONE_READING, ONE_READING, ONE_READING]
    assert len(read_log(tmp_path / "log.jsonl")) == 4


ASKS = {
    "a number": lambda x, _: x.sum().item(),
    "its truth": lambda x, _: bool(x.sum() > 0),
    "a list": lambda x, _: x.cpu().tolist(),
    "a mask": lambda x, _: x[x > 1],
    "a mask to write": lambda x, _: x.index_put_((x > 1,), torch.ones(4, device=GPU)),
    "where": lambda x, _: x.nonzero(),
    "what is there": lambda x, _: torch.masked_select(x, x > 1).shape,
    "how often": lambda x, _: torch.bincount(x.long()),
    "repeated": lambda x, _: torch.repeat_interleave(x, torch.ones_like(x).long()),
    "a copy": lambda _, y: y.to(GPU),
    "a copy into": lambda x, y: x.copy_(y),
    "numbers": lambda x, _: torch.tensor([1.0, 2.0], device=x.device),
    "new numbers": lambda x, _: x.new_tensor([1.0, 2.0]),
    "a list of rows": lambda x, _: x[[0, 1]],
    "rows of the CPU": lambda x, _: x[torch.arange(2)],
}
"""What each waits for."""
ASKS_NOTHING = {
    "a copy": lambda _, y: y.to(GPU, non_blocking=True),
    "a copy into": lambda x, y: x.copy_(y, non_blocking=True),
    "rows": lambda x, _: x[torch.arange(2, device=GPU)],
    "a part": lambda x, _: x[1:].sum() / len(x),
    "a choice": lambda x, _: torch.where(x > 1, x, 0.0).double(),
    "repeated": lambda x, _: torch.repeat_interleave(x, torch.ones_like(x).long(), output_size=4),
    "on the CPU": lambda _, y: y[y > 1].tolist(),
}


@pytest.mark.parametrize("name", ASKS)
def test_the_count_sees_what_waits(name):
    # Without numbers some have no result, but the question has been put.
    with Waits() as waits, contextlib.suppress(NotImplementedError, RuntimeError):
        ASKS[name](torch.ones(4, device=GPU), torch.ones(4))
    assert waits.found.total() >= 1


@pytest.mark.parametrize("name", ASKS_NOTHING)
def test_the_count_sees_nothing_else(name):
    with Waits() as waits:
        ASKS_NOTHING[name](torch.ones(4, device=GPU), torch.ones(4))
    assert not waits.found
