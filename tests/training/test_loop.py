import dataclasses
import json
import logging
import signal

import numpy as np
import pytest
import torch
import torch.distributed as dist
from torch import nn

from lidistill.config import MayChange, MayMove
from lidistill.distributed.all_reduce import SyncedBatchNorm
from lidistill.errors import CheckpointError, RunStoppedError, TrainingError
from lidistill.loading.loader import step_batches
from lidistill.loading.order import FrameOrder, StepPlan
from lidistill.training.checkpoint import load_checkpoint
from lidistill.training.config import BatchSource, RunRecipe, TrainConfig, Training
from lidistill.training.loop import train
from lidistill.training.optimizer import OptimizerConfig
from lidistill.training.run_files import read_log
from lidistill.training.run_lock import RunLock
from lidistill.training.schedules import CosineSchedule
from lidistill.training.step import step_seed


@dataclasses.dataclass(frozen=True)
class Rows:
    x: torch.Tensor


class Fit(nn.Module):
    """Mean squared output, with dropout so that the random state matters."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.linear = nn.Linear(3, 1)
        self.drop = nn.Dropout(0.5)

    def forward(self, rows):
        return {"loss": (self.drop(self.linear(rows.x)) - 1).square().mean()}


class Interrupted(Fit):
    """Is sent a signal during one of its passes, counted from 1."""

    def __init__(self, at):
        super().__init__()
        self.at, self.calls = at, 0

    def forward(self, rows):
        self.calls += 1
        if self.calls == self.at:
            signal.raise_signal(signal.SIGTERM)
        return super().forward(rows)


def make_rows(epoch, index):
    rng = np.random.default_rng([epoch, index])
    return torch.from_numpy(rng.normal(size=(index + 1, 3)).astype(np.float32))


def join(items):
    return Rows(torch.cat(items))


class Recipe(RunRecipe):
    """A recipe with one key of its own of each kind."""

    beta: float = 0.5
    workers: MayChange[int] = 0
    cache: MayMove[str | None] = None


FIXED = {
    "kind": "fit",
    "name": "fit",
    "seed": 3,
    "device": "cpu",
    "optimizer": OptimizerConfig(lr=0.05),
    "schedule": CosineSchedule(warmup_steps=2),
}


def training(run, *, steps=12, micro_batch=2, module=None, **options):
    """A training; options are fields of the recipe, of the feed or of the training."""
    plan = StepPlan(order=FrameOrder(sizes=(10,), seed=3), batch_size=4, micro_batch=micro_batch)
    length = TrainConfig(steps=steps, batch_size=4, checkpoint_every=5)
    values = {"output": run, "train": length} | FIXED
    fed = {
        "batches": lambda start, stop: step_batches(
            make_rows, join, plan, start=start, stop=stop, workers=0
        ),
        "steps_per_epoch": plan.steps_per_epoch,
        "weight": lambda rows: len(rows.x),
    }
    for key, value in options.items():
        (values if key in Recipe.model_fields else fed)[key] = value
    return Training(
        module=module or Fit(),
        feed=BatchSource(**fed),
        recipe=Recipe(**values),
        device=torch.device("cpu"),
        meta={},
    )


class Stop(Exception):
    pass


def cut_at(step, batches):
    def cut(start, stop):
        for number, group in enumerate(batches(start, stop), start=start):
            if number == step:
                raise Stop
            yield group

    return cut


def losses(run):
    return [record["loss"] for record in read_log(run / "log.jsonl")]


def test_a_cut_run_equals_an_uncut_one_bit_for_bit(tmp_path):
    train(training(tmp_path / "whole"))
    part = training(tmp_path / "cut")
    with pytest.raises(Stop):
        train(training(tmp_path / "cut", batches=cut_at(8, part.feed.batches)))
    assert load_checkpoint(tmp_path / "cut").step == 5
    train(training(tmp_path / "cut"))
    assert losses(tmp_path / "cut") == losses(tmp_path / "whole")
    whole = load_checkpoint(tmp_path / "whole").weights
    for name, weight in load_checkpoint(tmp_path / "cut").weights.items():
        assert torch.equal(weight, whole[name]), name


def test_the_loss_of_a_step_is_the_mean_over_all_its_rows_however_they_are_split(tmp_path):
    modules = []
    for micro_batch in (1, 3, 4):
        module = Fit()
        module.drop = nn.Identity()
        run = tmp_path / str(micro_batch)
        train(training(run, module=module, micro_batch=micro_batch, steps=5))
        modules.append(module)
    for other in modules[1:]:
        torch.testing.assert_close(other.linear.weight, modules[0].linear.weight)
    assert losses(tmp_path / "1") == pytest.approx(losses(tmp_path / "4"), rel=1e-5)


def test_a_finished_run_is_not_trained_again(tmp_path):
    first = train(training(tmp_path))
    before = losses(tmp_path)
    assert train(training(tmp_path)) == first
    assert losses(tmp_path) == before


def test_another_recipe_in_the_same_folder_is_refused(tmp_path):
    train(training(tmp_path))
    with pytest.raises(CheckpointError, match=r"different: beta\).*output=FOLDER"):
        train(training(tmp_path, beta=0.25, workers=2))


def test_what_changes_no_weight_may_differ_on_resume(tmp_path):
    train(training(tmp_path))
    train(training(tmp_path, workers=4))


def test_a_folder_may_move_but_neither_appear_nor_vanish_on_resume(tmp_path):
    train(training(tmp_path, cache="here"))
    train(training(tmp_path, cache="there"))
    with pytest.raises(CheckpointError, match=r"different: cache\)"):
        train(training(tmp_path))


def broken_at(steps, place):
    """A module with a value that is not finite at some steps, in one of several places."""

    class Broken(Fit):
        def __init__(self):
            super().__init__()
            self.norm = nn.BatchNorm1d(3)
            self.calls, self.bad = -1, 1.0
            if place == "gradient":
                self.linear.weight.register_hook(lambda grad: grad * self.bad)

        def forward(self, rows):
            self.calls += 1
            bad = float("nan" if self.calls % 2 else "inf") if self.calls in steps else 1.0
            self.bad = bad
            x = rows.x * bad if place == "input" else rows.x
            loss = super().forward(Rows(self.norm(x)))["loss"]
            return {"loss": loss * (bad if place == "loss" else 1.0)}

    return Broken()


@pytest.mark.parametrize("place", ["input", "loss", "gradient"])
def test_a_step_that_is_not_finite_changes_nothing_and_is_written_down(tmp_path, place):
    module = broken_at({3, 4}, place)
    seen = []

    def watched(start, stop):
        for group in training(tmp_path, micro_batch=4).feed.batches(start, stop):
            seen.append({k: v.clone() for k, v in module.state_dict().items()})
            yield group

    train(training(tmp_path, micro_batch=4, module=module, batches=watched))
    for name, before in seen[3].items():
        assert torch.equal(seen[5][name], before), name
    assert not torch.equal(seen[6]["linear.weight"], seen[5]["linear.weight"])
    assert [r["step"] for r in read_log(tmp_path / "log.jsonl")] == [1, 2, 3, *range(6, 13)]
    faults = read_log(tmp_path / "faults.jsonl")
    assert [fault["step"] for fault in faults] == [4, 5]
    assert all("is nan" in f["reason"] or "is inf" in f["reason"] for f in faults)


def test_too_many_bad_steps_in_a_row_end_the_run_and_save_nothing(tmp_path):
    config = TrainConfig(steps=12, batch_size=4, checkpoint_every=100, max_bad_steps=3)
    module = broken_at(set(range(20)), "loss")
    with pytest.raises(TrainingError, match=r"the loss is \w+ at step 2, and 3 steps in a row"):
        train(training(tmp_path, module=module, micro_batch=4, train=config))
    assert not (tmp_path / "checkpoints").exists()


def test_bad_steps_are_counted_across_a_resume(tmp_path):
    config = TrainConfig(steps=12, batch_size=4, checkpoint_every=2, max_bad_steps=3)
    part = training(tmp_path, module=broken_at({0, 1}, "loss"), micro_batch=4, train=config)
    with pytest.raises(Stop):
        train(
            dataclasses.replace(
                part, feed=dataclasses.replace(part.feed, batches=cut_at(2, part.feed.batches))
            )
        )
    again = training(tmp_path, module=broken_at({0}, "loss"), micro_batch=4, train=config)
    with pytest.raises(TrainingError, match=r"at step 2, and 3 steps in a row"):
        train(again)


def test_the_frames_of_a_bad_step_are_named(tmp_path, caplog):
    @dataclasses.dataclass(frozen=True)
    class Named(Rows):
        frame_ids: tuple[str, ...] = ()

    def named(start, stop):
        for step, group in enumerate(training(tmp_path).feed.batches(start, stop)):
            yield [
                Named(item.x * (float("inf") if (step, i) == (2, 1) else 1), (f"{step}/{i}",))
                for i, item in enumerate(group)
            ]

    fed = {"batches": named, "sources": lambda item: item.frame_ids, "source_word": "frames"}
    train(training(tmp_path, **fed))
    assert read_log(tmp_path / "faults.jsonl")[0]["frames"] == ["2/1"]
    assert "step 2 is left out" in caplog.text


@pytest.mark.parametrize(
    ("number", "status"),
    [(signal.SIGTERM, 143), (signal.SIGINT, 130), (signal.SIGHUP, 129), (signal.SIGUSR1, 75)],
)
def test_a_signal_saves_within_the_step_and_the_run_goes_on_from_there(tmp_path, number, status):
    part = training(tmp_path / "cut")

    def interrupted(start, stop):
        for step, group in enumerate(part.feed.batches(start, stop)):
            if step == 7:
                signal.raise_signal(number)
            yield group

    before = signal.getsignal(number)
    with pytest.raises(RunStoppedError, match=r"step 8 is saved") as error:
        train(training(tmp_path / "cut", batches=interrupted))
    assert error.value.exit_status == status
    assert signal.getsignal(number) == before
    assert load_checkpoint(tmp_path / "cut").step == 8
    train(training(tmp_path / "cut"))
    train(training(tmp_path / "whole"))
    assert losses(tmp_path / "cut") == losses(tmp_path / "whole")


def test_a_signal_during_the_passes_ends_the_run_with_this_step(tmp_path):
    with pytest.raises(RunStoppedError, match=r"step 3 is saved"):
        train(training(tmp_path, module=Interrupted(6)))  # two passes a step


def test_the_best_checkpoint_has_the_lowest_mean_loss(tmp_path):
    config = TrainConfig(
        steps=12, batch_size=4, checkpoint_every=2, keep_checkpoints=1, keep_best=True
    )
    train(training(tmp_path, train=config))
    curve = np.array(losses(tmp_path)).reshape(-1, 2).mean(axis=1)
    best = load_checkpoint(tmp_path / "checkpoints" / "best")
    assert best.step == 2 * (int(curve.argmin()) + 1)


def test_a_checkpoint_that_a_signal_asks_for_is_never_the_best_by_few_steps(tmp_path):
    config = TrainConfig(
        steps=12, batch_size=4, checkpoint_every=4, keep_checkpoints=9, keep_best=True
    )
    train(training(tmp_path / "whole", train=config))

    with pytest.raises(RunStoppedError, match=r"step 5 is saved"):
        train(training(tmp_path / "stopped", module=Interrupted(10), train=config))
    train(training(tmp_path / "stopped", train=config))

    def measures(run):
        files = (tmp_path / run / "checkpoints").glob("step-*/checkpoint.json")
        records = [json.loads(file.read_text("utf-8")) for file in files]
        return {record["step"]: record.get("measure") for record in records}

    stopped = measures("stopped")
    assert stopped.pop(5) is None
    assert stopped == measures("whole")


def test_one_folder_takes_one_run(tmp_path):
    with RunLock(tmp_path), pytest.raises(TrainingError, match="in use by another run"):
        train(training(tmp_path))


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("[third_party/gloo/gloo/transport/tcp/pair.cc:553] Connection closed"),
        dist.DistBackendError("NCCL error"),
    ],
)
def test_a_process_that_is_gone_ends_the_run_with_a_status_that_asks_for_a_restart(tmp_path, error):
    def killed(start, stop):
        yield from training(tmp_path).feed.batches(start, stop - 1)
        raise error

    with pytest.raises(RunStoppedError, match="another process of this run has ended") as stopped:
        train(training(tmp_path, batches=killed))
    assert stopped.value.exit_status == 75


class Normed(Fit):
    """With a BatchNorm before the linear layer."""

    def __init__(self):
        super().__init__()
        self.norm = SyncedBatchNorm(3)

    def forward(self, rows):
        return super().forward(Rows(self.norm(rows.x)))


def test_a_batch_of_one_point_is_left_out_as_a_bad_step(tmp_path, caplog):
    def thin(start, stop):
        for step, group in enumerate(training(tmp_path).feed.batches(start, stop), start=start):
            yield [Rows(item.x[:1]) for item in group] if step == 4 else group

    module = Normed()
    train(training(tmp_path, module=module, batches=thin, steps=8))
    assert [r["step"] for r in read_log(tmp_path / "log.jsonl")] == [1, 2, 3, 4, 6, 7, 8]
    assert "the batch has 1 rows" in read_log(tmp_path / "faults.jsonl")[0]["reason"]
    assert "step 4 is left out" in caplog.text
    assert int(module.norm.get_buffer("num_batches_tracked")) == 7 * 2  # passes


def test_a_run_of_which_no_step_could_be_taken_ends_in_one_line(tmp_path):
    def thin(start, stop):
        for group in training(tmp_path).feed.batches(start, stop):
            yield [Rows(item.x[:1]) for item in group]

    thin_run = training(tmp_path, module=Normed(), batches=thin, steps=3)
    with pytest.raises(TrainingError, match=r"none of the 3 steps could be taken.*has 1 rows"):
        train(thin_run)
    assert not list((tmp_path / "checkpoints").glob("step-00000003"))


@pytest.mark.parametrize(
    ("micro_batch", "module", "said"),
    [(2, Normed(), True), (4, Normed(), False), (2, Fit(), False)],
)
def test_small_passes_are_said_where_they_change_something(
    tmp_path, caplog, micro_batch, module, said
):
    config = TrainConfig(steps=1, batch_size=4, micro_batch=micro_batch)
    with caplog.at_level(logging.INFO):
        train(training(tmp_path, module=module, train=config))
    assert ("BatchNorm sees the frames of one pass only" in caplog.text) is said


def test_clipping_bounds_the_gradient(tmp_path):
    train(training(tmp_path, optimizer=OptimizerConfig(lr=0.05, clip_norm=1e-3), steps=2))
    assert all(record["grad_norm"] > 1e-3 for record in read_log(tmp_path / "log.jsonl"))


def test_sixteen_bit_training_learns_too(tmp_path):
    for precision in ("bf16", "fp16"):
        config = TrainConfig(steps=12, batch_size=4, precision=precision)
        train(training(tmp_path / precision, train=config))
        curve = losses(tmp_path / precision)
        assert np.mean(curve[-4:]) < np.mean(curve[:4])


def test_a_loss_that_is_not_finite_leaves_the_scale_of_fp16_as_it_was(tmp_path):
    """The gradient is looked at before the loss is known, so it must be forgotten."""
    config = TrainConfig(steps=4, batch_size=4, micro_batch=4, precision="fp16")
    train(training(tmp_path, module=broken_at({1, 2}, "loss"), micro_batch=4, train=config))
    assert [record["step"] for record in read_log(tmp_path / "log.jsonl")] == [1, 4]
    scaler = load_checkpoint(tmp_path).training_state()["scaler"]
    assert (scaler["scale"], scaler["_growth_tracker"]) == (65536.0, 2)


def test_step_seeds_differ_by_seed_and_step():
    assert len({step_seed(seed, step) for seed in range(5) for step in range(50)}) == 250


def test_a_length_is_given_in_epochs_or_in_steps():
    with pytest.raises(ValueError, match="one of the two"):
        TrainConfig(steps=3, epochs=1)
    with pytest.raises(ValueError, match="one of the two"):
        TrainConfig()
    assert TrainConfig(epochs=2.5).total_steps(6887) == 17218
