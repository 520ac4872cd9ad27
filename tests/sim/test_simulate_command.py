import json
import re

import pytest

from lidistill.cli import main
from lidistill.datasets.pandaset.dataset import PandaSetConfig


def test_the_command_writes_what_its_settings_say(tmp_path, capsys):
    root = tmp_path / "street"
    settings = ["train_drives=0", "frames=1", "column_step=40", "image_size_hw=[27,48]"]
    main(["simulate", str(root), *settings, "--workers", "1", "--json"])
    record = json.loads(capsys.readouterr().out)
    assert record["frames"] == 1
    assert record["settings"]["column_step"] == 40
    assert len(PandaSetConfig(root=root, split="val").build()) == 1


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("format_=nuscenes", "did you mean 'format'"),
        ("format=waymo", "'pandaset', 'nuscenes' or 'semantic_kitti'; found 'waymo'"),
        ("frames=0", "frames: .* found 0"),
        ("frames", "expected key=value"),
        ("seed=[1", "is not YAML"),
        ("val_districts=[dountown]", "did you mean 'downtown'"),
    ],
)
def test_a_wrong_setting_ends_in_one_line(tmp_path, capsys, setting, message):
    with pytest.raises(SystemExit):
        main(["simulate", str(tmp_path / "new"), setting])
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert re.search(message, error)
    assert not (tmp_path / "new").exists()
