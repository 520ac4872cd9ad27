"""Every recipe that is shipped loads, builds, and takes two steps on miniature data."""

from typing import Any

import pytest
from fakes.runs import NETWORK, probe_values, write_world
from fakes.shipped import small, write_data

from lidistill import datasets
from lidistill.backbones import LitePTConfig, PTv3Config, WaffleIronConfig, changed
from lidistill.distill.recipe import PretrainRecipe
from lidistill.distill.run import pretrain
from lidistill.errors import ConfigError, DatasetNotFoundError
from lidistill.recipes import (
    apply_overrides,
    complete_text,
    load_recipe,
    recipe_names,
    recipe_text,
)
from lidistill.segment.report import train_and_score
from lidistill.training.run_files import read_log


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """One miniature of every data set, and a small vision transformer."""
    return write_data(tmp_path_factory.mktemp("shipped"))


@pytest.mark.parametrize("name", recipe_names())
def test_the_first_line_of_a_recipe_says_what_it_runs(name):
    first = recipe_text(name).splitlines()[0]
    assert first.startswith("# ")
    assert len(first) < 110


@pytest.mark.parametrize("name", recipe_names())
def test_a_recipe_takes_two_steps(name, world, tmp_path):
    recipe = load_recipe(name)
    overrides = (*small(recipe, world), f"output={tmp_path / 'run'}")
    if isinstance(recipe, PretrainRecipe):
        pretrain(load_recipe(name, overrides))
    else:
        network = NETWORK if recipe.backbone is None else ()
        random = ("checkpoint=null", "features=random", *network)
        train_and_score(load_recipe(name, (*overrides, *random)))
    records = read_log(tmp_path / "run" / "log.jsonl")
    assert [record["step"] for record in records] == [1, 2]


@pytest.mark.parametrize("length", ["train.epochs=1.5", "train.steps=2"])
def test_a_run_too_short_for_its_cooldown_ends_before_it_begins(length, world, tmp_path):
    name, run = "pretrain/scalr-plus", tmp_path / "run"
    short = ("schedule.warmup_epochs=1", "schedule.cooldown_epochs=2", f"output={run}")
    both = ("train.steps=null", "train.epochs=null")
    recipe = load_recipe(name, (*small(load_recipe(name), world), *short, *both, length))
    with pytest.raises(ConfigError, match=r"no room for a warm-up of 1 steps and a cool-down of 2"):
        pretrain(recipe)
    assert not run.exists()


def test_a_root_that_is_not_there_is_said_with_the_key_to_set(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DatasetNotFoundError, match=r"data/pandaset.*data\.sets\.0\.root=FOLDER"):
        pretrain(load_recipe("pretrain/pandaset-002"))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", recipe_names())
def test_a_recipe_names_no_place_outside_the_folder_it_runs_in(name):
    recipe = load_recipe(name)
    sets = [
        one
        for key in ("data", "evaluation")
        for one in getattr(getattr(recipe, key, None), "sets", ())
    ]
    assert {getattr(one, "index_cache", "user") for one in sets} <= {"user"}
    for path in (recipe.output, recipe.teacher_cache, *(one.root for one in sets)):
        assert path is None or not (path.is_absolute() or ".." in path.parts), path


def test_a_written_recipe_loads_again(tmp_path):
    write_world(tmp_path)
    values = probe_values(tmp_path)
    recipe = apply_overrides(values, (), source="tiny")
    assert apply_overrides(recipe.model_dump(mode="json"), (), source="written") == recipe


def test_the_papers_recipes_say_what_the_papers_say():
    scalr: Any = load_recipe("pretrain/scalr")
    plus: Any = load_recipe("pretrain/scalr-plus")
    for recipe in (scalr, plus):
        assert (recipe.backbone.width, recipe.backbone.depth) == (768, 48)
        assert (recipe.optimizer.lr, recipe.optimizer.weight_decay) == (2e-3, 0.03)
        assert recipe.train.batch_size == 8
        assert [config.sensor for config in recipe.data.sets] == [
            "nuscenes",
            "semantic_kitti",
            "pandar64",
            "pandargt",
        ]
    assert (scalr.train.epochs, plus.train.epochs) == (25, 65)
    assert (scalr.train.precision, plus.train.precision) == ("fp16", "bf16")
    assert plus.data.sampling.image_size_hw == (448, 896)
    assert plus.backbone.checkpointing


