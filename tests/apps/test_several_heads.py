"""What follows a run with several teachers: every head by its name, a line where it is needed."""

import json

import numpy as np
import pytest
import torch
from fakes.command import run
from fakes.runs import probe_values
from fakes.several import NARROW, WIDE, several_values, write_two
from PIL import Image

import lidistill
from lidistill.apps.load_features import open_model
from lidistill.deploy.model import read_model_folder
from lidistill.distill.run import build_run, pretrain
from lidistill.errors import ConfigError, UnknownNameError
from lidistill.recipes import apply_overrides
from lidistill.segment.report import evaluate_run, train_and_score
from lidistill.training.checkpoint import load_checkpoint

WHICH = r"learned from several teachers, and has a head for each: wide, narrow; say whose with"


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    folder = write_two(tmp_path_factory.mktemp("heads"))
    pretrain(apply_overrides(several_values(folder), ("train.steps=4",), source="tiny"))
    return folder


def cloud():
    rng = np.random.default_rng(0)
    return rng.uniform([3, -12, -2], [25, 12, 3], (200, 3)).astype(np.float32)


@pytest.fixture
def scan(tmp_path):
    points = cloud()
    np.concatenate([points, np.ones((200, 1), np.float32)], axis=1).tofile(tmp_path / "one.bin")
    return tmp_path / "one.bin"


@pytest.mark.parametrize(("name", "width"), [("wide", WIDE), ("narrow", NARROW)])
def test_a_head_is_loaded_by_its_name_with_its_mean(world, name, width):
    model = lidistill.load(world / "pretrain", "cpu", head=name)
    weights = load_checkpoint(world / "pretrain").weights
    points, ones = cloud(), np.ones(200, np.float32)
    features, projected = model.features(points, ones), model.project(points, ones)
    linear = (weights[f"heads.{name}.linear.{part}"] for part in ("weight", "bias"))
    expected = torch.nn.functional.linear(torch.from_numpy(features), *linear)
    np.testing.assert_allclose(projected, expected, atol=1e-4)
    assert projected.shape == (200, width)
    np.testing.assert_array_equal(model.teacher_mean, weights[f"centers.{name}.mean"])
    config = open_model(world / "pretrain", head_name=name).config
    assert config.teacher["layers"] == ([-1] if name == "wide" else [2])


def test_without_a_name_there_are_features_and_one_line_about_the_heads(world):
    model = lidistill.load(world / "pretrain", "cpu")
    assert model.features(cloud(), None).shape == (200, 8)
    with pytest.raises(ConfigError, match=WHICH):
        model.project(cloud(), None)
    with pytest.raises(ConfigError, match=WHICH):
        model.after_head(np.zeros((1, 8), np.float32))
    with pytest.raises(UnknownNameError, match=r"unknown head 'wider'; did you mean 'wide'"):
        lidistill.load(world / "pretrain", "cpu", head="wider")


def test_features_after_a_head_are_written_by_its_name(world, scan, tmp_path, capsys):
    arguments = ("features", world / "pretrain", scan, "--output", tmp_path / "out", "--json")
    status, out, error = run(capsys, *arguments, "--head", "narrow")
    assert status == 0, error
    assert json.loads(out)["channels"] == NARROW
    assert np.load(tmp_path / "out" / "one.npy").shape == (200, NARROW)
    for words, said in (
        (("--head",), "say whose with --head NAME"),
        (("--head", "wyde"), "did you mean 'wide'"),
        (("--head", "wide", str(scan)), "--head takes one name at most"),
    ):
        status, _, error = run(capsys, *arguments, "--overwrite", *words)
        assert (status, said in error, error.count("\n")) == (2, True, 1), error


def test_a_model_folder_holds_the_head_that_was_named(world, scan, tmp_path, capsys):
    status, _, error = run(capsys, "export", world / "pretrain", tmp_path / "none")
    assert (status, "--teacher NAME" in error) == (2, True)
    assert not (tmp_path / "none").exists()
    folder = tmp_path / "narrow"
    status, _, error = run(capsys, "export", world / "pretrain", folder, "--teacher", "narrow")
    assert status == 0, error
    config = read_model_folder(folder).config
    assert config.head.widths == (NARROW,)
    assert config.teacher["model"].endswith("narrow")
    assert " + " in config.provenance.teacher
    model = lidistill.load(folder, "cpu")
    expected = lidistill.load(world / "pretrain", "cpu", head="narrow").project(cloud(), None)
    np.testing.assert_allclose(model.project(cloud(), None), expected, atol=1e-6)
    again = ("export", folder, tmp_path / "again", "--teacher", "narrow")
    status, _, error = run(capsys, *again)
    assert (status, "has one head at most" in error) == (2, True)
    assert run(capsys, "features", folder, scan, "--output", tmp_path / "o", "--head")[0] == 0


