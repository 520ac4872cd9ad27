import json

import pytest
from fakes.command import run
from fakes.pandaset import Cuboid, write_cuboids
from fakes.runs import pretrain_values, probe_values, write_world

from lidistill.distill.run import pretrain
from lidistill.recipes import apply_overrides
from lidistill.segment.report import train_and_score


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    folder = tmp_path_factory.mktemp("panoptic")
    write_world(folder)
    pretrain(apply_overrides(pretrain_values(folder), ("train.steps=2",), source="tiny"))
    train_and_score(apply_overrides(probe_values(folder), (), source="tiny"))
    for frame in range(4):  # cars lie in a slab, of which each box takes a third
        boxes = [Cuboid(label="Car", center=(14, y, 0), size=(22, 8, 1.8)) for y in (-8, 0, 8)]
        write_cuboids(folder / "set" / "001", frame, boxes)
    return folder


def test_panoptic_quality_is_printed_and_written(world, tmp_path, capsys):
    probe, out = world / "probe-backbone", f"output={tmp_path}"
    boxes = tmp_path / "boxes.yaml"
    boxes.write_text("car: [30, 25]\n")
    status, text, err = run(capsys, "evaluate", probe, out, "--panoptic", "--boxes", boxes)
    assert status == 0, err
    assert "PQ, true classes" in text
    assert "PQ dagger" in text
    record = json.loads((tmp_path / "results.json").read_text())["panoptic"]
    assert record["things"] == ["car"]
    assert record["min_points"] == 50
    true = record["true_classes"]["classes"]
    # The slab of cars is one cluster: it matches none of its thirds.
    assert true["car"]["false_negatives"] == 4 * 3
    assert true["car"]["false_positives"] == 4
    assert true["road"] == {
        "PQ": 100, "SQ": 100, "RQ": 100, "IoU": 100,
        "true_positives": 4, "false_positives": 0, "false_negatives": 0,
    }  # fmt: skip
    assert true["bus"]["PQ"] == 0
    assert record["true_classes"]["means"]["PQ"] == pytest.approx(100 * 2 / 17, abs=1e-3)
    assert record["true_classes"]["means"]["PQ dagger"] == pytest.approx(100 * 2 / 17, abs=1e-3)
    predicted = record["predicted_classes"]["classes"]["road"]
    assert 0 < predicted["IoU"] <= 100
    assert "| PQ dagger |" in (tmp_path / "results.md").read_text()


def test_a_set_without_objects_is_refused(world, tmp_path, capsys):
    kitti = "{kind: kitti_raw, root: somewhere}"
    command = ("evaluate", world / "probe-backbone", f"evaluation.sets=[{kitti}]", "--panoptic")
    status, _, err = run(capsys, *command)
    assert status == 2
    assert "does not say which object a point is of" in err