def test_overriding_one_of_two_aliased_parts_leaves_the_other(tmp_path):
    write_world(tmp_path)
    values = probe_values(tmp_path)
    assert values["data"] is values["evaluation"]
    recipe: Any = apply_overrides(values, ("evaluation.sets.0.frames=2-3",), source="tiny")
    assert recipe.evaluation.sets[0].frames == "2-3"
    assert recipe.data.sets[0].frames is None
    assert "frames" not in values["data"]["sets"][0]


ROWS = {  # METHOD: lr, weight decay, layer decay, epochs, warm-up epochs, least lr
    "probe/scalr/nuscenes": (1e-3, 3e-3, None, 20, 2, 1e-5),
    "probe/scalr/semantic-kitti": (1e-3, 3e-3, None, 20, 2, 1e-5),
    "probe/scalr/pandar64": (1e-3, 3e-3, None, 50, 2, 1e-5),
    "probe/scalr/pandargt": (1e-3, 3e-3, None, 50, 2, 1e-5),
    "finetune/scalr/nuscenes-1": (2e-3, 0, 0.95, 45, 4, 0),
    "finetune/scalr/nuscenes-10": (2e-3, 0, 0.95, 45, 4, 0),
    "finetune/scalr/nuscenes": (2e-3, 0, 0.99, 25, 2, 0),
    "finetune/scalr/semantic-kitti-1": (2e-3, 0, 0.95, 45, 4, 0),
    "finetune/scalr/semantic-kitti": (2e-3, 0, 0.99, 10, 1, 0),
    "finetune/scalr/pandar64": (2e-3, 0, 0.99, 25, 2, 0),
    "finetune/scalr/pandargt": (2e-3, 0, 0.99, 25, 2, 0),
    "probe/scalr-plus/nuscenes": (1e-3, 3e-3, None, 20, 2, 0),
    "probe/scalr-plus/semantic-kitti": (1e-3, 3e-3, None, 20, 2, 0),
    "probe/scalr-plus/pandar64": (1e-3, 3e-3, None, 50, 2, 0),
    "probe/scalr-plus/pandargt": (1e-3, 3e-3, None, 50, 2, 0),
    "finetune/scalr-plus/nuscenes-1": (1e-4, 0, 0.99, 45, 4, 0),
    "finetune/scalr-plus/nuscenes-10": (1e-4, 0, 0.99, 45, 4, 0),
    "finetune/scalr-plus/nuscenes": (1e-4, 0, 0.99, 25, 2, 0),
    "finetune/scalr-plus/semantic-kitti-1": (1e-4, 0, 0.99, 45, 4, 0),
    "finetune/scalr-plus/semantic-kitti": (1e-4, 0, 0.99, 25, 2, 0),
    "finetune/scalr-plus/pandar64": (1e-4, 0, 0.99, 25, 2, 0),
    "finetune/scalr-plus/pandargt": (1e-4, 0, 0.99, 25, 2, 0),
}
HALF_WIDTH = {  # metres; what is not here has 64
    "probe/pandar64": 128,
    "probe/pandargt": 128,
    "finetune/pandar64": 128,
    "finetune/pandargt": 96,
}
SENSORS = {"nuscenes": "nuscenes", "semantic-kitti": "semantic_kitti"}


def test_recipes_of_published_sizes_give_the_network_what_its_authors_gave_it():
    nuscenes = datasets.sensors.SENSORS["nuscenes"]
    mean, std = nuscenes.intensity_mean, nuscenes.intensity_std
    for kind, config in (("litept", LitePTConfig), ("ptv3", PTv3Config)):
        scaled = config(intensity_gain=std / 255, intensity_shift=mean / 255)
        for name in (f"pretrain/{kind}", f"probe/{kind}/nuscenes", f"finetune/{kind}/nuscenes"):
            found: Any = load_recipe(name).backbone
            assert found.intensity_gain == pytest.approx(scaled.intensity_gain, rel=1e-9)
            assert found.intensity_shift == pytest.approx(scaled.intensity_shift, rel=1e-9)
            same = {"intensity_gain": 0.0, "intensity_shift": 0.0}
            assert found.model_copy(update=same) == scaled.model_copy(update=same)


def test_every_row_of_the_method_is_a_recipe():
    assert {name for name in recipe_names() if "/scalr" in name and name.count("/") == 2} == {*ROWS}


