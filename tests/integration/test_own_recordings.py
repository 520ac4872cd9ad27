"""What docs/datasets/own.md promises, done."""

import re
import shlex
import subprocess
import sys

import numpy as np
import pytest
import yaml
from fakes.command import run
from golden_cases import ROOT

from lidistill.cli import main
from lidistill.cli.pretrain import probe_of
from lidistill.datasets.own.dataset import FolderConfig
from lidistill.datasets.own.files import Calibration, LabelTable
from lidistill.distill.recipe import PretrainRecipe
from lidistill.recipes import load_recipe
from lidistill.segment.recipe import ProbeRecipe

PAGE = (ROOT / "docs" / "datasets" / "own.md").read_text(encoding="utf-8")
COMMANDS = re.findall(r"\$ (lidistill [^\n]+)", PAGE)


def blocks(kind):
    return re.findall(rf"```{kind}\n(.*?)```", PAGE, flags=re.S)


@pytest.fixture
def mine(tmp_path):
    subprocess.run([sys.executable, "-c", blocks("python")[0]], cwd=tmp_path, check=True)
    return tmp_path / "mine"


def test_the_files_shown_are_valid():
    shown = [yaml.safe_load(block) for block in blocks("yaml")]
    (calibration,) = [block for block in shown if "cameras" in block]
    assert Calibration.model_validate(calibration).cameras["front"].size_hw == (1080, 1920)
    (labels,) = [block for block in shown if "classes" in block]
    assert LabelTable.model_validate(labels).label_map("own").num_classes == 3


def test_the_example_writes_a_folder_that_is_read_and_counted(mine, capsys):
    frame = FolderConfig(root=mine, images="required").build()[0]
    assert len(frame.views) == 1
    main(["data", "stats", str(mine), "--output", str(mine / "statistics.yaml")])
    mean, std = FolderConfig(root=mine).build()[0].intensity_statistics
    assert mean == pytest.approx(float(frame.intensity.mean()), rel=1e-4)
    assert std == pytest.approx(float(frame.intensity.std()), rel=1e-4)
    assert "statistics" in capsys.readouterr().out


@pytest.mark.parametrize("command", COMMANDS)
def test_commands_of_the_page_exist(command, capsys):
    words = shlex.split(command)
    if words[1] == "pretrain":
        load_recipe(words[2], tuple(words[3:]), kind=PretrainRecipe)
        return
    with pytest.raises(SystemExit) as stop:
        main([*words[1:3], "--help"])
    assert stop.value.code == 0
    text = capsys.readouterr().out
    assert all(word in text for word in words if word.startswith("--"))


def test_a_bag_is_unpacked_from_the_command_line(tmp_path, capsys):
    pytest.importorskip("rosbags")
    from fakes.bag import POINTS, RAW, BagMaker  # noqa: PLC0415

    bag = BagMaker(2).write(tmp_path / "bag")
    main(["data", "unpack", str(bag), str(tmp_path / "out"), "--points", POINTS, "--images", RAW])
    assert "scans       3" in capsys.readouterr().out
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "calibration.yaml",
        "cameras",
        "scans",
    }
    with pytest.raises(SystemExit) as stop:
        main(["data", "unpack", str(bag), str(tmp_path / "two"), "--points", "/lidar"])
    assert stop.value.code == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_the_printed_commands_work_for_a_lidar_without_intensity(mine, tmp_path, capsys):
    path = mine / "calibration.yaml"
    path.write_text(path.read_text() + "intensity: none\n")
    for scan in (mine / "scans").iterdir():
        np.save(scan, np.load(scan)[:, :3])
    status, out, err = run(capsys, "data", "check", mine, "--output", tmp_path / "look")
    assert status == 0, err
    (stats,) = re.findall(r"Next: lidistill (.*)", out)
    status, out, err = run(capsys, *shlex.split(stats))
    assert status == 0, err
    assert "own has none; mean 0 and deviation 1 in the file stand for that" in out
    assert FolderConfig(root=mine).statistics() == (0.0, 1.0)
    frame = FolderConfig(root=mine).build()[0]
    assert frame.intensity is None
    assert frame.intensity_statistics is None
    (train,) = re.findall(r"and:  lidistill pretrain (.*)", run(capsys, "data", "check", mine)[1])
    recipe = load_recipe(shlex.split(train)[0], shlex.split(train)[1:])
    assert recipe.data.sets[0].is_without_intensity()


@pytest.mark.parametrize("root", ["/data/mine", "data/own", "/data/my drives/on"])
def test_the_probe_that_pretrain_prints_reads_the_data_it_learned_from(root):
    made = load_recipe("pretrain/own", (f"data.sets.0.root={root}",), kind=PretrainRecipe)
    words = shlex.split(probe_of("pretrain/own", made))
    assert words[:3] == ["lidistill", "probe", "probe/own"]
    probe = load_recipe(words[2], tuple(words[3:]), kind=ProbeRecipe)
    roots = {str(one.root) for one in (*probe.data.sets, *probe.evaluation.sets)}
    assert roots == {root}
    assert probe.checkpoint == made.output


def test_a_distillation_without_a_probe_of_its_own_is_offered_any():
    made = load_recipe("pretrain/own", kind=PretrainRecipe)
    assert probe_of("mine.yaml", made) == (
        "lidistill probe probe/RECIPE checkpoint=runs/pretrain/own"
    )


def test_an_intensity_that_never_changes_is_still_refused(mine, capsys):
    for scan in (mine / "scans").iterdir():
        np.save(scan, np.load(scan) * np.float32([1, 1, 1, 0]))
    status, _, err = run(capsys, "data", "stats", mine, "--output", mine / "statistics.yaml")
    assert status == 2
    assert "write `intensity: none` into calibration.yaml" in err
