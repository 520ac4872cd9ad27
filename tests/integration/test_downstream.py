import json
import shutil

import pytest
import torch
from fakes.command import run
from fakes.runs import (
    GRID,
    finetune_values,
    pretrain_values,
    probe_values,
    write_street,
    write_world,
)
from fakes.several import two_teachers, write_two

from lidistill.apps.comparison_plan import ROWS
from lidistill.apps.comparison_table import Line, gap_sentence, markdown, table_rows
from lidistill.distill.run import pretrain
from lidistill.errors import CheckpointError, ConfigError, FileFormatError
from lidistill.recipes import apply_overrides
from lidistill.segment.report import evaluate_run, train_and_score
from lidistill.segment.run import build_segmentation
from lidistill.training.checkpoint import load_checkpoint
from lidistill.training.run_files import read_log

WIDE = GRID | {"fov_max": [64, 64, 8], "fov_min": [-64, -64, -8], "planes": [[64, 64]] * 3}


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    folder = tmp_path_factory.mktemp("world")
    files = write_world(folder)
    pretrain(apply_overrides(pretrain_values(folder), (), source="tiny"))
    return folder, files


def recipe(world, *overrides, values=finetune_values):
    return apply_overrides(values(world[0]), overrides, source="tiny")


def test_training_from_scratch_learns_the_labels_and_needs_no_distillation(world, tmp_path):
    backbone = load_checkpoint(world[0] / "pretrain").recipe["backbone"]
    result = train_and_score(
        recipe(
            world,
            "features=random",
            f"backbone={json.dumps(backbone)}",
            f"checkpoint={tmp_path / 'absent'}",
            f"output={tmp_path / 'scratch'}",
        )
    )
    assert result.evaluation.scores.overall_accuracy > 0.9


def test_fine_tuning_starts_from_the_distilled_weights_and_moves_every_one(world, tmp_path):
    train_and_score(recipe(world, f"output={tmp_path / 'run'}", "train.steps=5"))
    before, after = load_checkpoint(world[0] / "pretrain"), load_checkpoint(tmp_path / "run")
    rates = after.training_state()["optimizer"]["param_groups"]
    assert {round(group["lr_scale"], 6) for group in rates} == {
        round(0.8**power, 6) for power in range(5)
    }
    assert after.meta["networks"]["backbone"]["drop_path"] == 0.1
    distances = {
        name: float((after.weights[name] - weight).abs().max())
        for name, weight in before.weights.items()
        if name.startswith("backbone.") and weight.is_floating_point() and "running" not in name
    }
    # A bias in front of a BatchNorm has no gradient; nothing else stays where it was.
    still = [name for name, distance in distances.items() if distance == 0]
    assert still in ([], ["backbone.embed.difference_norm.bias"])
    assert max(distances.values()) < 0.2


def test_fine_tuning_can_start_with_the_head_of_a_probe(world, tmp_path):
    train_and_score(recipe(world, f"output={tmp_path / 'probe'}", values=probe_values))
    start = (
        f"checkpoint={tmp_path / 'probe'}",
        "head=checkpoint",
        "train.steps=1",
        "schedule.min_lr=0",
    )
    train_and_score(recipe(world, *start, f"output={tmp_path / 'tuned'}", "optimizer.lr=1e-9"))
    probe, tuned = load_checkpoint(tmp_path / "probe"), load_checkpoint(tmp_path / "tuned")
    assert probe.weights["head.linear.weight"].abs().max() > 0.01
    for name in ("head.linear.weight", "head.linear.bias", "backbone.embed.merge.weight"):
        torch.testing.assert_close(tuned.weights[name], probe.weights[name], atol=1e-6, rtol=0)
    with pytest.raises(CheckpointError, match="has learned no classes"):
        train_and_score(recipe(world, "head=checkpoint", f"output={tmp_path / 'no'}"))
    with pytest.raises(ConfigError, match="head=checkpoint needs checkpoint=RUN"):
        recipe(world, "head=checkpoint", "features=random")


