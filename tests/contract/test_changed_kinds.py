"""``kind`` on the command line: what the recipe says about the former kind is in nobody's way."""

import logging

import pytest

from lidistill.errors import ConfigError
from lidistill.recipes import load_recipe
from lidistill.teachers import PyramidTeacherConfig, VitTeacherConfig


def test_another_teacher_leaves_the_keys_of_the_former_one_out(caplog):
    with caplog.at_level(logging.INFO):
        recipe = load_recipe(
            "pretrain/own", ("teacher.kind=vit", "teacher.model=facebook/dinov2-base")
        )
    assert recipe.teacher == VitTeacherConfig(model="facebook/dinov2-base", normalize=True)
    said = "teacher is now 'vit': strides of 'efficientnet-lite2' left out"
    assert caplog.messages == [f"{said}; normalize of the recipe stays"]


@pytest.mark.parametrize("last", [True, False])
def test_what_is_given_beside_the_kind_counts_in_any_order(caplog, last):
    overrides = [
        "teacher.kind=efficientnet-lite2",
        "teacher.strides=[8]",
        "teacher.alignment=measured",
    ]
    with caplog.at_level(logging.INFO):
        recipe = load_recipe("pretrain/scalr", tuple(overrides if last else overrides[::-1]))
    wanted = PyramidTeacherConfig(strides=(8,), alignment="measured", precision="auto")
    assert recipe.teacher == wanted
    assert "model" in caplog.text


def test_a_key_given_for_the_wrong_kind_is_named():
    with pytest.raises(ConfigError, match=r"unknown key 'teacher\.strides'"):
        load_recipe("pretrain/own", ("teacher.kind=vit", "teacher.strides=[8]"))


@pytest.mark.parametrize("kind", ["vlt", "[vit]", "3", "null"])
def test_an_unknown_kind_is_one_line(kind):
    with pytest.raises(ConfigError, match="teacher") as error:
        load_recipe("pretrain/own", (f"teacher.kind={kind}",))
    assert "\n" not in str(error.value)


def test_a_data_set_of_another_kind_keeps_its_root(caplog):
    with caplog.at_level(logging.INFO):
        recipe = load_recipe(
            "pretrain/own", ("data.sets.0.root=/data/x", "data.sets.0.kind=kitti_raw")
        )
    (one,) = recipe.data.sets
    assert (one.kind, str(one.root)) == ("kitti_raw", "/data/x")
    assert "data.sets.0 is now 'kitti_raw'" in caplog.text


def test_a_mapping_that_is_replaced_or_a_kind_that_stays_says_nothing(caplog):
    with caplog.at_level(logging.INFO):
        load_recipe("pretrain/own", ("teacher={kind: vit}",))
        load_recipe("pretrain/own", ("teacher.kind=efficientnet-lite2",))
    assert caplog.messages == []
