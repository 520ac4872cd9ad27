"""What a study runs: cells by axis, seed and yardstick, equal ones once."""

from pathlib import Path
from typing import Any

import pytest
from fakes.command import run

from lidistill.errors import ConfigError
from lidistill.recipes.texts import study_names
from lidistill.studies.config import load_study
from lidistill.studies.names import STUDENT
from lidistill.studies.plan import plan_study

TEACHER = {"kind": "vit", "model": "elsewhere", "layers": [1]}


def cells_of(plan, what):
    return [cell for cell in plan.cells.values() if cell.what == what]


@pytest.fixture
def plan(values, write):
    """Plans a study with changed values."""

    def planned(*overrides, **changed):
        return plan_study(load_study(write(values | changed), overrides))

    return planned


def test_every_value_and_seed_is_a_cell_and_equal_ones_are_one(plan, values):
    values["axes"]["teacher"] = {"one": {"own": {}, "other": {"pretrain.teacher": TEACHER}}}
    found = plan()
    # widths 8 and 16 with the own teacher, width 8 with the other: each twice
    assert len(cells_of(found, "distilled")) == 6
    assert len(cells_of(found, "random")) == 4  # two networks, whatever teaches them
    assert len(cells_of(found, "teacher")) == 2  # two teachers, the first seed
    assert len(cells_of(found, "scratch")) == 2  # the base alone
    base, wide, own, other = found.variants
    assert base.cells == own.cells
    assert wide.cells["teacher"] == base.cells["teacher"]
    assert wide.cells["distilled"] != base.cells["distilled"]
    assert other.cells["random"] == base.cells["random"]
    assert [cell.seed for cell in found.cells.values()] == [0] * 8 + [1] * 6


def test_a_cell_holds_a_distillation_and_its_probes(plan):
    found = plan()
    cell = found.cells[found.variants[1].cells["distilled"][1]]
    assert list(cell.runs) == [STUDENT, "all", "late"]
    student, everything, late = cell.runs.values()
    assert (student.backbone.width, student.seed) == (16, 1)
    assert student.output == cell.folder / STUDENT
    assert everything.checkpoint == late.checkpoint == student.output
    assert everything.evaluation.sets[0].frames is None
    assert late.evaluation.sets[0].frames == "2-3"
    assert student.teacher_cache == found.study.output / "teacher"


def test_yardsticks_need_no_checkpoint(plan):
    found = plan()
    wide = found.variants[1]
    random = found.cells[wide.cells["random"][0]].runs["all"]
    assert (random.features, random.checkpoint, random.backbone.width) == ("random", None, 16)
    teacher = found.cells[wide.cells["teacher"][0]].runs["all"]
    assert (teacher.features, teacher.checkpoint, teacher.backbone.width) == ("teacher", None, 8)
    assert teacher.teacher.kind == "vit"
    scratch = found.cells[wide.cells["scratch"][0]]
    assert list(scratch.runs) == ["all"]  # only one probe names a recipe for it
    assert (scratch.runs["all"].kind, scratch.runs["all"].backbone.width) == ("finetune", 8)


def test_yardsticks_may_be_left_out(plan):
    found = plan(yardsticks={"random": "base", "teacher": "none", "scratch": "each"})
    assert len(cells_of(found, "random")) == 2
    assert len(cells_of(found, "scratch")) == 4
    assert cells_of(found, "teacher") == []


def test_a_grid_runs_every_combination(plan, values):
    values["axes"]["teacher"] = {"one": {"own": {}, "other": {"pretrain.teacher": TEACHER}}}
    found = plan(design="grid")
    assert [str(variant) for variant in found.variants] == [
        "WaffleIron 8, one own",
        "WaffleIron 8, one other",
        "WaffleIron 16, one own",
        "WaffleIron 16, one other",
    ]
    cell = found.cells[found.variants[3].cells["distilled"][0]]
    assert cell.runs[STUDENT].backbone.width == 16
    assert cell.runs[STUDENT].teacher.model == "elsewhere"