@pytest.mark.parametrize("values", [probe_values, finetune_values])
def test_learning_labels_cut_in_two_equals_an_uncut_run(world, tmp_path, values):
    common = ("train.steps=4", "train.checkpoint_every=2", "train.keep_checkpoints=5")

    def run(name):
        train_and_score(recipe(world, *common, f"output={tmp_path / name}", values=values))

    run("whole")
    run("cut")
    for name in ("results.json", "checkpoints/step-00000004/weights.safetensors"):
        (tmp_path / "cut" / name).unlink()
    (tmp_path / "cut" / "checkpoints" / "step-00000004").rename(tmp_path / "gone")
    run("cut")
    whole, cut = load_checkpoint(tmp_path / "whole"), load_checkpoint(tmp_path / "cut")
    assert all(torch.equal(cut.weights[name], w) for name, w in whole.weights.items())
    rates = [[row["lr"] for row in read_log(tmp_path / n / "log.jsonl")] for n in ("whole", "cut")]
    assert rates[0] == rates[1]


@pytest.mark.parametrize("policy", ["stop", "skip"])
def test_a_probe_does_about_bad_frames_what_its_recipe_says(world, tmp_path, caplog, policy):
    write_street(tmp_path / "set", frames=(0, 1, 2, 3))
    (tmp_path / "set" / "001" / "lidar" / "01.pkl.gz").write_bytes(b"broken")
    data = f"{{kind: pandaset, root: {tmp_path / 'set'}, split: all}}"
    probe = recipe(
        world,
        f"data.sets=[{data}]",
        f"data.bad_frames.policy={policy}",
        f"output={tmp_path / 'run'}",
        "train.steps=4",
        values=probe_values,
    )
    if policy == "stop":
        with pytest.raises(FileFormatError, match=r"01\.pkl\.gz"):
            train_and_score(probe)
        return
    train_and_score(probe)
    assert caplog.text.count("bad frame 1 of at most 100 is left out") == 1


def test_a_network_sees_a_larger_field_of_view_with_the_same_weights(world, tmp_path):
    device = torch.device("cpu")
    narrow = build_segmentation(recipe(world), 17, device)
    wide = build_segmentation(recipe(world, f"grid={json.dumps(WIDE)}"), 17, device)
    assert wide.preparer.field_of_view.high == (64, 64, 8)
    assert narrow.preparer.field_of_view.high == (32, 32, 8)
    for name, weight in narrow.segmenter.state_dict().items():
        assert torch.equal(wide.segmenter.state_dict()[name], weight)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (("data.num_frames=1",), [2]),
        (("data.num_frames=2",), [1, 3]),
        (("data.num_frames=4",), [0, 1, 2, 3]),
    ],
)
def test_few_frames_are_spread_evenly(world, change, expected):
    names = recipe(world, *change).data.build().frame_ids
    assert names == tuple(f"001/{i:02d}/pandar64" for i in expected)


def test_few_frames_can_be_drawn_by_a_seed(world):
    def drawn(seed):
        changes = ("data.num_frames=2", "data.pick=random", f"data.pick_seed={seed}")
        return recipe(world, *changes).data.build().frame_ids

    assert drawn(0) == drawn(0)
    assert len({drawn(seed) for seed in range(12)}) > 2


def test_more_frames_than_there_are_cannot_be_had(world):
    with pytest.raises(ConfigError, match="num_frames=5, but a set holds 4"):
        recipe(world, "data.num_frames=5").data.build()


def test_a_fine_tuned_network_is_scored_again_with_votes(world, tmp_path):
    first = train_and_score(recipe(world, f"output={tmp_path / 'run'}"))
    checkpoint = load_checkpoint(tmp_path / "run")
    changes = (f"output={tmp_path / 'again'}", "votes.num_votes=3")
    again = apply_overrides(checkpoint.recipe, changes, source="run")
    voted = evaluate_run(again, checkpoint)
    assert voted.evaluation.fingerprint == first.evaluation.fingerprint
    assert voted.evaluation.scores.overall_accuracy > 0.85
    record = json.loads(voted.results.read_text())
    assert record["recipe"]["votes"]["num_votes"] == 3
    stored = json.loads((tmp_path / "run" / "results.json").read_text())["checkpoint"]
    assert record["checkpoint"]["sha256"] == stored["sha256"]
    assert "| mIoU |" in voted.results.with_suffix(".md").read_text()


