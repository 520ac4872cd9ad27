"""Several teachers: means, spreads, heads and their one loss, against loops from the definition."""

import dataclasses
import logging

import pytest
import torch
import torch.nn.functional as F
import yaml
from fakes.processes import together
from fakes.runs import pretrain_values
from fakes.several import NARROW, WIDE, several_values, two_teachers, write_two

from lidistill.apps.estimate import estimate, made_up
from lidistill.distill.objective import TeacherOutput, at_pairs, num_counted
from lidistill.distill.run import build_run, pretrain, training_batches
from lidistill.distill.spread import TargetSpread
from lidistill.distill.step import build_distiller
from lidistill.distill.teacher_config import UNNAMED_TEACHER
from lidistill.errors import ConfigError, TrainingError
from lidistill.recipes import apply_overrides, load_recipe
from lidistill.teachers import ChannelGroup
from lidistill.teachers.target_reader import TargetReader
from lidistill.training.checkpoint import load_checkpoint
from lidistill.training.run_files import read_log

CPU = torch.device("cpu")
GROUPS = {"a": (ChannelGroup(num_channels=6),), "b": (ChannelGroup(num_channels=4),)}


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return write_two(tmp_path_factory.mktemp("several"))


def recipe(folder, *overrides, **second):
    return apply_overrides(several_values(folder, **second), overrides, source="tiny")


def student(folder, *overrides, groups=GROUPS):
    """A student of made-up teachers, which learn mean and spread from one batch."""
    changes = ("backbone.drop_path=0", "target.center_batches=1", *overrides)
    return build_distiller(recipe(folder, *changes), groups)


def batch_of(distiller, count=50):
    return made_up(distiller.backbone.config.inputs(), count, {}, CPU).batch


def targets_of(count=50, seed=0, groups=GROUPS):
    draw = torch.Generator().manual_seed(seed)
    sizes = {name: sum(g.num_channels for g in found) for name, found in groups.items()}
    return {n: torch.randn(count, size, generator=draw) + 1 for n, size in sizes.items()}


def learn(distiller, batch, targets):
    for name, target in targets.items():
        distiller.objectives[name].teacher = lambda b, t=target: at_pairs(b, t)
    distiller.zero_grad()
    parts = distiller.train()(batch)
    parts["loss"].backward()
    return parts


def unit(x):
    return F.normalize(x.double(), dim=-1)


def spread_of(target):
    """The definition, point by point."""
    centred = unit(target.double() - target.double().mean(0))
    mean = unit(centred.mean(0))
    return sum(float((one - mean).norm()) for one in centred) / len(centred)


def test_spread_and_loss_are_those_of_the_definition(world):
    distiller, targets = student(world), targets_of()
    batch = batch_of(distiller)
    found = learn(distiller, batch, targets)
    features = distiller.backbone(batch)[batch.pairs.point].detach()
    losses, spreads = {}, {}
    for name, target in targets.items():
        said = unit(distiller.heads[name](features)).detach()
        centred = unit(target.double() - target.double().mean(0))
        losses[name] = sum(float((a - b).norm()) for a, b in zip(said, centred)) / len(said)  # noqa: B905
        spreads[name] = spread_of(target)
        assert found[f"loss_{name}"].item() == pytest.approx(losses[name], abs=1e-5)
        assert found[f"spread_{name}"].item() == pytest.approx(spreads[name], abs=1e-6)
    by_unit = sum(losses[name] / spreads[name] for name in losses) / 2
    harmonic = 2 / sum(1 / spread for spread in spreads.values())
    assert found["loss"].item() == pytest.approx(by_unit * harmonic, abs=1e-5)
    cosines = [found["cosine_a"].item(), found["cosine_b"].item()]
    assert found["cosine"].item() == pytest.approx(sum(cosines) / 2, abs=1e-6)


@pytest.mark.parametrize("change", ["scale", "rotation"])
def test_scaling_or_rotating_a_target_changes_nothing(world, change):
    first, second = student(world), student(world)
    batch, targets = batch_of(first), targets_of()
    changed = dict(targets)
    if change == "scale":
        changed["a"] = targets["a"] * 1000
    else:  # the head answers in the rotated space, too
        turn = torch.linalg.qr(torch.randn(6, 6, generator=torch.Generator().manual_seed(4)))[0]
        changed["a"] = targets["a"] @ turn.t()
        with torch.no_grad():
            linear = second.heads["a"].linear
            linear.weight.copy_(turn @ linear.weight)
            linear.bias.copy_(turn @ linear.bias)
    before, after = learn(first, batch, targets), learn(second, batch, changed)
    assert abs(before["loss"].item() - after["loss"].item()) < 1e-6
    assert abs(before["spread_a"].item() - after["spread_a"].item()) < 1e-6


