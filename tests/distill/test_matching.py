"""Several layers with a head each, class tokens, and both forms of the loss."""

import dataclasses

import pytest
import torch
import torch.nn.functional as F
from fakes.runs import pretrain_values, probe_values, write_world

from lidistill.apps.estimate import forward, made_up
from lidistill.apps.frame_features import FeatureReader
from lidistill.distill.heads import Matching
from lidistill.distill.losses import mean_by_view
from lidistill.distill.run import build_run, pretrain
from lidistill.distill.step import build_distiller
from lidistill.distill.teacher_config import UNNAMED_TEACHER
from lidistill.errors import CheckpointError, ConfigError
from lidistill.recipes import apply_overrides
from lidistill.segment.report import train_and_score
from lidistill.teachers import ChannelGroup
from lidistill.training.checkpoint import load_checkpoint, save_checkpoint
from lidistill.training.run_files import read_log

GROUPS = (
    ChannelGroup(num_channels=4),
    ChannelGroup(num_channels=3, whole_image=True),
    ChannelGroup(num_channels=5),
    ChannelGroup(num_channels=2, whole_image=True),
)
ALL = (
    "teacher.layers=[-2,-1]",
    "teacher.class_token=true",
    "head.per_layer=true",
    "target.class_token=0.1",
    "loss=cosine",
)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    folder = tmp_path_factory.mktemp("world")
    write_world(folder)
    return folder


def recipe(folder, *overrides):
    values = pretrain_values(folder) | {"head": {"kind": "linear"}}
    return apply_overrides(values, overrides, source="tiny")


def student(folder, *overrides):
    raw = ("target.center_batches=0", "backbone.drop_path=0")
    return build_distiller(recipe(folder, *raw, *overrides), {UNNAMED_TEACHER: GROUPS}).eval()


def three_views(distiller):
    """A scan under three images, one of which shows no point; tokens differ by image."""
    draw = torch.Generator().manual_seed(0)
    item = made_up(
        distiller.backbone.config.inputs(), 60, {UNNAMED_TEACHER: 14}, torch.device("cpu")
    )
    pairs = item.batch.pairs
    view = torch.randint(2, (len(pairs),), generator=draw) * 2
    target, tokens = torch.randn(len(pairs), 14, generator=draw), torch.randn(3, 14, generator=draw)
    for columns in (slice(4, 7), slice(12, 14)):
        target[:, columns] = tokens[view, columns]
    batch = dataclasses.replace(item.batch, pairs=dataclasses.replace(pairs, view=view))
    return dataclasses.replace(item, batch=batch, targets={UNNAMED_TEACHER: target})


def features_of(distiller, item):
    return distiller.backbone(item.batch)[item.batch.pairs.point]


def cosine(student, teacher):
    return F.cosine_similarity(student, teacher, dim=-1)


@torch.no_grad()
def test_each_layer_has_its_own_direction_and_the_loss_is_their_mean(world):
    distiller = student(world, "head.per_layer=true", "target.class_token=0.1")
    item = three_views(distiller)
    features, target = features_of(distiller, item), item.targets[UNNAMED_TEACHER]
    first, second = (head(features) for head in distiller.head.heads)
    cosines = [cosine(first, target[:, :4]), cosine(second, target[:, 7:12])]
    found = forward(distiller, item)
    assert found["cosine"].item() == pytest.approx(float(torch.stack(cosines).mean()), abs=1e-5)
    tokens = distiller.class_head(mean_by_view(features, item.batch.pairs.view)[0]).split([3, 2], 1)
    distances = [(2 - 2 * c).sqrt().mean() for c in cosines]
    by_image = []
    for view in (0, 2):  # every point of an image counts, so large ones weigh more
        here = item.batch.pairs.view == view
        truth = target[here][0]
        for token, columns in zip(tokens, (slice(4, 7), slice(12, 14)), strict=True):
            share = here.float().mean() * (2 - 2 * cosine(token[view], truth[columns])).sqrt()
            by_image.append(share)
    expected = sum(distances) / 2 + 0.1 * sum(by_image) / 2
    assert found["loss"].item() == pytest.approx(float(expected), abs=1e-5)


@torch.no_grad()
def test_a_loud_layer_drowns_the_others_only_under_one_head(world):
    def change(*overrides):
        distiller = student(world, "target.class_token=0.1", *overrides)
        item = three_views(distiller)
        louder = item.targets[UNNAMED_TEACHER].clone()
        louder[:, 7:12] *= 100
        return (
            forward(distiller, dataclasses.replace(item, targets={UNNAMED_TEACHER: louder}))["loss"]
            - forward(distiller, item)["loss"]
        )

    assert abs(change("head.per_layer=true")) < 1e-5
    assert abs(change()) > 1e-3


