"""Instances and panoptic quality against the authors' programs; any folder of this form."""

import hashlib
import json
import re

import numpy as np
import pytest
from golden_cases import DATA, golden_files, needs_data

from lidistill.datasets.pandaset.tables import _numbers
from lidistill.instances.boxes import shipped_boxes
from lidistill.instances.find import Rule, find_instances
from lidistill.instances.panoptic_quality import (
    PanopticCounts,
    Segments,
    count_segments,
    panoptic_scores,
)
from lidistill.labels import IGNORE, load_label_map

KITTI = DATA / "semantic_kitti" / "dataset" / "sequences"


def rules(record, variant):
    boxes = record["boxes"] if "boxes" in record else record[f"boxes_{variant['boxes']}"]
    margin = variant["margin"] if variant["split"] else None
    return {
        number: Rule(
            long=max(boxes[str(number)]),
            short=min(boxes[str(number)]),
            neighbors=variant["k"],
            margin=margin,
        )
        for number in map(int, record["things"])
    }


def check(record, expected, name, points, classes):
    """The same points in one object, and objects counted in the same order."""
    variant = record["variants"][name]
    found = find_instances(points, classes, rules(record, variant))
    reference = expected[name].astype(np.int64)
    assert found.max() == variant["instances"], name
    pairs = np.unique(np.stack([found, reference]), axis=1)
    assert pairs.shape[1] == len(np.unique(reference)) == len(np.unique(found)), name
    assert np.array_equal(found == 0, reference == 0)
    count = {
        str(c): len(np.unique(found[(classes == c) & (found > 0)])) for c in np.unique(classes)
    }
    assert {key: n for key, n in count.items() if n} == variant["per_class"], name


@pytest.mark.parametrize("file", golden_files("alpine/toy*.json"))
def test_toy_clusters_equal_the_authors(file):
    record, arrays = json.loads(file.read_text()), np.load(file.with_suffix(".npz"))
    for name in record["variants"]:
        scan = name.partition(".")[0]
        check(record, arrays, name, arrays[f"{scan}.points"], arrays[f"{scan}.semantic"])


def kitti_scan(about):
    """Points and whole labels of a scan, which must be the very files that the vectors are of."""
    points, labels = KITTI / about["points"], KITTI / about["labels"]
    for path, key in ((points, "sha256_points"), (labels, "sha256_labels")):
        assert hashlib.sha256(path.read_bytes()).hexdigest() == about[key]
    return np.fromfile(points, "<f4").reshape(-1, 4), np.fromfile(labels, "<u4")


def mapped(raw, class_map):
    table = np.zeros(1 << 16, np.uint8)
    for number, to in class_map.items():
        table[int(number)] = to
    return table[raw & 0xFFFF]


@needs_data
@pytest.mark.parametrize("file", golden_files("alpine/kitti*.json"))
def test_semantic_kitti_clusters_equal_the_authors(file):
    record, arrays = json.loads(file.read_text()), np.load(file.with_suffix(".npz"))
    scans = {name: kitti_scan(about) for name, about in record["files"].items()}
    for name in record["variants"]:
        points, raw = scans[name.partition(".")[0]]
        check(record, arrays, name, points[:, :3], mapped(raw, record["class_map"]))


@pytest.mark.parametrize("file", golden_files("alpine/kitti*.json"))
def test_the_shipped_boxes_are_the_authors(file):
    record = json.loads(file.read_text())
    names = load_label_map("semantic_kitti").class_names
    for table, key in (("auto", "web"), ("semantic_kitti-dataset", "dataset")):
        config = shipped_boxes(table, names).changed(neighbors="as-released")
        boxes = config.by_id(names)
        if f"boxes_{key}" not in record:
            continue
        reference = record[f"boxes_{key}"]
        assert boxes == {int(c) - 1: tuple(box) for c, box in reference.items()}
        for name, variant in record["variants"].items():
            if variant["boxes"] == key and "released" in name:
                assert variant["k"] == config.num_neighbors(boxes)


@needs_data
@pytest.mark.parametrize("file", golden_files("alpine/pandaset*.json"))
def test_pandaset_clusters_equal_the_authors(file):
    record, arrays = json.loads(file.read_text()), np.load(file.with_suffix(".npz"))
    drive, frame = re.search(r"pandaset (\d+) frame (\d+)", record["frame"]).groups()
    folder = DATA / "pandaset" / drive
    (x, y), _ = _numbers(folder / "lidar" / f"{frame}.pkl.gz", ("x", "y"))
    (classes,), _ = _numbers(folder / "annotations" / "semseg" / f"{frame}.pkl.gz", ("class",))
    for name in record["variants"]:
        check(record, arrays, name, np.stack([x, y], axis=1), classes)


def as_training_ids(classes):
    """Class 0 is ignored in the vectors, the others count from 0 here."""
    return np.where(classes == 0, IGNORE, classes.astype(np.int64) - 1)


def compare(counts, expected):
    """All numbers of a result; the vectors' class 0 is the ignored one."""
    found = panoptic_scores(counts)
    columns = {
        "PQ": found.quality, "SQ": found.segmentation, "RQ": found.recognition, "IoU": found.iou,
        "tp": counts.matched, "fp": counts.invented, "fn": counts.missed, "iou_sum": counts.iou_sum,
    }  # fmt: skip
    for key, column in columns.items():
        if "per_class" in expected:
            reference = [expected["per_class"][str(i + 1)][key] for i in range(len(column))]
        elif key in {"tp", "fp", "fn"}:
            reference = expected[key][1:]
        elif f"{key}_c" in expected:
            reference = expected[f"{key}_c"][1:]
        else:
            continue
        np.testing.assert_allclose(column, reference, rtol=1e-12, err_msg=key)
    means = {"PQ": found.quality, "SQ": found.segmentation, "RQ": found.recognition}
    for key, values in {**means, "mIoU": found.iou}.items():
        if key in expected:
            assert values.mean() == pytest.approx(expected[key], rel=1e-12)


def min_points(name, result):
    said = re.search(r"min_points (\d+)", name)
    return int(said[1]) if said else result.get("min_points", 50)


@needs_data
@pytest.mark.parametrize("file", golden_files("alpine/panoptic*.json"))
def test_panoptic_quality_equals_the_official_script(file):
    record, arrays = json.loads(file.read_text()), np.load(file.with_suffix(".npz"))
    table = load_label_map("semantic_kitti")
    for name, expected in record["results"].items():
        if name.startswith("toy"):
            toy = {
                side: Segments(
                    classes=as_training_ids(arrays[f"toy.{side}_sem"]),
                    ids=arrays[f"toy.{side}_inst"],
                )
                for side in ("truth", "pred")
            }
            size = len(expected["PQ_c"]) - 1
            enough = min_points(name, expected)
            compare(count_segments(toy["truth"], toy["pred"], size, min_points=enough), expected)
            continue
        scans = [name] if name in record["files"] else list(record["files"])
        total = PanopticCounts.zero(table.num_classes)
        for scan in scans:
            _, raw = kitti_scan(record["files"][scan])
            both = [
                Segments(classes=table.apply(ids & 0xFFFF, source=scan), ids=ids)
                for ids in (raw, arrays[f"{scan}.pred_label"])
            ]
            enough = min_points(name, expected)
            total += count_segments(*both, table.num_classes, min_points=enough)
        compare(total, expected)
