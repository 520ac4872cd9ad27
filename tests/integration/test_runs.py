import json
import shutil

import numpy as np
import pytest
import torch
from fakes.runs import pretrain_values, probe_values, write_street, write_world
from fakes.semantic_kitti import write_sequence

from lidistill.distill.run import pretrain
from lidistill.errors import CheckpointError, ConfigError
from lidistill.recipes import apply_overrides
from lidistill.segment.report import evaluate_run, train_and_score
from lidistill.training.checkpoint import load_checkpoint
from lidistill.training.checkpoint_record import record_sum
from lidistill.training.run_files import read_log

RUNS = ("probe", "again")


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    folder = tmp_path_factory.mktemp("world")
    write_world(folder)
    pretrain(distillation(folder))
    return folder


def distillation(folder, *overrides):
    return apply_overrides(pretrain_values(folder), overrides, source="tiny")


def probing(folder, features, *overrides):
    return apply_overrides(probe_values(folder, features), overrides, source="tiny")


def curve(run):
    return [(r["step"], r["loss"], r["cosine"], r["lr"]) for r in read_log(run / "log.jsonl")]


def test_a_run_cut_in_mid_epoch_goes_on_bit_for_bit(world, tmp_path):
    whole = world / "pretrain"
    shutil.copytree(whole, tmp_path / "cut")
    shutil.rmtree(tmp_path / "cut" / "checkpoints" / "step-00000006")
    shutil.rmtree(tmp_path / "cut" / "checkpoints" / "step-00000004")
    # A run that died while it wrote its fourth step.
    log = (tmp_path / "cut" / "log.jsonl").read_text().splitlines()
    (tmp_path / "cut" / "log.jsonl").write_text("\n".join(log[:3]) + '\n{"step": 4, "lo')
    pretrain(distillation(world, f"output={tmp_path / 'cut'}"))
    assert curve(tmp_path / "cut") == curve(whole)
    expected, found = load_checkpoint(whole), load_checkpoint(tmp_path / "cut")
    assert found.step == expected.step == 6
    for name, weight in expected.weights.items():
        assert torch.equal(found.weights[name], weight), name


def cut(world, folder, root):
    """A run that has two steps to go, of a world whose data set lies elsewhere by now."""
    shutil.copytree(world / "pretrain", folder / "cut")
    shutil.rmtree(folder / "cut" / "checkpoints" / "step-00000006")
    shutil.copytree(world / "set", root)
    return distillation(world, f"output={folder / 'cut'}", f"data.sets.0.root={root}")


def test_a_run_goes_on_where_its_data_set_has_moved_to(world, tmp_path):
    pretrain(cut(world, tmp_path, tmp_path / "node-local"))
    assert curve(tmp_path / "cut") == curve(world / "pretrain")


def test_a_run_does_not_go_on_with_other_frames(world, tmp_path):
    recipe = cut(world, tmp_path, tmp_path / "node-local")
    write_street(tmp_path / "node-local", name="002", frames=(0, 1))
    with pytest.raises(CheckpointError, match=r"learned from 4 frames, and data.sets hold 6"):
        pretrain(recipe)


def test_a_run_of_an_older_version_says_that_it_cannot_compare_its_frames(world, tmp_path, caplog):
    recipe = cut(world, tmp_path, tmp_path / "node-local")
    file = tmp_path / "cut" / "checkpoints" / "step-00000004" / "checkpoint.json"
    record = json.loads(file.read_text())
    del record["meta"]["frames"]
    record["sha256"]["checkpoint.json"] = record_sum(record)
    file.write_text(json.dumps(record))
    pretrain(recipe)
    assert "does not say which frames it learned from" in caplog.text
    assert curve(tmp_path / "cut") == curve(world / "pretrain")


def test_the_number_of_workers_changes_nothing(world, tmp_path):
    pretrain(distillation(world, f"output={tmp_path / 'w'}", "data.workers=2"))
    assert curve(tmp_path / "w") == curve(world / "pretrain")


def test_samples_made_on_the_device_give_the_same_run(world, tmp_path):
    changed = "samples=device", "data.workers=1"
    pretrain(distillation(world, f"output={tmp_path / 'd'}", *changed))
    np.testing.assert_allclose(curve(tmp_path / "d"), curve(world / "pretrain"), rtol=1e-5)


def test_a_cache_of_teacher_features_changes_the_loss_by_rounding_only(world, tmp_path):
    recipe = distillation(world, f"output={tmp_path / 'c'}", f"teacher_cache={tmp_path / 'cache'}")
    pretrain(recipe)
    cached = [row[1] for row in curve(tmp_path / "c")]
    assert cached == pytest.approx([row[1] for row in curve(world / "pretrain")], abs=2e-3)
    assert len(list((tmp_path / "cache").rglob("*.safetensors"))) == 1  # one image, four times


def test_the_teacher_is_not_in_the_checkpoint_and_the_recipe_is(world):
    checkpoint = load_checkpoint(world / "pretrain")
    assert {name.split(".")[0] for name in checkpoint.weights} == {"backbone", "head", "center"}
    assert checkpoint.recipe == distillation(world).model_dump(mode="json")
    assert checkpoint.meta["sensors"] == ["pandar64"]


