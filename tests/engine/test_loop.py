import dataclasses

import numpy as np
import pytest
import torch
from torch import nn

from lidistill.data.loader import StepPlan, step_batches
from lidistill.data.order import FrameOrder
from lidistill.engine.checkpoint import load_checkpoint
from lidistill.engine.loop import TrainConfig, Training, step_seed, train
from lidistill.engine.optim import OptimizerConfig
from lidistill.engine.schedules import CosineSchedule
from lidistill.engine.tracking import read_log
from lidistill.errors import CheckpointError, TrainingError


@dataclasses.dataclass(frozen=True)
class Rows:
    x: torch.Tensor

    def to(self, device):
        return Rows(self.x.to(device))


class Fit(nn.Module):
    """Mean squared output, with dropout so that the random state matters."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.linear = nn.Linear(3, 1)
        self.drop = nn.Dropout(0.5)

    def forward(self, rows):
        return {"loss": (self.drop(self.linear(rows.x)) - 1).square().mean()}


def make_rows(epoch, index):
    rng = np.random.default_rng([epoch, index])
    return torch.from_numpy(rng.normal(size=(index + 1, 3)).astype(np.float32))


def join(items):
    return Rows(torch.cat(items))


def training(run, *, steps=12, micro_batch=2, module=None, **options):
    plan = StepPlan(order=FrameOrder(sizes=(10,), seed=3), batch_size=4, micro_batch=micro_batch)
    base = Training(
        module=module or Fit(),
        prepare=lambda rows, device: rows.to(device),
        weight=lambda rows: len(rows.x),
        batches=lambda start, stop: step_batches(
            make_rows, join, plan, start=start, stop=stop, workers=0
        ),
        run=run,
        config=TrainConfig(steps=steps, batch_size=4, checkpoint_every=5),
        optimizer=OptimizerConfig(lr=0.05),
        schedule=CosineSchedule(warmup_steps=2),
        steps_per_epoch=plan.steps_per_epoch,
        device=torch.device("cpu"),
        seed=3,
        recipe={"lr": 0.05, "data": {"workers": 0}},
        meta={},
    )
    return dataclasses.replace(base, **options)


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
        train(dataclasses.replace(part, batches=cut_at(8, part.batches)))
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
    other = training(tmp_path, recipe={"lr": 0.1, "data": {"workers": 0}})
    with pytest.raises(CheckpointError, match=r"different: lr.*output=FOLDER"):
        train(other)


def test_what_changes_no_weight_may_differ_on_resume(tmp_path):
    train(training(tmp_path))
    recipe = {"lr": 0.05, "data": {"workers": 4}}
    train(training(tmp_path, recipe=recipe, may_change=frozenset({"data.workers"})))


def test_a_loss_that_is_not_finite_stops_the_run_and_saves_nothing(tmp_path):
    class Broken(Fit):
        def forward(self, rows):
            return {"loss": super().forward(rows)["loss"] * float("nan")}

    with pytest.raises(TrainingError, match=r"the loss is nan at step 0"):
        train(training(tmp_path, module=Broken()))
    assert not (tmp_path / "checkpoints").exists()


def test_clipping_bounds_the_gradient(tmp_path):
    train(training(tmp_path, optimizer=OptimizerConfig(lr=0.05, clip_norm=1e-3), steps=2))
    assert all(record["grad_norm"] > 1e-3 for record in read_log(tmp_path / "log.jsonl"))


def test_sixteen_bit_training_learns_too(tmp_path):
    for precision in ("bf16", "fp16"):
        config = TrainConfig(steps=12, batch_size=4, precision=precision)
        train(training(tmp_path / precision, config=config))
        curve = losses(tmp_path / precision)
        assert np.mean(curve[-4:]) < np.mean(curve[:4])


def test_step_seeds_differ_by_seed_and_step():
    assert len({step_seed(seed, step) for seed in range(5) for step in range(50)}) == 250


def test_a_length_is_given_in_epochs_or_in_steps():
    with pytest.raises(ValueError, match="one of the two"):
        TrainConfig(steps=3, epochs=1)
    with pytest.raises(ValueError, match="one of the two"):
        TrainConfig()
    assert TrainConfig(epochs=2.5).total_steps(6887) == 17218
