import importlib
import re
import shlex
from pathlib import Path

import pytest
import yaml
from fakes.documented import all_commands
from fakes.runs import NETWORK
from fakes.shipped import incomplete, write_data
from golden_cases import ROOT

from lidistill import sim
from lidistill.apps.comparison_plan import Plan
from lidistill.apps.demo import run_demo
from lidistill.cli import COMMANDS, main
from lidistill.cli.arguments import bind
from lidistill.datasets import DATASETS
from lidistill.distill.recipe import PretrainRecipe
from lidistill.loading.config import SetsConfig
from lidistill.recipes import apply_overrides, load_recipe
from lidistill.segment.recipe import FinetuneRecipe, ProbeRecipe
from lidistill.sim import SimulationConfig
from lidistill.studies.config import load_study
from lidistill.studies.plan import plan_study

README = (ROOT / "README.md").read_text(encoding="utf-8")
SHOWN = sorted(set(re.findall(r"(?:`|\$ )(lidistill [^`\n]+)", README)))


def test_the_readme_shows_every_command():
    shown = {shlex.split(command)[1] for command in SHOWN}
    assert shown == {name.split()[0] for name in COMMANDS}


@pytest.mark.parametrize("command", SHOWN)
def test_commands_of_the_readme_exist_and_explain_themselves(command, capsys):
    with pytest.raises(SystemExit) as stop:
        main([shlex.split(command)[1], "--help"])
    assert stop.value.code == 0
    assert "lidistill" in capsys.readouterr().out


DOCUMENTED = all_commands()
TRAINING = [words for words in DOCUMENTED if words[0] in {"pretrain", "probe", "finetune"}]
LEARNERS = {"pretrain": PretrainRecipe, "probe": ProbeRecipe, "finetune": FinetuneRecipe}


def command_of(words):
    """The command that words begin with, and its arguments; several names may be one mention."""
    name = next(n for n in (" ".join(words[:2]), words[0]) if n in COMMANDS)
    return name, list(words[len(name.split()) :])


@pytest.mark.parametrize("words", DOCUMENTED, ids=" ".join)
def test_a_documented_command_has_the_arguments_that_are_shown(words):
    name, arguments = command_of(words)
    module = importlib.import_module(f"lidistill.cli.{COMMANDS[name].module}")
    if arguments:  # a name alone is a mention
        bind(getattr(module, name.rsplit(maxsplit=1)[-1].replace("-", "_")), name, arguments)


@pytest.mark.parametrize("words", DOCUMENTED, ids=" ".join)
def test_recipes_and_keys_of_a_documented_command_exist(words, monkeypatch):
    name, arguments = command_of(words)
    changes = tuple(word for word in arguments if "=" in word)
    if name in LEARNERS:
        assert load_recipe(arguments[0], changes).kind == name
    elif name == "compare":
        at = arguments.index("--recipes") + 1 if "--recipes" in arguments else None
        recipes = (
            arguments[at : at + 3] if at else ["pretrain/debug", "probe/debug", "finetune/debug"]
        )
        for kind, recipe in zip(LEARNERS, recipes, strict=True):
            load_recipe(recipe, tuple(Plan(output=Path(), changes=changes).changes_of(kind)))
    elif name == "study":
        for shown in arguments[:1]:  # a name in capitals stands for any
            plan_study(load_study("study/pillars-small" if shown.isupper() else shown, changes))
    elif name in {"evaluate", "submission", "gap", "robustness"}:
        of_a_run = tuple(re.sub(r"^\d+\.", "", change) for change in changes)
        load_recipe("finetune/scalr-plus/nuscenes", of_a_run)
    elif name == "corrupt":
        parts = dict(change.split("=", 1) for change in changes)
        DATASETS[Path(arguments[0]).name](root=Path(arguments[0]), **parts)
    elif name == "simulate" and changes:
        made = []
        monkeypatch.setattr(sim, "simulate", lambda *given, **_: made.append(given))
        main(list(words))
        ((root, config),) = made
        assert str(root) == arguments[0]
        for change in changes:
            key, _, text = change.partition("=")
            value, said = getattr(config, key), yaml.safe_load(text)
            assert (list(value) if isinstance(value, tuple) else value) == said
    else:
        given = [word for word in arguments if word.partition("/")[0] in LEARNERS]
        assert all(load_recipe(recipe).name for recipe in given)
        assert not changes


SHOWN_AS = {"mine/monday": "own", "mine": "own", "other": "own", "kitti": "semantic_kitti"}
"""Folders of the pages that have another name here."""


@pytest.fixture(scope="module")
def places(tmp_path_factory):
    """A folder that holds ``data`` and a teacher."""
    return write_data(tmp_path_factory.mktemp("shipped"))


def placed(word, places):
    """An override whose root under ``/data`` is that of a miniature."""
    root = rf"{places / 'data'}/"
    return re.sub(
        r"(?<=root[=:])( ?)/data/([\w/]+)", lambda m: m[1] + root + SHOWN_AS.get(m[2], m[2]), word
    )


