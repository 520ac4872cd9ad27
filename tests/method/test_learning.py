"""How a step learns: the rate of every layer, the step that the schedule is asked for, AdamW."""

import math

import pytest
import torch
from fakes.batches import SMALL_GRID
from fakes.runs import finetune_values, pretrain_values, write_world
from torch import nn

from lidistill.backbones import WaffleIronConfig
from lidistill.distill import run as distillation
from lidistill.distill.run import pretrain
from lidistill.recipes import apply_overrides
from lidistill.segment.heads import SegmentationHead
from lidistill.segment.report import train_and_score
from lidistill.segment.run import Segmenter
from lidistill.training.checkpoint import load_checkpoint
from lidistill.training.optimizer import OptimizerConfig, layer_groups
from lidistill.training.run_files import read_log
from lidistill.training.schedules import CosineSchedule, ReciprocalSqrtSchedule

DEPTH, DECAY = 3, 0.8


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    folder = tmp_path_factory.mktemp("world")
    write_world(folder)
    pretrain(apply_overrides(pretrain_values(folder), ("train.steps=1",), source="tiny"))
    return folder


def finetuned(world, output, *overrides):
    """Log and weights of a fine-tuning."""
    changes = (f"output={output}", *overrides)
    train_and_score(apply_overrides(finetune_values(world), changes, source="tiny"))
    return read_log(output / "log.jsonl"), load_checkpoint(output).weights


def depth_of(name):
    part, *rest = name.split(".")
    if part == "head":
        return DEPTH + 1
    return 0 if rest[0] == "embed" else int(rest[1]) + 1


def test_a_step_of_fine_tuning_moves_every_layer_at_its_own_rate(world, tmp_path):
    """AdamW moves a weight by its rate, whatever the size of the gradient.

    The head starts at zero, so the backbone has its first gradient g in the second step. Both
    moments then hold that one gradient: m = (1 - b1) g / (1 - b1^2), v = (1 - b2) g^2 / (1 - b2^2).
    """
    still = ("schedule.warmup_steps=0", "network.drop_path=0", "optimizer.eps=1e-20")
    _, first = finetuned(world, tmp_path / "one", "train.steps=1", *still)
    (_, log), second = finetuned(world, tmp_path / "two", "train.steps=2", *still)
    share = (0.1 / (1 - 0.9**2)) / math.sqrt(0.001 / (1 - 0.999**2))
    moved = {}
    for name, weight in second.items():
        if name.startswith("backbone.") and not name.endswith(
            ("running_mean", "running_var", "tracked")
        ):
            change = float((weight - first[name]).abs().max())
            moved[depth_of(name)] = max(moved.get(depth_of(name), 0.0), change)
    expected = {d: log["lr"] * share * DECAY ** (DEPTH + 1 - d) for d in range(DEPTH + 1)}
    assert moved == pytest.approx(expected, rel=0.02)
    start = load_checkpoint(world / "pretrain").weights
    assert torch.equal(
        first["backbone.layers.0.channel.scale"], start["backbone.layers.0.channel.scale"]
    )
    assert float(first["head.linear.weight"].abs().max()) == pytest.approx(0.01, rel=0.02)


def test_the_first_step_has_the_rate_of_step_zero(world, tmp_path):
    log, _ = finetuned(
        world, tmp_path / "run", "train.steps=4", "schedule.warmup_steps=2", "schedule.min_lr=0"
    )
    cosine = [0.5 * (1 + math.cos(math.pi * share)) for share in (0, 0.5)]
    assert [line["lr"] for line in log] == pytest.approx([0, 0.005, *(0.01 * c for c in cosine)])


def test_a_pass_of_distillation_weighs_as_many_pairs_as_it_has(world, tmp_path, monkeypatch):
    """The mean of a step runs over pairs, so that dense frames count more."""
    started = []
    monkeypatch.setattr(distillation, "train", started.append)
    changes = (f"output={tmp_path / 'run'}", "train.micro_batch=1")
    pretrain(apply_overrides(pretrain_values(world), changes, source="tiny"))
    (training,) = started
    ((first, second),) = training.feed.batches(0, 1)
    for batch in (first, second):
        assert training.feed.weight(batch) == len(batch.pairs.point) > 100