def test_two_copies_of_a_teacher_are_that_teacher(world):
    alone = student(world, groups={UNNAMED_TEACHER: GROUPS["a"]})
    twice = student(world, groups={"a": GROUPS["a"], "b": GROUPS["a"]})
    for name in ("a", "b"):
        twice.heads[name].load_state_dict(alone.head.state_dict())
    batch, target = batch_of(alone), targets_of()["a"]
    one = learn(alone, batch, {UNNAMED_TEACHER: target})
    two = learn(twice, batch, {"a": target, "b": target})
    assert one["loss"].item() == pytest.approx(two["loss"].item(), abs=1e-6)
    gradients = dict(twice.backbone.named_parameters())
    for name, parameter in alone.backbone.named_parameters():
        torch.testing.assert_close(gradients[name].grad, parameter.grad, rtol=1e-4, atol=1e-7)
    assert max(float(p.grad.abs().max()) for p in alone.backbone.parameters()) > 1e-4


def test_one_teacher_under_a_name_is_the_same_run(world, tmp_path):
    plain = pretrain_values(world)
    named = plain | {"teacher": {"wide": two_teachers(world)["wide"]}}
    logs, weights = [], []
    for values in (plain, named):
        output = tmp_path / str(len(logs))
        path = pretrain(apply_overrides(values, (f"output={output}", "train.steps=4"), source="t"))
        logs.append([(r["loss"].hex(), r["cosine"].hex()) for r in read_log(output / "log.jsonl")])
        weights.append(load_checkpoint(path).weights)
    assert logs[0] == logs[1]
    renamed = {name.replace("heads.wide", "head").replace("centers.wide", "center"): w
               for name, w in weights[1].items()}  # fmt: skip
    assert renamed.keys() == weights[0].keys()
    assert all(torch.equal(renamed[name], w) for name, w in weights[0].items())


def partly(batch, target, rows):
    pairs = batch.pairs
    return TeacherOutput(
        features=target[rows], point=pairs.point[rows], view=pairs.view[rows],
        num_counted=len(pairs), is_part=True,
    )  # fmt: skip


def test_a_teacher_that_is_absent_for_some_views_counts_where_it_is_there(world):
    distiller, targets = student(world), targets_of()
    batch, rows = batch_of(distiller), torch.arange(0, 50, 3)
    learn(distiller, batch, targets)
    distiller.objectives["b"].teacher = lambda b: partly(b, targets["b"], rows)
    found = distiller(batch)
    features = distiller.backbone(batch)[batch.pairs.point]
    said = unit(distiller.heads["b"](features[rows]))
    centred = unit(targets["b"][rows].double() - distiller.centers["b"].mean)
    distance = (said - centred).norm(dim=1).mean()
    assert found["loss_b"].item() == pytest.approx(float(distance.detach()), abs=1e-5)


def test_a_teacher_that_sees_nothing_of_a_batch_costs_nothing_and_every_weight_has_a_gradient(
    world,
):
    distiller, targets = student(world), targets_of()
    batch = batch_of(distiller)
    learn(distiller, batch, targets)
    distiller.objectives["b"].teacher = lambda b: partly(b, targets["b"], torch.arange(0))
    distiller.zero_grad()
    found = distiller(batch)
    found["loss"].backward()
    assert found["loss_b"].item() == 0
    assert all(float(p.grad.abs().max()) == 0 for p in distiller.heads["b"].parameters())
    assert all(p.grad is not None for p in distiller.parameters())


def test_mean_and_spread_wait_for_batches_of_which_the_teacher_sees_something(world, tmp_path):
    """In one process, and in two of which one alone sees something, and not each time."""
    targets = targets_of()
    rows = {0: [(), range(20), ()], 1: [(), (), range(20, 50)]}

    def after_three(rank=None):
        distiller = student(world, "target.center_batches=2").train()
        objective, batch = distiller.objectives["b"], batch_of(distiller)
        for number in range(3):
            seen = [i for r in ((0, 1) if rank is None else (rank,)) for i in rows[r][number]]
            objective.teacher = lambda b, s=seen: partly(b, targets["b"], torch.tensor(s).long())
            objective.target(batch, update_statistics=True)
        return objective

    def share(rank):
        objective = after_three(rank)
        torch.testing.assert_close(objective.spread.total, alone.spread.total)

    alone = after_three()
    assert (int(alone.center.num_seen), int(alone.spread.num_seen)) == (2, 2)
    assert int(alone.spread.num_pairs) == 50
    torch.testing.assert_close(alone.center.mean, targets["b"].double().mean(0))
    together(share, tmp_path, ranks=2)