@pytest.mark.parametrize("name", ROWS)
def test_a_downstream_recipe_says_what_the_method_says(name):
    recipe: Any = load_recipe(name)
    kind, method, row = name.split("/")
    sensor, _, percent = row.rpartition("-") if row[-1].isdigit() and "-" in row else (row, "", "")
    optimizer, schedule = recipe.optimizer, recipe.schedule
    assert ROWS[name] == (
        optimizer.lr,
        optimizer.weight_decay,
        optimizer.layer_decay,
        recipe.train.epochs,
        schedule.warmup_epochs,
        schedule.min_lr,
    )
    assert recipe.kind == kind
    assert (recipe.train.batch_size, recipe.sampling.max_points) == (8, 20_000)
    assert recipe.sampling.augmentation.kind == "finetune"
    assert recipe.sampling.voxel_frame == "lidar"
    assert recipe.lovasz_weight == 1
    assert recipe.backbone.activation == ("gelu" if method == "scalr-plus" else "relu")
    (learned,), (scored,) = recipe.data.sets, recipe.evaluation.sets
    assert learned.sensor == scored.sensor == SENSORS.get(sensor, sensor)
    assert (learned.split, scored.split) == ("train", "val")
    assert getattr(learned, "every", 1) == {"1": 100, "10": 10, "": 1}[percent]
    assert getattr(scored, "every", 1) == 1
    if sensor == "nuscenes":
        assert learned.share == ("every-scene" if percent else "every-frame")
    half = HALF_WIDTH.get(f"{kind}/{sensor}", 64)
    network = changed(recipe.backbone, recipe.network)
    assert isinstance(network, WaffleIronConfig)
    grid = network.grid
    assert grid.fov_max == (half, half, 8)
    assert grid.planes == ((4 * half, 4 * half), (4 * half, 32), (4 * half, 32))
    if kind == "finetune":
        assert recipe.network["drop_path"] == 0.2


def test_a_recipe_with_a_base_is_complete_when_it_is_printed(tmp_path):
    name = "finetune/scalr-plus/nuscenes-1"
    file = tmp_path / "whole.yaml"
    file.write_text(complete_text(name))
    assert "base:" not in complete_text(name)
    assert load_recipe(str(file)) == load_recipe(name)
    assert complete_text("probe/debug") == recipe_text("probe/debug")
    file.write_text("base: pretrain/debug\nseed: 3\n")  # without a comment that says what it runs
    assert "base:" not in complete_text(str(file))


def test_nested_keys_change_what_they_name_and_nothing_beside_it(tmp_path):
    text = """
base: pretrain/debug
data:
  sets: [{kind: folder, root: mine}]
  sampling: {max_points: 777}
train: {steps: 20}
teacher: {kind: vit, model: folder}
"""
    (tmp_path / "mine.yaml").write_text(text)
    mine: Any = load_recipe(str(tmp_path / "mine.yaml"))
    base: Any = load_recipe("pretrain/debug")
    assert (mine.train.steps, mine.data.sampling.max_points) == (20, 777)
    assert [one.kind for one in mine.data.sets] == ["folder"]  # a list replaces
    assert mine.teacher.model == "folder"  # and so does another kind
    assert mine.train == base.train.model_copy(update={"steps": 20})
    same = {"max_points": base.data.sampling.max_points}
    assert mine.data.sampling.model_copy(update=same) == base.data.sampling
    assert mine.data.in_memory is True


def test_bases_that_lead_in_a_circle_are_refused(tmp_path):
    first, second = tmp_path / "first.yaml", tmp_path / "second.yaml"
    first.write_text(f"base: {second}\n")
    second.write_text(f"base: {first}\n")
    with pytest.raises(ConfigError, match="lead in a circle"):
        load_recipe(str(first))


def test_a_base_that_does_not_exist_is_named(tmp_path):
    (tmp_path / "mine.yaml").write_text("base: probe/debu\nseed: 1\n")
    with pytest.raises(ConfigError, match="did you mean 'probe/debug'"):
        load_recipe(str(tmp_path / "mine.yaml"))


def test_a_key_that_a_base_does_not_have_is_named(tmp_path):
    (tmp_path / "mine.yaml").write_text("base: probe/debug\ntrain.stepz: 1\n")
    with pytest.raises(ConfigError, match=r"train.stepz.*did you mean 'steps'"):
        load_recipe(str(tmp_path / "mine.yaml"))


def test_a_recipe_file_that_no_recipe_is_as_long_as_is_not_read(tmp_path):
    path = tmp_path / "long.yaml"
    with path.open("wb") as file:
        file.truncate(3 << 30)
    with pytest.raises(ConfigError, match="expected at most"):
        load_recipe(str(path))