def test_compare_runs_every_row_once_and_tells_means_and_spread(world, tmp_path, capsys):
    _, files = world
    command = (
        "compare",
        "pretrain.train.steps=1",
        "probe.train.steps=2",
        "finetune.train.steps=2",
        "--recipes",
        *(files[kind] for kind in ("pretrain", "probe", "finetune")),
        "--rows",
        *ROWS,
        "--frames",
        1,
        "--seeds",
        0,
        1,
        "--output",
        tmp_path,
    )
    status, out, _ = run(capsys, *command, "--json")
    assert status == 0
    scores = {name: len(line["mean_iou"]) for name, line in json.loads(out).items()}
    assert scores == {
        "random": 2,
        "input": 1,
        "teacher": 1,
        "distilled, 1 frame": 2,
        "distilled": 2,
        "scratch, 1 frame": 2,
        "scratch": 2,
        "finetuned, 1 frame": 2,
        "finetuned": 2,
        "probed-finetuned, 1 frame": 2,
        "probed-finetuned": 2,
    }
    few = json.loads((tmp_path / "probed-finetuned-1-0" / "results.json").read_text())["recipe"]
    assert (few["checkpoint"], few["head"]) == (str(tmp_path / "distilled-1-0"), "checkpoint")
    record = json.loads((tmp_path / "comparison.json").read_text())
    assert record["table"]["distilled"]["mean_iou"]["std"] is not None
    assert record["table"]["input"]["mean_iou"]["std"] is None
    assert len(list((tmp_path / "teacher").rglob("*.safetensors"))) == 1  # shared by all seeds
    times = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("results.json")}
    status, out, _ = run(capsys, *command)
    assert status == 0
    assert "scratch, 1 frame" in out
    pair = (tmp_path / f"{row}-all-0" for row in ("distilled", "random"))
    assert f"lidistill view {' '.join(map(str, pair))} --most-different" in out
    assert times == {path: path.stat().st_mtime_ns for path in tmp_path.rglob("results.json")}


def test_more_frames_than_there_are_stop_a_comparison_before_its_first_run(world, tmp_path, capsys):
    _, files = world
    recipes = (files[kind] for kind in ("pretrain", "probe", "finetune"))
    command = ("compare", "--recipes", *recipes, "--rows", "distilled", "--frames", 99)
    status, _, err = run(capsys, *command, "--output", tmp_path / "new")
    assert status == 2
    assert "num_frames=99, but a set holds" in err
    assert not (tmp_path / "new" / "distilled-0" / "checkpoints").exists()


def test_compare_probes_each_of_several_teachers(tmp_path, capsys):
    write_two(tmp_path)
    recipes = [tmp_path / f"{kind}.yaml" for kind in ("pretrain", "probe", "finetune")]
    common = ["--recipes", *recipes, "--output", tmp_path / "found", "--json", "--rows"]
    both = f"pretrain.teacher={json.dumps(two_teachers(tmp_path))}"
    changes = [both, "pretrain.train.steps=1", "probe.train.steps=1"]
    status, out, _ = run(capsys, "compare", *changes, *common, "teacher", "distilled")
    assert status == 0
    assert list(json.loads(out)) == ["teacher wide", "teacher narrow", "distilled"]
    probed = load_checkpoint(tmp_path / "found/teacher-narrow-all-0").meta["networks"]
    assert probed["teacher"]["layers"] == [2]
    network = f"pretrain.teacher={{kind: lidistill, run: {tmp_path / 'found/distilled-0'}}}"
    status, _, err = run(capsys, "compare", network, *common, "teacher")
    assert status == 2
    assert "teacher is a 3D network, which has no row; probe its own run" in " ".join(err.split())


def test_compare_does_not_mix_scores_of_two_distillations(world, tmp_path, capsys):
    _, files = world
    recipes = [files[kind] for kind in ("pretrain", "probe", "finetune")]
    changes = ["probe.train.steps=1", "pretrain.train.steps=1"]
    common = ["--recipes", *recipes, "--rows", "distilled", "random", "--output", tmp_path]
    assert run(capsys, "compare", *changes, *common)[0] == 0
    shutil.rmtree(tmp_path / "distilled-0")
    changes[1] = "pretrain.train.steps=2"
    status, _, err = run(capsys, "compare", *changes, *common)
    assert status == 2
    assert "distilled-all-0 was made from other weights" in err
    shutil.rmtree(tmp_path / "distilled-all-0")
    assert run(capsys, "compare", *changes, *common)[0] == 0


def test_what_no_image_shows_is_a_gap_in_the_comparison(world):
    line = Line(name="input", scores={"mean_iou": [3.0, 4.0], "mean_iou_of_truth": [5.0, 5.0]})
    line.scores["seen"] = [None, None]
    assert table_rows([line]) == [("input", "3.5", "± 0.7", "5.0", "–")]
    assert json.loads(json.dumps(line.mean("seen"))) is None