def test_spread_is_frozen_and_said_after_its_batches(caplog):
    spread = TargetSpread([6], 6, form="distance", num_batches=2, name="a")
    first, second, third = (torch.randn(40, 6) for _ in range(3))
    with caplog.at_level(logging.INFO):
        spread.update(first, lambda x: x)
        assert "spread" not in caplog.text
        spread.update(second, lambda x: x)
    frozen = spread.value.item()
    spread.update(third, lambda x: x)
    assert (spread.is_frozen, spread.value.item()) == (True, frozen)
    assert f"teacher a: spread {frozen:.3f} over 80 pairs" in caplog.text
    assert 1.2 < frozen < 1.45


def test_a_teacher_that_says_the_same_of_everything_ends_the_run_with_its_name():
    spread = TargetSpread([6], 6, form="distance", num_batches=1, name="blind")
    with pytest.raises(TrainingError, match=r"teacher blind says the same of all 40 points"):
        spread.update(torch.ones(40, 6), lambda x: x)


def test_spread_of_the_cosine_form_is_in_its_own_unit():
    draw = torch.Generator().manual_seed(0)
    target = torch.randn(500, 6, generator=draw) + 0.7
    spread = TargetSpread([6], 6, form="cosine", num_batches=1, name="a")
    spread.update(target, lambda x: x)
    mean = unit(unit(target).mean(0))
    expected = (1 - unit(target) @ mean).mean()
    assert spread.value.item() == pytest.approx(float(expected), abs=1e-6)


def test_several_processes_learn_the_spread_of_one(tmp_path):
    draw = torch.Generator().manual_seed(0)
    batches = [torch.randn(30, 6, generator=draw) + 1 for _ in range(2)]
    alone = TargetSpread([2, 4], 6, form="distance", num_batches=2, name="a")
    for batch in batches:
        alone.update(batch, lambda x: x)

    def share(rank):
        own = TargetSpread([2, 4], 6, form="distance", num_batches=2, name="a")
        parts = [slice(0, 0), slice(0, 20), slice(20, 30)]  # the first process has no pair
        for batch in batches:
            own.update(batch[parts[rank]], lambda x: x)
        torch.testing.assert_close(own.total, alone.total, rtol=1e-12, atol=0)
        torch.testing.assert_close(own.direction, alone.direction, rtol=1e-9, atol=1e-12)

    together(share, tmp_path)


def test_a_run_with_two_teachers_keeps_all_of_both_and_logs_both(world, tmp_path):
    path = pretrain(recipe(world, f"output={tmp_path / 'run'}", "train.steps=4"))
    weights = load_checkpoint(path).weights
    assert weights["heads.wide.linear.weight"].shape == (WIDE, 8)
    assert weights["heads.narrow.linear.weight"].shape == (NARROW, 8)
    assert weights["centers.narrow.mean"].shape == (NARROW,)
    assert int(weights["spreads.wide.num_seen"]) == 3
    assert not any(name.startswith("head.") for name in weights)
    records = read_log(tmp_path / "run" / "log.jsonl")
    names = {f"{part}_{name}" for part in ("loss", "spread") for name in ("wide", "narrow")}
    assert all(names <= record.keys() for record in records)
    assert records[2]["spread_wide"] == records[3]["spread_wide"] != records[1]["spread_wide"]
    assert set(load_checkpoint(path).meta["teachers"]) == {"wide", "narrow"}


def alike(one, other):
    """Whether two runs end with the same weights."""
    first, second = (load_checkpoint(run).weights for run in (one, other))
    return first.keys() == second.keys() and all(torch.equal(first[n], second[n]) for n in first)


def cut_off(run, output):
    """A second run that has done the first two steps of one."""
    (output / "checkpoints").mkdir(parents=True)
    (run / "checkpoints/step-00000002").rename(output / "checkpoints/step-00000002")


