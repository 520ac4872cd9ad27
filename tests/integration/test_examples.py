import runpy

import numpy as np
import pytest
from fakes.runs import pretrain_values, write_world
from golden_cases import ROOT

from lidistill.recipes import apply_overrides
from lidistill.tasks.distill import pretrain


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    folder = tmp_path_factory.mktemp("examples")
    write_world(folder)
    pretrain(apply_overrides(pretrain_values(folder), ("train.steps=1",), source="tiny"))
    return folder


def test_features_of_a_scan_has_a_row_for_every_point(world, capsys):
    example = runpy.run_path(str(ROOT / "examples" / "features_of_a_scan.py"))
    example["main"](str(world / "pretrain"), str(world / "features.npy"))
    assert np.load(world / "features.npy").shape == (900, 8)
    assert "900 points, 8 channels" in capsys.readouterr().out