def test_what_a_run_learns_from_names_its_cell_and_nothing_else_does(plan):
    names = set(plan().cells)
    assert set(plan("changes.all.device=cpu", "name=other").cells) == names
    assert set(plan("changes.pretrain.data.workers=2").cells) == names
    assert set(plan("benchmarks.street.changes.pretrain.target.center_batches=3").cells) == names
    assert set(plan("seeds=[0]").cells) < names
    changed = plan("changes.pretrain.train.steps=7").cells
    assert {n for n in names if "distilled" not in n} == {n for n in changed if n in names}


def test_the_nearer_a_change_is_the_later_it_counts(plan, values):
    values["changes"] = {"pretrain.backbone.width": 4, "pretrain.train.steps": 5}
    values["benchmarks"]["street"]["changes"] = {"pretrain": {"train": {"steps": 9}}}
    narrow, wide = plan("changes.pretrain.train.batch_size=1").variants
    found = plan("changes.pretrain.train.batch_size=1").cells
    students = [found[v.cells["distilled"][0]].runs[STUDENT] for v in (narrow, wide)]
    assert [s.backbone.width for s in students] == [4, 16]
    assert {(s.train.steps, s.train.batch_size) for s in students} == {(9, 1)}
    assert {s.train.checkpoint_every for s in students} == {2}  # the recipe's own stays


def test_values_may_be_for_one_benchmark_and_say_other_things_there(plan, values, tmp_path):
    values["benchmarks"]["again"] = values["benchmarks"]["street"] | {
        "roots": {"pandaset": str(tmp_path / "elsewhere")}
    }
    values["axes"]["student"]["WaffleIron"]["32"] = {
        "pretrain.backbone.depth": 1,
        "only": {"again": {"pretrain.backbone.width": 32}},
    }
    found = plan()
    assert [v.benchmark for v in found.variants] == ["street"] * 2 + ["again"] * 3
    student, probe, _ = found.cells[found.variants[-1].cells["distilled"][0]].runs.values()
    assert (student.backbone.width, student.backbone.depth) == (32, 1)
    assert student.data.sets[0].root == probe.evaluation.sets[0].root == tmp_path / "elsewhere"


def test_a_mapping_of_another_kind_replaces_what_is_there(plan, values):
    teacher = {"kind": "efficientnet-lite2", "strides": [8]}
    values["axes"] = {"teacher": {"one": {"Lite2": {"pretrain.teacher": teacher}}}}
    found = plan()
    cell = found.cells[found.variants[0].cells["distilled"][0]]
    assert cell.runs[STUDENT].teacher.strides == (8,)


def test_several_teachers_are_a_value_and_each_is_probed_where_it_is_alone(plan, values):
    both = [TEACHER, {"kind": "efficientnet-lite2"}]
    values["axes"]["teacher"] = {"two": {"both": {"pretrain.teacher": both}}}
    found = plan()
    variant = found.variants[-1]
    teachers = found.cells[variant.cells["distilled"][0]].runs[STUDENT].teachers
    assert [config.kind for config in teachers.values()] == ["vit", "efficientnet-lite2"]
    assert "teacher" not in variant.cells
    assert variant.cells["random"] == found.variants[0].cells["random"]


def test_several_teachers_may_be_given_by_their_names(plan, values):
    both = {"one": TEACHER, "other": {"kind": "efficientnet-lite2"}}
    for changes in ({"pretrain.teacher": both}, {"pretrain": {"teacher": both}}):
        values["axes"]["teacher"] = {"two": {"both": changes}}
        found = plan()
        teachers = found.cells[found.variants[-1].cells["distilled"][0]].runs[STUDENT].teachers
        assert {name: one.kind for name, one in teachers.items()} == {
            "one": "vit",
            "other": "efficientnet-lite2",
        }


def test_numbers_are_names(plan, values):
    widths = {8: {}, 16: {"pretrain.backbone.width": 16}}
    values["axes"] = {2024: {"WaffleIron": widths}}
    values["benchmarks"] = {1: values["benchmarks"]["street"]}
    found = plan()
    assert [(v.benchmark, v.places[-1].value) for v in found.variants] == [("1", "8"), ("1", "16")]
    changed = plan("axes.2024.WaffleIron.8={pretrain.backbone.width: 4}").variants
    assert [v.places[-1].value for v in changed] == ["8", "16"]