def test_a_run_that_is_cut_goes_on_bit_for_bit(world, tmp_path):
    """In the middle of the batches that mean and spread are learned from."""
    pretrain(recipe(world, f"output={tmp_path / 'whole'}", "train.steps=5"))
    cut = recipe(world, f"output={tmp_path / 'cut'}", "train.steps=5")
    cut_off(tmp_path / "whole", cut.output)
    pretrain(cut)
    assert alike(tmp_path / "whole", cut.output)


def in_order(folder, names, output, *changes):
    values = several_values(folder)
    teachers = two_teachers(folder)
    teachers["narrow"]["model"] = teachers["wide"]["model"]  # heads of one shape
    values["teacher"] = {name: teachers[name] for name in names}
    return apply_overrides(values, (f"output={output}", *changes), source="tiny")


def test_the_order_of_teachers_makes_no_difference_and_a_run_may_change_it(world, tmp_path):
    there, back = ("narrow", "wide"), ("wide", "narrow")
    pretrain(in_order(world, there, tmp_path / "there", "train.steps=4"))
    pretrain(in_order(world, back, tmp_path / "back", "train.steps=4"))
    assert alike(tmp_path / "there", tmp_path / "back")
    cut_off(tmp_path / "back", tmp_path / "cut")
    pretrain(in_order(world, there, tmp_path / "cut", "train.steps=4"))
    assert alike(tmp_path / "there", tmp_path / "cut")


def test_a_run_that_began_in_another_order_goes_on_in_it(world, tmp_path, monkeypatch):
    """As runs of versions did that took teachers as they are listed."""
    back = ("wide", "narrow")
    whole, cut = (in_order(world, back, tmp_path / n, "train.steps=4") for n in ("whole", "cut"))
    with monkeypatch.context() as patch:
        patch.setattr("lidistill.distill.run._in_order", lambda _: list(back))
        pretrain(whole)
    cut_off(whole.output, cut.output)
    pretrain(cut)
    assert alike(whole.output, cut.output)


@pytest.mark.parametrize("samples", ["workers", "device"])
@pytest.mark.parametrize("cached", [True, False])
def test_each_teacher_says_what_it_says_alone_in_its_own_size(world, tmp_path, samples, cached):
    cache = f"teacher_cache={tmp_path / 'cache' if cached else 'null'}"
    changes = (cache, f"samples={samples}")
    run = build_run(recipe(world, *changes))
    values = pretrain_values(world) | {"teacher": two_teachers(world)["narrow"]}
    values["data"]["sampling"]["image_size_hw"] = [56, 84]
    del values["teacher"]["image_size_hw"]
    alone = build_run(apply_overrides(values, changes, source="tiny"))
    [batch], [only] = next(training_batches(run)(0, 1)), next(training_batches(alone)(0, 1))
    found, expected = (
        run.batch_teachers["narrow"](batch),
        alone.batch_teachers[UNNAMED_TEACHER](only),
    )
    assert torch.equal(found.point, expected.point)
    torch.testing.assert_close(found.features, expected.features, atol=1e-6, rtol=1e-5)
    assert (batch.images is None) == cached


@pytest.mark.parametrize("cached", [True, False])
def test_a_teacher_is_asked_about_the_cameras_it_is_for(world, tmp_path, cached):
    cache = f"teacher_cache={tmp_path / 'cache' if cached else 'null'}"
    known = build_run(recipe(world, cache, cameras=["front_camera"]))
    unknown = build_run(recipe(world, cache, cameras=["back_camera"]))
    [batch] = next(training_batches(known)(0, 1))
    everything, asked = known.batch_teachers["wide"](batch), known.batch_teachers["narrow"](batch)
    assert torch.equal(everything.point, asked.point)
    assert asked.features.abs().sum() > 0
    [batch] = next(training_batches(unknown)(0, 1))
    nothing = unknown.batch_teachers["narrow"](batch)
    assert (len(nothing.point), tuple(nothing.features.shape)) == (0, (0, NARROW))
    assert nothing.num_counted == num_counted(batch) == len(batch.pairs)


