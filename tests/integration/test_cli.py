import gzip
import json
import os
import pickle
import re

import numpy as np
import pandas as pd
import pytest
from fakes.command import run
from fakes.runs import write_street, write_world

from lidistill import __version__
from lidistill.cli import main


@pytest.fixture
def world(tmp_path):
    return tmp_path, write_world(tmp_path)


def test_a_whole_session(world, capsys):
    folder, recipes = world
    status, out, _ = run(capsys, "pretrain", recipes["pretrain"], "train.steps=2")
    assert status == 0
    assert "checkpoint" in out
    status, out, _ = run(capsys, "probe", recipes["probe"], "train.steps=3", "--json")
    assert status == 0
    scores = json.loads(out)
    assert len(scores["confusion"]) == 17
    status, out, _ = run(
        capsys, "evaluate", folder / "probe-backbone", f"output={folder / 'again'}", "--json"
    )
    assert status == 0
    assert json.loads(out)["confusion"] == scores["confusion"]
    (folder / "probe-backbone").rename(folder / "moved")
    status, out, _ = run(capsys, "evaluate", folder / "moved")
    assert status == 0
    assert "mIoU" in out
    assert (folder / "moved" / "evaluation" / "results.json").is_file()


def test_recipes_are_listed_and_printed(capsys):
    status, out, _ = run(capsys, "recipes", "--json")
    assert status == 0
    assert "pretrain/scalr" in json.loads(out)
    status, out, _ = run(capsys, "recipes", "pretrain/scalr")
    assert "dinov2-large" in out
    assert run(capsys, "recipes")[0] == 0


def test_the_version_is_printed(capsys):
    assert __version__ in run(capsys, "--version")[1]


def test_data_check_reports_and_draws(world, capsys):
    folder, _ = world
    status, out, _ = run(
        capsys, "data", "check", folder / "set", "--output", folder / "look", "--json"
    )
    assert status == 0
    report = json.loads(out)
    assert report["parts"] == ["001"]
    assert list((folder / "look").rglob("*.png"))
    status, out, _ = run(capsys, "data", "check", folder / "set", "--output", folder / "look")
    assert "front_camera" in out


def damage_missing_folder(folder):
    return ["data.sets.0.root=/nowhere/at/all"]


def damage_truncated_scan(folder):
    file = folder / "set/001/lidar/00.pkl.gz"
    file.write_bytes(file.read_bytes()[:-200])
    return []


def damage_image(folder):
    (folder / "set/001/camera/front_camera/00.jpg").write_bytes(b"\xff\xd8 not an image")
    return []


def damage_label_length(folder):
    path = folder / "set/001/annotations/semseg/00.pkl.gz"
    pd.DataFrame({"class": np.full(5, 7)}).to_pickle(path)
    return []


def damage_class_id(folder):
    write_street(folder / "set")
    path = folder / "set/001/annotations/semseg/00.pkl.gz"
    pd.DataFrame({"class": np.full(1800, 77)}).to_pickle(path)
    return []


def damage_pickle(folder):
    class Evil:
        def __reduce__(self):
            return (os.system, (f"touch {folder / 'ran'}",))

    with gzip.open(folder / "set/001/lidar/00.pkl.gz", "wb") as file:
        pickle.dump(Evil(), file)
    return []


def damage_teacher(folder):
    return [f"teacher.model={folder / 'no-such-teacher'}"]


def damage_frame(folder):
    return ["figures.enabled=true", "figures.frames=[no-such-frame]"]


def damage_output(folder):
    (folder / "taken").write_text("")
    return [f"output={folder / 'taken'}"]


def damage_in_worker(folder):
    return [*damage_truncated_scan(folder), "data.workers=2"]


def damage_nothing(*overrides):
    return lambda _folder: list(overrides)


BAD_RUNS = {
    "missing folder": (damage_missing_folder, r"/nowhere/at/all"),
    "unknown key": (damage_nothing("train.stps=3"), "did you mean 'steps'"),
    "wrong type": (damage_nothing("train.steps=many"), "train.steps"),
    "not an override": (damage_nothing("steps"), "key=value"),
    "truncated scan": (damage_truncated_scan, r"lidar/00.pkl.gz"),
    "image": (damage_image, r"front_camera/00.jpg"),
    "label length": (damage_label_length, r"semseg/00.pkl.gz"),
    "class id": (damage_class_id, "unknown class id 77"),
    "forbidden pickle": (damage_pickle, r"system"),
    "no teacher": (damage_teacher, r"(?i)folder or file.*hugging face.*wheel"),
    "image size": (damage_nothing("data.sampling.image_size_hw=[30,56]"), "multiples of 14"),
    "unknown kind": (damage_nothing("head.kind=linear2"), "did you mean 'linear'"),
    "a device that is not there": (damage_nothing("device=cuda"), "no GPU"),
    "a device that means nothing": (damage_nothing("device=gpu"), "none that PyTorch knows"),
    "negative seed": (damage_nothing("seed=-1"), "seed"),
    "betas": (damage_nothing("optimizer.betas=[2,3]"), "betas"),
    "list index": (damage_nothing("data.sets.²=1"), "not an index"),
    "frame of the images": (damage_frame, "no-such-frame"),
    "output is a file": (damage_output, "taken"),
    "truncated scan in a worker": (damage_in_worker, r"^error: \S*lidar/00.pkl.gz"),
}