def test_example_images_are_looked_at_by_the_teacher_that_is_named(world, scan, tmp_path, capsys):
    rng = np.random.default_rng(0)
    for name, level in (("dark", 40), ("light", 200)):
        (tmp_path / "examples" / name).mkdir(parents=True)
        for number in range(2):
            pixels = np.clip(level + rng.integers(-20, 20, (60, 60, 3)), 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(tmp_path / "examples" / name / f"{number}.png")
    words = ("predict", world / "pretrain", scan, "--examples", tmp_path / "examples")
    status, _, error = run(capsys, *words, "--output", tmp_path / "no")
    assert (status, "--teacher NAME" in error, error.count("\n")) == (2, True, 1)
    status, _, error = run(capsys, *words, "--output", tmp_path / "yes", "--teacher", "narrow")
    assert status == 0, error
    assert set(np.unique(np.load(tmp_path / "yes" / "one.npy"))) <= {0, 1}


def test_a_probe_of_the_teacher_names_which(world, tmp_path):
    values = probe_values(world, "teacher") | {"output": str(tmp_path / "probe")}
    with pytest.raises(
        ConfigError, match=r"several teachers \(wide, narrow\); .*teacher_name=NAME"
    ):
        train_and_score(apply_overrides(values, (), source="tiny"))
    with pytest.raises(UnknownNameError, match="did you mean 'wide'"):
        train_and_score(apply_overrides(values, ("teacher_name=wida",), source="tiny"))
    named = apply_overrides(values, ("teacher_name=narrow", "train.steps=2"), source="tiny")
    first = train_and_score(named)
    checkpoint = load_checkpoint(tmp_path / "probe")
    assert checkpoint.meta["networks"]["teacher"]["layers"] == [2]
    again = evaluate_run(named.model_copy(update={"output": tmp_path / "again"}), checkpoint)
    assert (first.evaluation.confusion == again.evaluation.confusion).all()


def test_a_probe_of_the_student_needs_no_name(world, tmp_path):
    values = probe_values(world) | {"output": str(tmp_path / "probe")}
    train_and_score(apply_overrides(values, ("train.steps=2",), source="tiny"))
    assert lidistill.load(tmp_path / "probe", "cpu").class_names


def test_figures_stand_in_a_folder_for_each_teacher(world, tmp_path):
    from lidistill.apps.pretrain import run_pretrain  # noqa: PLC0415

    changes = ("figures.enabled=true", "figures.frames=[001/00/pandar64]", "train.steps=2")
    values = several_values(world) | {"output": str(tmp_path / "run")}
    files = run_pretrain(apply_overrides(values, changes, source="tiny")).figures
    folders = {file.parent.name for file in files if file.name != "loss.png"}
    assert folders == {"wide", "narrow"}
    assert all(file.is_file() for file in files)


def test_a_new_run_takes_over_the_heads_of_the_same_teachers(world, tmp_path):
    values = several_values(world) | {"init": str(world / "pretrain")}
    values["teacher"] = {"other": values["teacher"]["narrow"], "wide": values["teacher"]["wide"]}
    values["teacher"]["wide"]["layers"] = [1]
    changes = (f"output={tmp_path / 'run'}", "train.steps=1", "schedule.warmup_steps=2")
    made = load_checkpoint(pretrain(apply_overrides(values, changes, source="tiny")))
    given = load_checkpoint(world / "pretrain").weights
    for part in ("weight", "bias"):  # the first rate of a warm-up is 0
        narrow = given[f"heads.narrow.linear.{part}"]
        assert torch.equal(made.weights[f"heads.other.linear.{part}"], narrow)
    assert made.meta["init"].startswith("backbone and head other of")
    assert build_run(apply_overrides(values, (), source="tiny")).image_teachers.keys() == {
        "other",
        "wide",
    }


def test_the_page_shows_the_space_of_the_teacher_that_is_named(world, tmp_path, capsys):
    page = tmp_path / "page"
    words = ("view", world / "pretrain", "--export", page, "--max-frames", "1")
    status, _, error = run(capsys, *words, "--teacher", "narrow")
    assert status == 0, error
    named = {path.name for path in page.rglob("*")}
    status, _, error = run(capsys, *words, "--overwrite")
    assert status == 0, error
    assert "--teacher NAME shows the space of one" in " ".join(error.split())
    assert named - {path.name for path in page.rglob("*")}


def test_an_index_keeps_vectors_of_the_teacher_that_is_named(world, tmp_path, capsys):
    pytest.importorskip("lancedb")
    words = ("index", world / "pretrain", world / "set", "--output", tmp_path / "index")
    status, _, error = run(capsys, *words)
    assert (status, "--teacher NAME" in error.strip().splitlines()[-1]) == (2, True)
    status, _, error = run(capsys, *words, "--teacher", "narrow", "--json")
    assert status == 0, error
    from lidistill.fleet.table import FleetIndex  # noqa: PLC0415

    about = FleetIndex.open(str(tmp_path / "index")).about
    assert (about.teacher, about.head_channels) == ("narrow", NARROW)