def test_several_teachers_take_the_place_of_one_of_the_base_and_one_of_several(world, tmp_path):
    one, several = tmp_path / "one.yaml", tmp_path / "several.yaml"
    names = {"lite0": {"kind": "efficientnet-lite0"}, "vit": {"kind": "vit", "layers": [9]}}
    several.write_text(yaml.safe_dump({"base": "pretrain/scalr", "teacher": names}))
    teachers = load_recipe(str(several)).teachers
    assert [config.kind for config in teachers.values()] == ["efficientnet-lite0", "vit"]
    one.write_text(yaml.safe_dump({"base": str(several), "teacher": {"vit": {"layers": [3]}}}))
    changed = load_recipe(str(one)).teachers
    assert list(changed) == ["lite0", "vit"]
    assert changed["vit"].layers == (3,)
    one.write_text(yaml.safe_dump({"base": str(several), "teacher": {"kind": "vit"}}))
    assert list(load_recipe(str(one)).teachers) == [UNNAMED_TEACHER]


@pytest.mark.parametrize("teachers", [[], [{"kind": "vit"}, {"name": "dinov2-large"}]])
def test_a_list_without_a_kind_is_told_where(world, teachers):
    values = several_values(world) | {"teacher": teachers}
    with pytest.raises(ConfigError, match=r"(empty|number 1 of the) list names no kind"):
        apply_overrides(values, (), source="tiny")


@pytest.mark.parametrize("alone", [True, False])
def test_a_camera_that_the_data_do_not_have_ends_the_run_before_it_begins(world, alone):
    values = several_values(world, cameras=["frontcamera"])
    values["teacher"] = values["teacher"]["narrow"] if alone else values["teacher"]
    with pytest.raises(ConfigError, match=r"^teacher\.\S*cameras: .*did you mean 'front_camera'\?"):
        build_run(apply_overrides(values, (), source="tiny"))


def test_only_the_named_cameras_images_go_through_the_network(world, monkeypatch):
    run = build_run(recipe(world, cameras=["front_camera"]))
    [batch] = next(training_batches(run)(0, 1))
    batch_teacher = run.batch_teachers["narrow"]
    found = batch.for_teachers
    cameras = tuple("front_camera" if n == 0 else "back" for n in range(len(found.cameras)))
    other = dataclasses.replace(found, cameras=cameras)
    seen, maps = [], type(batch_teacher.teacher).maps

    def counted(teacher, images):
        seen.append(len(images))
        return maps(teacher, images)

    monkeypatch.setattr(type(batch_teacher.teacher), "maps", counted)
    one = batch_teacher(dataclasses.replace(batch, for_teachers=other))
    assert seen == [1]
    assert set(one.view.tolist()) == {0}
    whole = batch_teacher(batch)
    rows = whole.view == 0
    torch.testing.assert_close(one.features, whole.features[rows], atol=1e-5, rtol=1e-5)


def test_class_tokens_are_matched_where_a_teacher_gives_them(world, tmp_path):
    changes = ("target.class_token=0.1", "teacher.wide.class_token=true")
    output = f"output={tmp_path / 'run'}"
    path = pretrain(recipe(world, *changes, output, "train.steps=2"))
    weights = load_checkpoint(path).weights
    assert weights["class_heads.wide.linear.weight"].shape == (WIDE, 8)
    assert not any(name.startswith("class_heads.narrow") for name in weights)
    last = read_log(tmp_path / "run" / "log.jsonl")[-1]
    assert last["class_cosine"] == last["class_cosine_wide"]


def test_an_estimate_counts_all_teachers(world):
    both = recipe(world)
    found = estimate(both, frames=4)
    networks = [one.build().network for one in both.teachers.values()]
    assert found.teacher_bytes == sum(4 * p.numel() for n in networks for p in n.parameters())
    groups = {name: one.build().groups for name, one in both.teachers.items()}
    parameters = sum(p.numel() for p in build_distiller(both, groups).parameters())
    assert found.parameters == parameters


def test_features_of_a_cache_are_each_teachers_own(world, tmp_path):
    teachers = recipe(world).teachers
    sampling, folder = recipe(world).data.sampling, tmp_path / "cache"
    keys = set()
    for config in teachers.values():
        reader = TargetReader(config.build(), sampling, folder, settings=config)
        keys.add((reader.size_hw, reader._caches[False].folder))
    assert len(keys) == 2
    assert {size for size, _ in keys} == {(28, 56), (56, 84)}


def test_what_no_teacher_gives_is_said_with_its_name(world):
    groups = GROUPS | {"b": (ChannelGroup(num_channels=3, whole_image=True),)}
    with pytest.raises(ConfigError, match=r"teacher\.b: nothing is left to match points with"):
        student(world, "target.class_token=0.1", groups=groups)