@pytest.mark.parametrize("words", TRAINING, ids=" ".join)
def test_the_data_of_a_documented_training_are_where_it_says(words, places, tmp_path, monkeypatch):
    """Where a command gives a root, it gives all: nothing else of the recipe's is at hand."""
    given = tuple(placed(word, places) for word in words[2:])
    monkeypatch.chdir(places if given == words[2:] else tmp_path)
    recipe = load_recipe(words[1], (*given, *incomplete(load_recipe(words[1], given))))
    assert len(recipe.data.build()) > 0
    if not isinstance(recipe, PretrainRecipe):
        assert len(recipe.evaluation.build()) > 0


def test_the_way_with_own_recordings_runs_as_the_comments_of_its_recipes_say(
    places, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    root, few = f"data.sets.0.root={places / 'data' / 'own'}", ("device=cpu", "train.steps=2")
    scored = ("workers=0", root, f"evaluation.{root.removeprefix('data.')}", *few)
    vit = f"teacher={{kind: vit, model: {places / 'vit'}}}"
    small_teacher = ("data.sampling.image_size_hw=[28,56]", "teacher_cache=null", "data.workers=0")
    main(["pretrain", "pretrain/own", root, *few, *NETWORK, vit, *small_teacher])
    main(["probe", "probe/own", *(one for one in scored if not one.startswith("workers"))])
    main(["finetune", "finetune/own", *scored])
    on = ("checkpoint=runs/probe/own", "head=checkpoint", "optimizer.lr=2e-4", "output=runs/on")
    main(["finetune", "finetune/own", *on, *scored])
    for run in ("pretrain/own", "probe/own", "finetune/own", "on"):
        assert (tmp_path / "runs" / run / "log.jsonl").read_text().count("\n") == 2
    assert "mIoU" in capsys.readouterr().out


def test_no_page_has_a_gap_left_to_fill():
    for page in [ROOT / "README.md", *ROOT.glob("docs/**/*.md")]:
        assert not re.findall(r"^[A-Z]{5,}$", page.read_text(encoding="utf-8"), flags=re.M), page


@pytest.mark.parametrize("page", sorted((ROOT / "docs" / "datasets").glob("*.md")), ids=str)
def test_data_parts_shown_in_the_docs_are_valid(page):
    blocks = re.findall(r"```yaml\n(.*?)```", page.read_text(encoding="utf-8"), flags=re.S)
    shown = [yaml.safe_load(block) for block in blocks]
    for part in [block for block in shown if isinstance(block, dict) and "data" in block]:
        SetsConfig.model_validate({"sets": part["data"]["sets"]})
    assert any("data" in block for block in shown)


def anchors(page):
    """The names by which GitHub links to a page's headings."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), flags=re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_files_and_headings_that_the_readme_and_the_docs_link_to_exist():
    for page in [ROOT / "README.md", *ROOT.glob("docs/**/*.md"), ROOT / "CONTRIBUTING.md"]:
        for target in re.findall(r"\]\((?!http)([^)]+)\)", page.read_text(encoding="utf-8")):
            name, _, anchor = target.partition("#")
            file = page.parent / name if name else page
            assert file.exists(), f"{page.name} links to {target}"
            if anchor:
                assert anchor in anchors(file), f"{page.name} links to {target}"


def drives_of(folder, run, part):
    """Names of the drives that a run of the demo has learned from, or was scored on."""
    values = yaml.safe_load((folder / run / "recipe.yaml").read_text())
    dataset = getattr(apply_overrides(values, (), source=run), part).build()
    assert len(dataset) > 0
    return {frame_id.split("/")[0] for frame_id in dataset.frame_ids}


@pytest.mark.slow
def test_the_demo_runs_and_a_second_call_continues(tmp_path):
    simulation = SimulationConfig(
        frames=2, train_drives=1, val_drives=1, image_size_hw=(68, 120), column_step=10
    )
    overrides = {
        "pretrain/debug": ("train.steps=4", "backbone.width=8", "backbone.depth=3"),
        "probe/debug": ("train.steps=5",),
        "finetune/debug": ("train.steps=3",),
    }
    first = run_demo(tmp_path, workers=2, simulation=simulation, overrides=overrides)
    assert [r.name for r in first.results] == ["random", "teacher", "from scratch", "distilled"]
    assert all(figure.is_file() for figure in first.figures)
    assert len(first.showpieces) == 3
    assert set(first.showpieces.values()) <= set(first.figures)
    caches = {path.parents[2] for path in tmp_path.glob("*/*/??/*.safetensors")}
    assert caches == {tmp_path / "teacher-features"}  # not in the folder of a run
    assert not drives_of(tmp_path, "pretrain", "data") & drives_of(tmp_path, "random", "evaluation")
    recipe = yaml.safe_load((tmp_path / "pretrain" / "recipe.yaml").read_text())
    assert recipe["train"]["steps"] == 4
    again = run_demo(tmp_path, workers=1, simulation=simulation, overrides=overrides)
    for one, other in zip(first.results, again.results, strict=True):
        assert one.evaluation.confusion.tolist() == other.evaluation.confusion.tolist()
