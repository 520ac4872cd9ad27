import re
import shlex

import pytest
import yaml
from golden_cases import ROOT

from lidistill.cli import COMMANDS, main
from lidistill.demo import run_demo
from lidistill.recipes import apply_overrides, load_recipe
from lidistill.sim import SimulationConfig
from lidistill.tasks.data_config import SetsConfig

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


@pytest.mark.parametrize("command", SHOWN)
def test_recipes_and_keys_of_the_readme_exist(command):
    words = shlex.split(command)
    overrides = tuple(word for word in words if "=" in word)
    if words[1] in {"pretrain", "probe", "finetune"}:
        assert load_recipe(words[2], overrides).kind == words[1]


def test_the_readme_has_one_test_command_that_ci_finds():
    assert re.findall(r"^\$ (pytest.*)$", README, flags=re.M) == ["pytest"]
    assert "README.md" in (ROOT / ".ci" / "run").read_text(encoding="utf-8")


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
    first = run_demo(tmp_path, workers=1, simulation=simulation, overrides=overrides)
    assert [r.name for r in first.results] == ["random", "teacher", "from scratch", "distilled"]
    assert all(picture.is_file() for picture in first.pictures)
    assert len(first.showpieces) == 3
    assert set(first.showpieces.values()) <= set(first.pictures)
    caches = {path.parents[2] for path in tmp_path.glob("*/*/??/*.safetensors")}
    assert caches == {tmp_path / "teacher-features"}  # not in the folder of a run
    assert not drives_of(tmp_path, "pretrain", "data") & drives_of(tmp_path, "random", "evaluation")
    recipe = yaml.safe_load((tmp_path / "pretrain" / "recipe.yaml").read_text())
    assert recipe["train"]["steps"] == 4
    again = run_demo(tmp_path, workers=1, simulation=simulation, overrides=overrides)
    for one, other in zip(first.results, again.results, strict=True):
        assert one.evaluation.confusion.tolist() == other.evaluation.confusion.tolist()
