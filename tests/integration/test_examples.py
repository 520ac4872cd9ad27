import runpy

import numpy as np
import pytest
from fakes.runs import pretrain_values, write_world
from fakes.scan_writers import WRITERS, cloud
from golden_cases import ROOT

from lidistill.distill.run import pretrain
from lidistill.recipes import apply_overrides


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    folder = tmp_path_factory.mktemp("examples")
    write_world(folder)
    pretrain(apply_overrides(pretrain_values(folder), ("train.steps=1",), source="tiny"))
    return folder


def test_features_of_a_scan_has_a_row_for_every_point(world, capsys):
    scan = cloud(50)
    (world / "scan.bin").write_bytes(WRITERS[".bin"](scan))
    example = runpy.run_path(str(ROOT / "examples" / "features_of_a_scan.py"))
    example["main"](str(world / "pretrain"), str(world / "scan.bin"), str(world / "features.npy"))
    features = np.load(world / "features.npy")
    assert features.shape == (50, 8)
    outside = np.abs(scan["z"]) > 8
    np.testing.assert_array_equal(np.isnan(features[:, 0]), outside)
    assert f"50 points ({outside.sum()} out of sight), 8 channels" in capsys.readouterr().out