@torch.no_grad()
def test_the_cosine_form_is_one_minus_the_cosine(world):
    distiller = student(world, "loss=cosine", "target.class_token=0.5", "head.kind=mlp")
    found = forward(distiller, three_views(distiller))
    expected = (1 - found["cosine"]) + 0.5 * (1 - found["class_cosine"])
    assert found["loss"].item() == pytest.approx(float(expected), abs=1e-5)


@pytest.mark.parametrize("kind", ["linear", "mlp"])
def test_every_weight_of_every_head_learns(world, kind):
    distiller = student(world, *ALL[2:], f"head.kind={kind}").train()
    forward(distiller, three_views(distiller))["loss"].backward()
    for part in (distiller.head, distiller.class_head):
        for name, parameter in part.named_parameters():
            assert parameter.grad.abs().sum() > 0, name


def test_without_these_fields_the_weights_have_the_names_they_always_had(world):
    plain = student(world)
    assert {n for n in plain.state_dict() if "head" in n} == {
        "head.linear.weight",
        "head.linear.bias",
    }
    assert plain.head.linear.out_features == 14
    one_layer = recipe(world, "head.per_layer=true")
    built = build_distiller(one_layer, {UNNAMED_TEACHER: GROUPS[:1]})
    assert set(built.head.state_dict()) == {"linear.weight", "linear.bias"}


def test_what_the_teacher_does_not_give_cannot_be_matched():
    with pytest.raises(ConfigError, match=r"set teacher\.class_token=true"):
        Matching(groups=GROUPS[:1], class_token=0.1)
    with pytest.raises(ConfigError, match=r"teacher\.patch_tokens=true"):
        Matching(groups=GROUPS[1:2], class_token=0.1)


def test_the_mean_of_a_image_leaves_out_the_points_of_others():
    x = torch.tensor([[1.0], [3.0], [10.0]])
    mean, count = mean_by_view(x, torch.tensor([2, 2, 0]))
    assert mean.tolist() == [[10.0], [0.0], [2.0]]
    assert count.tolist() == [1, 0, 2]


def test_two_layers_class_tokens_and_the_cosine_from_recipe_to_probe(world, tmp_path):
    wanted = recipe(world, *ALL, f"output={tmp_path / 'run'}", "train.steps=2")
    pretrain(wanted)
    records = read_log(tmp_path / "run" / "log.jsonl")
    assert [record["step"] for record in records] == [1, 2]
    assert all({"loss", "cosine", "class_cosine"} <= record.keys() for record in records)
    checkpoint = load_checkpoint(tmp_path / "run")
    heads = {name for name in checkpoint.weights if name.endswith("linear.weight")}
    assert {
        f"{part}.heads.{layer}.linear.weight" for part in ("head", "class_head") for layer in (0, 1)
    } <= heads
    seen = FeatureReader(build_run(wanted), tmp_path / "run")(wanted.data.build()[0])
    assert seen.student.shape == seen.teacher.shape
    halves = seen.student.reshape(len(seen.student), 2, -1)
    assert abs((halves**2).sum(2) - 1).max() < 1e-4
    assert -1 <= seen.cosine_to_teacher() <= 1
    values = probe_values(world) | {"checkpoint": str(tmp_path / "run"), "output": str(tmp_path)}
    train_and_score(apply_overrides(values, ("train.steps=2",), source="tiny"))


def test_a_run_that_knew_nothing_of_these_fields_goes_on(world, tmp_path):
    begun = recipe(world, f"output={tmp_path / 'run'}", "train.steps=2")
    checkpoint = load_checkpoint(pretrain(begun))
    older = {**checkpoint.recipe, "head": {"kind": "linear"}, "target": {"center_batches": 3}}
    del older["loss"]
    save_checkpoint(
        tmp_path / "run" / "checkpoints",
        step=1,
        weights=checkpoint.weights,
        training=checkpoint.training_state(),
        recipe=older,
        meta=checkpoint.meta,
    )
    checkpoint.path.rename(tmp_path / "away")
    assert load_checkpoint(pretrain(begun)).step == 2
    changed = recipe(world, f"output={tmp_path / 'run'}", "train.steps=2", "loss=cosine")
    with pytest.raises(CheckpointError, match=r"different: loss\b"):
        pretrain(changed)