@pytest.mark.parametrize("case", BAD_RUNS)
def test_bad_input_ends_in_one_line_and_status_2(world, capsys, case, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    folder, recipes = world
    damage, expected = BAD_RUNS[case]
    overrides = damage(folder)
    status, _, err = run(capsys, "pretrain", recipes["pretrain"], *overrides)
    assert status == 2, err
    last = err.strip().splitlines()[-1]
    assert last.startswith("error: ")
    assert re.search(expected, last), last
    assert "Traceback" not in err
    assert not (folder / "ran").exists()


def test_an_unknown_recipe_is_suggested(capsys):
    status, _, err = run(capsys, "pretrain", "pretrain/scaler")
    assert status == 2
    assert "did you mean 'pretrain/scalr'" in err


def test_a_recipe_of_another_kind_is_refused(world, capsys):
    _, recipes = world
    status, _, err = run(capsys, "pretrain", recipes["probe"])
    assert status == 2
    assert "'probe' recipe" in err


def test_a_recipe_file_that_is_not_yaml_is_refused(tmp_path, capsys):
    (tmp_path / "bad.yaml").write_text("a: [1")
    status, _, err = run(capsys, "pretrain", tmp_path / "bad.yaml")
    assert status == 2
    assert "not valid YAML" in err


def test_a_recipe_file_that_is_no_text_is_refused(tmp_path, capsys):
    (tmp_path / "bad.yaml").write_bytes(b"\xff\xfe\x00a")
    status, _, err = run(capsys, "pretrain", tmp_path / "bad.yaml")
    assert status == 2
    assert "not UTF-8" in err


def test_a_date_is_a_text(world, capsys):
    _, recipes = world
    status, _, err = run(capsys, "pretrain", recipes["pretrain"], "name=2024-02-30", "train.stps=1")
    assert status == 2
    assert "did you mean 'steps'" in err


def test_yaml_tags_do_not_run(tmp_path, capsys):
    marker = tmp_path / "ran"
    (tmp_path / "bad.yaml").write_text(f"a: !!python/object/apply:os.system ['touch {marker}']")
    status, _, _ = run(capsys, "pretrain", tmp_path / "bad.yaml")
    assert status == 2
    assert not marker.exists()


def test_evaluating_a_distillation_is_refused(world, capsys):
    folder, recipes = world
    run(capsys, "pretrain", recipes["pretrain"], "train.steps=1")
    status, _, err = run(capsys, "evaluate", folder / "pretrain")
    assert status == 2
    assert "evaluate needs one of `lidistill probe` or `finetune`" in err


def test_a_probe_without_its_checkpoint_says_so(world, capsys):
    _, recipes = world
    status, _, err = run(capsys, "probe", recipes["probe"])
    assert status == 2
    assert "no checkpoint at" in err


def test_debug_shows_the_traceback(capsys):
    with pytest.raises(Exception, match="unknown recipe"):
        main(["pretrain", "nonsense", "--debug"])


def test_an_override_that_makes_another_kind_of_a_recipe_is_refused(world, capsys):
    status, _, err = run(capsys, "finetune", world[1]["probe"])
    assert status == 2
    assert "is a 'probe' recipe, this command runs 'finetune' recipes" in err
    changed = ("kind=finetune", "features=random")
    status, _, err = run(capsys, "probe", "probe/debug", *changed)
    assert status == 2
    assert "error: recipe probe/debug" in err


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ("probe", "Missing from lidistill probe: RECIPE"),
        ("probe x --jsno", "Unrecognized options: --jsno; did you mean --json"),
        ("compare --frames a", "Error parsing --frames"),
        ("compare --output", "Missing value for argument '--output'"),
        ("data check", "Missing from lidistill data check: FOLDER"),
    ],
)
def test_arguments_that_do_not_fit_are_one_line(capsys, arguments, line):
    status, out, err = run(capsys, *arguments.split())
    assert (status, out) == (2, "")
    assert err.startswith(f"error: {line}")
    assert err.count("\n") == 1
    assert "--help" in err