def test_the_gap_to_supervised_training_is_stated_where_both_ends_are_there():
    lines = [
        Line(name="scratch", scores={"mean_iou": [50.0, 54.0], "mean_iou_of_truth": [0.0, 0.0]}),
        Line(name="distilled", scores={"mean_iou": [45.5, 46.5], "mean_iou_of_truth": [9.0, 9.0]}),
    ]
    for line in lines:
        line.scores["seen"] = [None, None]
    assert "+6.0 points" in gap_sentence(lines)
    assert "+6.0 points" in markdown(lines)
    assert gap_sentence(lines[:1]) == ""
    assert "points." not in markdown(lines[1:])


def test_compare_refuses_rows_and_changes_that_mean_nothing(tmp_path, capsys):
    status, _, err = run(capsys, "compare", "--rows", "distiled", "--output", tmp_path)
    assert status == 2
    assert "did you mean 'distilled'" in err
    status, _, err = run(capsys, "compare", "--rows", "probed-finetuned", "--output", tmp_path)
    assert status == 2
    assert "ask for both rows" in err
    for change, reason in (
        ("train.steps=2", "must begin with"),
        ("all.seed=7", "sets seed for each of its runs"),
        ("finetune.data.num_frames=1", "sets data.num_frames for each of its runs"),
    ):
        status, _, err = run(capsys, "compare", change, "--output", tmp_path)
        assert status == 2
        assert reason in " ".join(err.split())
    status, _, err = run(capsys, "compare", "--seeds", "0", "0", "--output", tmp_path)
    assert status == 2
    assert "seeds holds one of (0, 0) twice" in err


def test_the_gap_between_two_lidars_is_a_matrix(world, tmp_path, capsys):
    runs = []
    for sensor in ("pandar64", "pandargt"):
        output = tmp_path / sensor
        sets = [f"{part}.sets.0.sensor={sensor}" for part in ("data", "evaluation")]
        changes = ("features=input", f"name={sensor}", f"output={output}", *sets)
        train_and_score(recipe(world, *changes, values=probe_values))
        runs.append(output)
    status, out, _ = run(capsys, "gap", *runs, "--output", tmp_path / "gap")
    assert status == 0
    assert "pandargt" in out
    assert "lidistill view" not in out  # neither has a network
    record = json.loads((tmp_path / "gap" / "gap.json").read_text())
    assert record["names"] == ["pandar64", "pandargt"]
    matrix = record["mean_iou_of_truth"]
    assert [len(row) for row in matrix] == [2, 2]
    classes = record["evaluations"][0][1]["classes"]
    assert classes[0] == "road"
    assert record["evaluations"][0][1]["num_points"][classes.index("car")] > 0
    assert (tmp_path / "gap" / "gap.png").is_file()
    assert "| pandar64 |" in (tmp_path / "gap" / "gap.md").read_text()
    lost = ("1.evaluation.sets.0.root=nowhere", "votes.num_votes=2")
    status, out, _ = run(capsys, "gap", *runs, *lost, "--output", tmp_path / "again", "--json")
    assert status == 0
    recipes = json.loads((tmp_path / "again" / "gap.json").read_text())["recipes"]
    assert [r["votes"]["num_votes"] for r in recipes] == [2, 2]
    roots = [r["evaluation"]["sets"][0]["root"] for r in recipes]
    assert roots[0] == roots[1] != "nowhere"
    status, _, err = run(capsys, "gap", *runs, "2.votes.num_votes=2")
    assert status == 2
    assert "counted from 0" in err
    status, _, err = run(capsys, "gap", runs[0], "--output", tmp_path / "one")
    assert status == 2
    assert "two runs or more" in err
    status, _, err = run(capsys, "gap", world[0] / "pretrain", runs[0])
    assert status == 2
    assert "is a pretrain run" in err


def test_finetune_and_submission_are_commands(world, tmp_path, capsys):
    _, files = world
    output = f"output={tmp_path / 'run'}"
    status, out, _ = run(capsys, "finetune", files["finetune"], output, "train.steps=1")
    assert status == 0
    assert "95 % interval" in out
    status, _, err = run(capsys, "finetune", files["probe"], output)
    assert status == 2
    assert "this command runs 'finetune' recipes" in err
    status, _, err = run(capsys, "submission", tmp_path / "run", tmp_path / "out")
    assert status == 2
    assert "submission formats for nuscenes and semantic_kitti" in " ".join(err.split())
