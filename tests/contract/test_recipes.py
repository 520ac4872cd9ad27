"""Every recipe that is shipped loads, builds, and takes two steps on miniature data."""

import pytest
from fakes.nuscenes import FakeNuScenes
from fakes.runs import GRID, probe_values, write_street, write_world
from fakes.semantic_kitti import write_sequence
from fakes.teachers import write_vit

from lidistill.engine.tracking import read_log
from lidistill.recipes import apply_overrides, load_recipe, recipe_names, recipe_text
from lidistill.tasks.distill import PretrainRecipe, pretrain
from lidistill.tasks.report import run_probe

SMALL = (
    "device=cpu",
    f"backbone.grid={GRID}",
    "backbone.width=8",
    "backbone.depth=3",
    "train.epochs=null",
    "train.steps=2",
)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """One miniature of every data set, and a small vision transformer."""
    folder = tmp_path_factory.mktemp("data")
    nuscenes = FakeNuScenes(folder / "nuscenes", version="v1.0-trainval")
    nuscenes.add_scene("scene-0001")
    nuscenes.write_tables()
    write_sequence(folder / "semantic_kitti", 0)
    write_street(folder / "pandaset", name="002", frames=(0, 2, 44))
    write_vit(folder / "vit")
    return folder


def sets(recipe, key, data):
    """Overrides that put the miniatures in the place of the real sets."""
    part = getattr(recipe, key)
    for number, config in enumerate(part.sets):
        yield f"{key}.sets.{number}.root={data / config.kind}"
        if config.kind == "pandaset":
            yield f"{key}.sets.{number}.split=all"
            yield f"{key}.sets.{number}.drives=null"
            yield f"{key}.sets.{number}.frames=null"
        if config.kind == "nuscenes":
            yield f"{key}.sets.{number}.index_cache=null"
        if config.kind != "pandaset":
            yield f"{key}.sets.{number}.missing=skip"


@pytest.mark.parametrize("name", recipe_names())
def test_the_first_line_of_a_recipe_says_what_it_runs(name):
    first = recipe_text(name).splitlines()[0]
    assert first.startswith("# ")
    assert len(first) < 110


@pytest.mark.parametrize("name", recipe_names())
def test_a_recipe_takes_two_steps(name, data, tmp_path):
    recipe = load_recipe(name)
    overrides = [*SMALL, f"output={tmp_path / 'run'}", *sets(recipe, "data", data)]
    if isinstance(recipe, PretrainRecipe):
        overrides += ["data.workers=0", "teacher_cache=null", "data.sampling.image_size_hw=[28,56]"]
        if recipe.teacher.kind == "vit":
            overrides += [f"teacher.model={data / 'vit'}", "teacher.layers=[-1]"]
        else:
            overrides.append("data.sampling.image_size_hw=[32,64]")
        pretrain(load_recipe(name, tuple(overrides)))
    else:
        overrides += ["checkpoint=null", "features=random", *sets(recipe, "evaluation", data)]
        run_probe(load_recipe(name, tuple(overrides)))
    records = read_log(tmp_path / "run" / "log.jsonl")
    assert [record["step"] for record in records] == [1, 2]


def test_a_written_recipe_loads_again(tmp_path):
    write_world(tmp_path)
    values = probe_values(tmp_path)
    recipe = apply_overrides(values, (), source="tiny")
    assert apply_overrides(recipe.model_dump(mode="json"), (), source="written") == recipe


def test_the_papers_recipes_say_what_the_papers_say():
    scalr, plus = load_recipe("pretrain/scalr"), load_recipe("pretrain/scalr-plus")
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
    recipe = apply_overrides(values, ("evaluation.sets.0.frames=2-3",), source="tiny")
    assert recipe.evaluation.sets[0].frames == "2-3"
    assert recipe.data.sets[0].frames is None
    assert "frames" not in values["data"]["sets"][0]
