"""Every value of the papers' recipes, as they are loaded, against this folder's own table."""

from pathlib import Path

import pytest
import yaml

from lidistill.recipes import load_recipe, recipe_names

TABLE = yaml.safe_load((Path(__file__).parent / "recipes.yaml").read_text(encoding="utf-8"))
NO_METHOD = {  # where a run happens and what it leaves, not what is learned
    "kind", "name", "output", "device", "workers", "checkpoint", "samples", "seed", "votes.seed",
    "train.checkpoint_every", "train.keep_checkpoints", "train.max_bad_steps",
}  # fmt: skip
ELSEWHERE = ("data.", "evaluation.", "figures.")  # the sets have a test of their own
OFF = (None, False, 0)


def flat(values, prefix=""):
    for key, value in values.items():
        if isinstance(value, dict):
            yield from flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def found_in(name):
    """Dotted keys and values of a loaded recipe that are part of the method."""
    values = {
        key.removeprefix("data.") if key.startswith("data.sampling.") else key: value
        for key, value in flat(load_recipe(name).model_dump(mode="json"))
    }
    return {k: v for k, v in values.items() if k not in NO_METHOD and not k.startswith(ELSEWHERE)}


def expected_of(name):
    return {
        k: v
        for block in TABLE["recipes"][name]["blocks"]
        for k, v in TABLE["blocks"][block].items()
    }


def test_every_recipe_of_the_papers_is_in_the_table():
    papers = {name for name in recipe_names() if "/scalr" in name}
    one_set = {f"pretrain/{name}" for name in ("nuscenes", "semantic-kitti", "pandaset")}
    assert papers | one_set == {*TABLE["recipes"]}


@pytest.mark.parametrize("name", TABLE["recipes"])
def test_a_loaded_recipe_has_the_papers_values_and_nothing_else_is_on(name):
    expected, found = expected_of(name), found_in(name)
    assert {key: found.get(key) for key in expected} == expected
    assert {
        key: value for key, value in found.items() if key not in expected and value not in OFF
    } == {}


@pytest.mark.parametrize("name", TABLE["recipes"])
def test_a_recipe_learns_from_the_papers_sets_and_is_scored_on_val(name):
    recipe, row = load_recipe(name), TABLE["recipes"][name]
    parts = {"train": recipe.data} | (
        {"val": recipe.evaluation} if hasattr(recipe, "evaluation") else {}
    )
    for split, part in parts.items():
        assert [one.sensor for one in part.sets] == row["sets"]
        assert {one.split for one in part.sets} == {split}
        assert (part.num_frames, getattr(part, "weights", None)) == (None, None)
        for one in part.sets:
            taken = [
                getattr(one, key, None)
                for key in ("cameras", "frames", "drives", "scenes", "sequences")
            ]
            assert taken == [None] * 5
            assert one.labels == ("none" if recipe.kind == "pretrain" else "required")
            if not name.endswith(
                ("nuscenes-1", "nuscenes-10")
            ):  # which share those take is their own test's
                assert getattr(one, "every", 1) == (row.get("every", 1) if split == "train" else 1)