WRONG = {
    "axes.student: found the name True; YAML reads yes, no": {"axes": {"student": {True: {}}}},
    "axes.student: '1' is there twice": {"axes": {"student": {1: {}, "1": {}}}},
    "unknown key 'axis'; did you mean 'axes'": {"axis": {}},
    "must begin with pretrain., probe., finetune. or all": {"changes": {"train.steps": 3}},
    "'all.seed' cannot be given: a study sets it": {"changes": {"all.seed": 3}},
    "'probe.features' cannot be given": {"changes": {"probe": {"features": "input"}}},
    "is for the benchmark 'stret'; did you mean 'street'": {
        "axes": {"student": {"one": {"a": {"only": {"stret": {}}}}}}
    },
    "seeds holds one of (0, 0) twice": {"seeds": [0, 0]},
    "the name '../x' cannot be part of a path": {
        "benchmarks": {"../x": {"pretrain": "a", "probes": {"b": {"probe": "c"}}}}
    },
    "axes.student: expected 1 or more entries; found a dict of 0": {"axes": {"student": {}}},
    "is a 'pretrain' recipe, expected a study": {"kind": "pretrain"},
    "distilled, WaffleIron 8: student: backbone.width": {
        "changes": {"probe": {}, "pretrain.backbone.width": "wide"}
    },
    "is no probe recipe": {"changes": {"probe.kind": "finetune"}},
    "seeds: expected a list; found 3": {"seeds": 3},
    "seeds.0: expected a valid integer; found True": {"seeds": [True]},
    "found 'wide', expected changes to recipes": {"axes": {"a": {"b": {"c": "wide"}}}},
    "names 5001 keys below one another": {"changes": {"pretrain." + 5000 * "a." + "b": 1}},
    "only: expected 1 or more entries": {"axes": {"a": {"b": {"c": {"only": {}}}}}},
    "the name 'a\\n' fits no table": {"axes": {"a\n": {"b": {"c": {}}}}},
    "unknown kind \"['x']\"": {"changes": {"pretrain.data.sets": [{"kind": ["x"]}]}},
    "all: data: expected keys and values; found a list of 1": {"changes": {"probe.data": [1]}},
    "holds a zero byte": {"output": "a\0b"},
    "design grid is 100,000 combinations": {
        "design": "grid",
        "axes": {f"axis {n}": {"one": {str(value): {} for value in range(10)}} for n in range(5)},
    },
    "no kind of data set 'pandaste'; did you mean 'pandaset'?": {
        "benchmarks": {
            "a": {"pretrain": "b", "probes": {"c": {"probe": "d"}}, "roots": {"pandaste": "x"}}
        }
    },
} | {
    f"the name {name!r} is the study's own": {
        "benchmarks": {"a": {"pretrain": "b", "probes": {name: {"probe": "c"}}}}
    }
    for name in ("student", "mean", "cell.json", ".lock")
}


@pytest.mark.parametrize("said", WRONG)
def test_what_does_not_fit_is_one_line(values, write, said, capsys, tmp_path):
    status, out, err = run(capsys, "study", write(values | WRONG[said]), "--list")
    assert (status, out) == (2, "")
    assert len(err.splitlines()) == 1
    assert said in err
    assert not (tmp_path / "study").exists()
    assert not err.rstrip().endswith(("?.", ".."))


def test_a_distillation_is_no_probe(values, write, capsys):
    values["benchmarks"]["street"]["pretrain"] = values["benchmarks"]["street"]["probes"]["all"][
        "probe"
    ]
    status, _, err = run(capsys, "study", write(values), "--list")
    assert (status, len(err.splitlines())) == (2, 1)
    assert "probe.yaml is no pretrain recipe" in err


def test_an_axis_may_have_no_value_on_a_benchmark_but_not_all_of_them(plan, values):
    values["benchmarks"]["again"] = values["benchmarks"]["street"]
    values["axes"]["teacher"] = {"one": {"other": {"only": {"street": {}}}}}
    found = plan(design="grid")
    assert [(v.benchmark, str(v)) for v in found.variants] == [
        ("street", "WaffleIron 8, one other"),
        ("street", "WaffleIron 16, one other"),
        ("again", "WaffleIron 8"),
        ("again", "WaffleIron 16"),
    ]
    del values["axes"]["student"]
    with pytest.raises(ConfigError, match="no value of any axis is for the benchmark 'again'"):
        plan()


