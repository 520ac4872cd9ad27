import array
import runpy
import sys

import numpy as np
import pytest
from fakes.bag import BagMaker
from fakes.rclpy_stub import modules
from fakes.runs import pretrain_values, probe_values, write_world
from fakes.scan_writers import WRITERS, cloud
from golden_cases import ROOT

from lidistill.apps.load_features import load
from lidistill.distill.run import pretrain
from lidistill.recipes import apply_overrides
from lidistill.segment.report import train_and_score


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


def node_at_work(monkeypatch, run, scans):
    stubs, node = modules(scans)
    for name, module in stubs.items():
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.setattr(sys, "argv", ["ros2_node.py", str(run)])
    runpy.run_path(str(ROOT / "examples" / "ros2_node.py"))["main"]()
    return node


def test_the_ros_node_answers_every_scan_with_classes(world, monkeypatch):
    run = world / "probe-backbone"
    train_and_score(apply_overrides(probe_values(world), ("train.steps=1",), source="tiny"))
    table = cloud(40)
    table["z"] /= 5
    scan = BagMaker(2).points(1_700_000_000_000_000_123, table)
    object.__setattr__(scan, "data", array.array("B", scan.data.tobytes()))  # as rclpy has it
    broken = BagMaker(2).points(1_700_000_000_000_000_456, table)
    object.__setattr__(broken, "data", array.array("B", b"123"))
    node = node_at_work(monkeypatch, run, [scan, broken, scan])
    model = load(run, "cpu")
    assert node.parameters["classes"] == list(model.class_names)
    quality = node.topics["points"][1]
    assert (quality.depth, quality.reliability) == (1, "best effort")  # no queue; any driver
    assert node.destroyed
    assert len(node.warnings) == 1
    assert "left out a scan" in node.warnings[0]
    (topic, answer), _ = node.published
    assert topic == "labelled"
    assert answer.header is scan.header
    assert (answer.height, answer.width, answer.row_step) == (2, 20, 20 * answer.point_step)
    layout = {
        "names": [field.name for field in answer.fields],
        "formats": [{7: "<f4", 2: "u1"}[field.datatype] for field in answer.fields],
        "offsets": [field.offset for field in answer.fields],
        "itemsize": answer.point_step,
    }
    points = np.frombuffer(answer.data, np.dtype(layout))
    xyz = np.stack([table[axis] for axis in "xyz"], axis=1)
    np.testing.assert_array_equal(points["class"], model.predict(xyz, table["intensity"]))
    np.testing.assert_array_equal(points["x"], table["x"])


def test_the_ros_node_without_ros_says_where_it_comes_from(world, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["ros2_node.py", str(world)])
    monkeypatch.setitem(sys.modules, "rclpy", None)
    with pytest.raises(SystemExit, match="comes with ROS 2"):
        runpy.run_path(str(ROOT / "examples" / "ros2_node.py"))["main"]()