def test_vectors_do_not_decay_where_layers_have_rates_but_layer_scales_do():
    backbone = WaffleIronConfig(width=8, depth=DEPTH, grid=SMALL_GRID).build()
    segmenter = Segmenter(backbone, SegmentationHead(8, 3), train_backbone=True, lovasz_weight=1.0)
    groups = layer_groups(segmenter, DECAY, 0.03)
    found = {id(p): (g["lr_scale"], g["weight_decay"]) for g in groups for p in g["params"]}
    for name, parameter in segmenter.named_parameters():
        decays = parameter.ndim > 1 or name.endswith("scale")
        rate = DECAY ** (DEPTH + 1 - depth_of(name))
        assert found[id(parameter)] == (pytest.approx(rate), 0.03 if decays else 0.0), name
    assert len(found) == len(list(segmenter.parameters()))


def test_adamw_has_pytorchs_betas_and_epsilon():
    (group,) = OptimizerConfig().build(nn.Linear(2, 2)).param_groups
    assert (group["betas"], group["eps"]) == ((0.9, 0.999), 1e-8)
    assert (group["lr"], group["weight_decay"], group["amsgrad"]) == (2e-3, 0.03, False)
    (other,) = OptimizerConfig(betas=(0.8, 0.95), eps=1e-4).build(nn.Linear(2, 2)).param_groups
    assert (other["betas"], other["eps"]) == ((0.8, 0.95), 1e-4)


def test_the_optimiser_steps_as_adamw_is_defined():
    weight, rate, decay = [0.5, -2.0], 0.1, 0.03
    linear = nn.Linear(2, 1, bias=False)
    linear.weight.data = torch.tensor([weight])
    optimizer = OptimizerConfig(lr=rate, weight_decay=decay).build(linear)
    m, v = [0.0, 0.0], [0.0, 0.0]
    for step in range(1, 6):
        gradient = [0.3 * step, -1e-7 / step]
        linear.weight.grad = torch.tensor([gradient])
        optimizer.step()
        for i, g in enumerate(gradient):
            m[i], v[i] = 0.9 * m[i] + 0.1 * g, 0.999 * v[i] + 0.001 * g * g
            m_hat, v_hat = m[i] / (1 - 0.9**step), v[i] / (1 - 0.999**step)
            weight[i] -= rate * (decay * weight[i] + m_hat / (math.sqrt(v_hat) + 1e-8))
    assert linear.weight.tolist() == [pytest.approx(weight, rel=1e-5)]


def length(epochs, each=1000, lr=2e-3):
    return {"total_steps": epochs * each, "steps_per_epoch": each, "lr": lr}


@pytest.mark.parametrize(
    ("step", "expected"),
    [
        (0, 0.0),
        (350, 0.1),
        (3499, 3499 / 3500),
        (3500, 1.0),
        (14250, 0.005 + 0.995 / 2),  # half of the cosine
        (25000, 0.005),
    ],
)
def test_scalrs_rate_at_single_steps(step, expected):
    schedule = CosineSchedule(warmup_steps=3500, min_lr=1e-5)
    assert schedule.factor(step, **length(25)) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(
    ("step", "expected"),
    [
        (0, 0.0),
        (500, 0.5),
        (1000, 1.0),
        (1450, 2**-0.5),  # one timescale after the warm-up
        (5050, 10**-0.5),  # nine of them
        (63000, (1 + 62 / 0.45) ** -0.5),
        (64000, (1 + 63 / 0.45) ** -0.5 * 999 / 1999),  # half of the cool-down
        (64999, 0.0),
    ],
)
def test_scalr_pluss_rate_at_single_steps(step, expected):
    assert ReciprocalSqrtSchedule().factor(step, **length(65)) == pytest.approx(expected, rel=1e-12)
