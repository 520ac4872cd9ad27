"""Recipes, checkpoints and runs from when a WaffleIron was the only network mean what they did."""

import pytest
from fakes.runs import GRID, finetune_values, pretrain_values, probe_values

from lidistill.backbones import WaffleIronConfig, changed, network_changes
from lidistill.errors import ConfigError
from lidistill.recipes import apply_overrides, load_recipe
from lidistill.training.resume import changed_keys

WIDE = {"fov_min": [-96, -96, -8], "fov_max": [96, 96, 8], "planes": [[8, 8], [8, 4], [8, 4]]}


def recipe(values, *overrides):
    return apply_overrides(values, overrides, source="former")


def warnings(caplog):
    return [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]


def test_a_distillation_takes_its_former_number_of_neighbours(tmp_path):
    values = pretrain_values(tmp_path)
    values["data"]["sampling"]["num_neighbors"] = 8
    before = values["data"]["sampling"].copy()
    assert recipe(values).backbone.num_neighbors == 8
    assert recipe(values).backbone.inputs().num_neighbors == 8
    assert values["data"]["sampling"] == before  # what is loaded is left alone
    assert recipe(values, "data.sampling.num_neighbors=4").backbone.num_neighbors == 4


@pytest.mark.parametrize("make", [probe_values, finetune_values])
def test_training_on_labels_takes_its_former_grid_and_neighbours(make, tmp_path):
    values = make(tmp_path) | {"grid": WIDE}
    values["sampling"]["num_neighbors"] = 8
    network = recipe(values).network
    assert network["num_neighbors"] == 8
    assert network["grid"]["fov_max"] == [96, 96, 8]
    assert network["grid"]["axes"] == [2, 1, 0]  # as before, the grid is one thing
    config = changed(WaffleIronConfig(grid=GRID), network)
    assert config.inputs().field_of_view.high == (96, 96, 8)
    assert config.inputs().num_neighbors == 8


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ({}, 0.2),
        ({"drop_path": 0.3}, 0.3),
        ({"drop_path": None}, None),
        ({"network": {"drop_path": 0.3}}, 0.3),
        ({"network": {"grid": WIDE}}, 0.2),
        ({"network": {"drop_path": None}}, None),
    ],
)
def test_fine_tuning_has_the_papers_stochastic_depth_unless_it_says_otherwise(
    said, expected, tmp_path
):
    values = finetune_values(tmp_path)
    del values["network"]
    found = recipe(values | said)
    assert found.network["drop_path"] == expected
    again = recipe(found.model_dump(mode="json"))
    assert again == found
    kept = changed(WaffleIronConfig(drop_path=0.05), found.network).drop_path
    assert kept == (0.05 if expected is None else expected)


def test_a_shipped_recipe_takes_a_former_key_on_the_command_line_with_one_warning(caplog):
    name = "finetune/scalr/pandar64"
    found = load_recipe(name, ("grid.fov_max=[96, 96, 8]", "sampling.num_neighbors=8"))
    assert found.network["grid"]["fov_max"] == [96, 96, 8]
    assert found.network["grid"]["planes"][0] == [512, 512]  # the recipe's own, as before
    assert found.network["num_neighbors"] == 8
    (said,) = warnings(caplog)
    assert "grid is now network.grid" in said
    assert "sampling.num_neighbors is now network.num_neighbors" in said
    caplog.clear()
    load_recipe(name)
    assert warnings(caplog) == []


def test_what_was_called_pictures_is_images_of_the_data_and_figures_of_the_run(tmp_path, caplog):
    values = pretrain_values(tmp_path)
    values["data"]["sets"][0]["pictures"] = "any"
    values["pictures"] = {"enabled": False}
    found = recipe(values)
    assert found.data.sets[0].images == "any"
    assert not found.figures.enabled
    name = "probe/scalr/nuscenes"
    sets = [f"{part}.sets.0.pictures=optional" for part in ("data", "evaluation")]
    probe = load_recipe(name, tuple(sets))
    assert [probe.data.sets[0].images, probe.evaluation.sets[0].images] == ["optional"] * 2
    (said,) = warnings(caplog)
    assert "data.sets.*.pictures is now data.sets.*.images" in said
    assert "evaluation.sets.*.pictures is now" in said


@pytest.mark.parametrize("number", [5, 4])
def test_a_counted_input_is_the_published_one(number):
    if number == 5:
        assert WaffleIronConfig.model_validate({"in_channels": 5}).channels == (
            "intensity",
            "x",
            "y",
            "z",
            "radius",
        )
    else:
        with pytest.raises(ValueError, match="name the channels"):
            WaffleIronConfig.model_validate({"in_channels": number})


def stored_by_an_older_version(values):
    """The recipe in a checkpoint of that time: complete, under the former keys."""
    stored = recipe(values).model_dump(mode="json")
    if values["kind"] == "pretrain":
        del stored["backbone"]["channels"]
        stored["backbone"]["in_channels"] = 5
        stored["data"]["sampling"]["num_neighbors"] = stored["backbone"].pop("num_neighbors")
        return stored
    network = stored.pop("network")
    stored["sampling"]["num_neighbors"] = 16
    stored["grid"] = network.get("grid")
    if values["kind"] == "finetune":
        stored["drop_path"] = network["drop_path"]
    return stored


@pytest.mark.parametrize("make", [pretrain_values, probe_values, finetune_values])
@pytest.mark.parametrize("grid", [None, WIDE], ids=["own", "wide"])
def test_a_run_of_an_older_version_goes_on_with_the_same_recipe(make, grid, tmp_path):
    values = make(tmp_path)
    if grid is not None and make is not pretrain_values:
        values = values | {"network": {"grid": grid}}
    stored = stored_by_an_older_version(values)
    assert changed_keys(recipe(values), stored) == []
    assert recipe(stored) is not None


def test_a_run_of_an_older_version_with_other_neighbours_is_another_run(tmp_path):
    stored = stored_by_an_older_version(probe_values(tmp_path))
    stored["sampling"]["num_neighbors"] = 8
    found = changed_keys(recipe(probe_values(tmp_path)), stored)
    assert found == ["network.num_neighbors"]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ("network.grdi={}", "unknown key 'network.grdi'; did you mean 'grid'"),
        ("network.grid.planes=[]", "network.grid"),
        ("network.drop_path=2", "network.drop_path: .*less than 1; found 2"),
        ("network=3", "network: expected keys and values; found 3"),
    ],
)
def test_changes_to_the_network_are_checked_when_the_recipe_is_read(change, reason, tmp_path):
    with pytest.raises(ConfigError, match=reason):
        recipe(finetune_values(tmp_path), change)


def test_changes_are_completed_below_the_keys_that_they_name():
    found = network_changes({"grid": {"fov_min": [-8, -8, -8]}, "drop_path": None}, None)
    assert found == {
        "grid": WaffleIronConfig(grid={"fov_min": [-8, -8, -8]}).grid.model_dump(mode="json"),
        "drop_path": None,
    }