def test_a_benchmark_of_other_letters_has_cells_that_a_command_can_name(plan, values):
    values["benchmarks"] = {"日本": values["benchmarks"]["street"]}
    assert all(name.startswith("benchmark-") for name in plan().cells)


def test_a_name_that_is_no_study_is_said(capsys):
    with pytest.raises(ConfigError, match="unknown study 'study/pilars'; did you mean"):
        load_study("study/pilars")
    status, _, err = run(capsys, "pretrain", study_names()[0])
    assert status == 2
    assert "is a 'study' recipe, this command runs 'pretrain'" in err


@pytest.mark.parametrize("name", study_names())
def test_every_shipped_study_has_all_its_recipes(name):
    study = load_study(name)
    plan = plan_study(study)
    assert len(study.axes) == 3
    assert {cell.seed for cell in plan.cells.values()} == set(study.seeds)
    for variant in plan.variants:
        alone = [] if " + " in str(variant) else ["teacher"]  # several teachers have no probe
        assert sorted(variant.cells) == sorted(["distilled", "random", "scratch", *alone])
    for cell in plan.cells.values():
        for recipe in cell.runs.values():
            assert not recipe.output.is_absolute()


def test_the_docs_array_holds_every_cell():
    text = (Path(__file__).parents[2] / "docs" / "studies.md").read_text(encoding="utf-8")
    count = len(plan_study(load_study("study/pillars")).cells)
    assert f"sbatch --array=0-{count - 1}%8 " in text


def test_folds_learn_from_one_end_of_the_drive_and_are_scored_on_the_other():
    plan = plan_study(load_study("study/pillars-small"))
    cell = next(c for n, c in plan.cells.items() if n.startswith("pandaset-002-distilled"))
    runs: dict[str, Any] = cell.runs
    ends = {
        name: (recipe.data.sets[0].frames, recipe.evaluation.sets[0].frames)
        for name, recipe in runs.items()
        if name != STUDENT
    }
    assert ends == {"fold-1": ("0-18", "36-54"), "fold-2": ("36-54", "0-18")}


def labels_of(plan):
    return [(variant.benchmark, str(variant)) for variant in plan.variants]


@pytest.fixture
def two(values):
    """A study of two benchmarks, with values for one of them alone."""
    values["benchmarks"]["other"] = values["benchmarks"]["street"]
    values["axes"] |= {
        "teacher": {
            "both": {"own": None},
            "one": {"there": {"only": {"other": {"pretrain.teacher": TEACHER}}}},
        }
    }
    return values


def test_a_benchmark_is_left_out_with_what_is_for_it_alone(plan, two):
    found = plan("benchmarks.other=null")
    places = ["WaffleIron 8", "WaffleIron 16", "both own"]
    assert labels_of(found) == [("street", place) for place in places]
    assert "one" not in found.study.axes["teacher"]
    every = {*plan("benchmarks.street=null").cells, *found.cells}
    assert every == {*plan().cells}  # the cells are the same ones


def test_an_axis_or_a_series_is_left_out(plan, two):
    found = plan("axes.student=null", "axes.teacher.one=null")
    assert labels_of(found) == [("street", "both own"), ("other", "both own")]
    with pytest.raises(ConfigError, match=r"leave it out: benchmarks\.street=null"):
        plan("axes.student=null", "axes.teacher.both=null")
    left = plan("axes.student=null", "axes.teacher.both=null", "benchmarks.street=null")
    assert labels_of(left) == [("other", "one there")]


@pytest.mark.parametrize(
    ("left_out", "message"),
    [
        ("benchmarks.streets=null", r"of benchmarks 'streets'; did you mean 'street'\?"),
        ("axes.teachers=null", r"of axes 'teachers'; did you mean 'teacher'\?"),
        ("axes.student.none=null", r"of axes.student 'none'; known: WaffleIron"),
        ("benchmarks=null", "benchmarks: expected keys and values; found None"),
        ("axes=null", "axes: expected keys and values; found None"),
    ],
)
def test_only_what_is_there_can_be_left_out(plan, two, left_out, message):
    with pytest.raises(ConfigError, match=message):
        plan(left_out)


def test_something_must_be_left(plan, two):
    with pytest.raises(ConfigError, match="benchmarks: expected"):
        plan("benchmarks.street=null", "benchmarks.other=null")
