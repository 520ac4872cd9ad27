"""What docs/datasets/own.md promises, done."""

import re
import shlex
import subprocess
import sys

import pytest
import yaml
from golden_cases import ROOT

from lidistill.cli import main
from lidistill.data.folder import FolderConfig
from lidistill.data.folder_files import Calibration, LabelTable
from lidistill.recipes import load_recipe
from lidistill.tasks.distill import PretrainRecipe

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
    frame = FolderConfig(root=mine, pictures="required").build()[0]
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