def test_accumulated_passes_count_every_pair_once(world, tmp_path):
    recipe = distillation(
        world,
        f"output={tmp_path / 'a'}",
        "train.micro_batch=1",
        "backbone.drop_path=0",
        "target.center_batches=0",
    )
    whole = distillation(
        world, f"output={tmp_path / 'b'}", "backbone.drop_path=0", "target.center_batches=0"
    )
    pretrain(recipe)
    pretrain(whole)
    # The BatchNorms of the embedding see half of the points at a time, so only nearly equal.
    first, second = curve(tmp_path / "a")[0][1], curve(tmp_path / "b")[0][1]
    assert first == pytest.approx(second, abs=0.05)


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_sixteen_bit_runs_stay_near_full_precision(world, tmp_path, precision):
    pretrain(distillation(world, f"output={tmp_path / 'p'}", f"train.precision={precision}"))
    losses = [row[1] for row in curve(tmp_path / "p")]
    assert losses == pytest.approx([row[1] for row in curve(world / "pretrain")], abs=0.05)


@pytest.mark.parametrize("features", ["backbone", "random", "input", "teacher"])
def test_a_probe_ends_in_scores_and_figures(world, features, tmp_path):
    result = train_and_score(probing(world, features, f"output={tmp_path / 'probe'}"))
    record = json.loads(result.results.read_text())
    assert record["num_frames"] == 4
    assert record["all_points"]["mean_iou"] == pytest.approx(
        100 * result.evaluation.scores.mean_iou, abs=1e-3
    )
    assert all(figure.is_file() for figure in result.figures)
    if features == "input":  # height and intensity are among the channels
        assert result.evaluation.scores.overall_accuracy > 0.9


def test_a_frozen_backbone_stays_as_it_was(world, tmp_path):
    drawn = ("cache_features=false", "sampling.augmentation.kind=finetune")
    for way, changes in {"cached": (), "drawn": drawn}.items():
        output = tmp_path / way
        train_and_score(probing(world, "backbone", f"output={output}", *changes))
        probed, distilled = load_checkpoint(output), load_checkpoint(world / "pretrain")
        for name, weight in distilled.weights.items():
            if name.startswith("backbone."):
                assert torch.equal(probed.weights[name], weight), name


@pytest.mark.parametrize("features", ["backbone", "input", "teacher"])
def test_a_probe_can_be_scored_again_without_the_distillation_it_began_with(
    world, features, tmp_path
):
    shutil.copytree(world / "pretrain", tmp_path / "start")
    recipe = probing(
        world, features, f"checkpoint={tmp_path / 'start'}", f"output={tmp_path / 'probe'}"
    )
    before = train_and_score(recipe).evaluation
    shutil.rmtree(tmp_path / "start")
    checkpoint = load_checkpoint(tmp_path / "probe")
    again = apply_overrides(checkpoint.recipe, (f"output={tmp_path / 'again'}",), source="run")
    after = evaluate_run(again, checkpoint).evaluation
    assert after.confusion.tolist() == before.confusion.tolist()
    starts = [json.loads((tmp_path / n / "results.json").read_text())["start"] for n in RUNS]
    assert starts[0] == starts[1]


def test_classes_that_were_not_learned_are_not_scored(world, tmp_path):
    write_sequence(tmp_path / "kitti", 8)
    kitti = {"kind": "semantic_kitti", "root": str(tmp_path / "kitti"), "split": "all"}
    recipe = probing(
        world, "input", f"output={tmp_path / 'p'}", f"evaluation.sets={json.dumps([kitti])}"
    )
    with pytest.raises(ConfigError, match=r"17 classes of 'pandaset'.*the 19 of 'semantic_kitti'"):
        train_and_score(recipe)
    assert not (tmp_path / "p").exists()


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (("train_backbone=true",), "unknown key 'train_backbone'"),
        (("drop_path=0.2",), "unknown key 'drop_path'"),
        (("sampling.augmentation.kind=finetune",), "leaves no room"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(world, change, reason):
    with pytest.raises(ConfigError, match=reason):
        probing(world, "backbone", *change)


def test_a_cache_may_move_but_not_appear(world, tmp_path):
    with pytest.raises(CheckpointError, match="different: teacher_cache"):
        pretrain(distillation(world, f"teacher_cache={tmp_path / 'cache'}"))


def test_a_checkpoint_of_another_width_is_refused(world, tmp_path):
    recipe = probing(
        world, "backbone", f"output={tmp_path / 'p'}", "backbone={width: 12, depth: 3}"
    )
    with pytest.raises(CheckpointError, match="of another architecture"):
        train_and_score(recipe)


def test_distilled_features_need_a_checkpoint(world, tmp_path):
    recipe = probing(
        world, "backbone", "checkpoint=null", "backbone={width: 8}", f"output={tmp_path / 'p'}"
    )
    with pytest.raises(ConfigError, match="give checkpoint=RUN"):
        train_and_score(recipe)
