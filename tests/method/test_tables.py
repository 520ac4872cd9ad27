"""Class maps, statistics, splits and limits of the data sets, against this folder's own tables."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
import yaml
from fakes.nuscenes import FakeNuScenes
from fakes.pandaset import Drive, write_drive
from fakes.semantic_kitti import write_sequence
from golden_cases import DATA, ROOT

from lidistill.datasets.kitti.semantic import SemanticKittiConfig
from lidistill.datasets.nuscenes.dataset import NuScenesConfig
from lidistill.datasets.nuscenes.scenes import official_scenes
from lidistill.datasets.pandaset.dataset import PandaSetConfig
from lidistill.datasets.sensors import SENSORS
from lidistill.errors import DatasetNotFoundError
from lidistill.labels import IGNORE, load_label_map

HERE = Path(__file__).parent
LABELS = yaml.safe_load((HERE / "labels.yaml").read_text(encoding="utf-8"))
FACTS = yaml.safe_load((HERE / "datasets.yaml").read_text(encoding="utf-8"))
SHARED_FACTS = ROOT / "../shared/facts/datasets.json"


@pytest.mark.parametrize("name", LABELS)
def test_every_raw_id_becomes_the_class_of_the_table(name):
    classes, table = [c for c in LABELS[name] if c != "ignore"], load_label_map(name)
    assert list(table.class_names) == classes
    train_id = {label: number for number, label in enumerate(classes)} | {"ignore": IGNORE}
    expected = {raw: train_id[label] for label, ids in LABELS[name].items() for raw in ids}
    assert table.raw_to_train == expected
    raw = np.array(sorted(expected))
    assert table.apply(raw, source="x").tolist() == [expected[i] for i in raw.tolist()]
    assert IGNORE == 255


def test_intensity_statistics_and_voxel_frames_are_the_papers():
    found = {
        name: {"mean": s.intensity_mean, "std": s.intensity_std, "voxels": s.published_voxel_frame}
        for name, s in SENSORS.items()
    }
    assert found == FACTS["sensors"]


@pytest.mark.parametrize("split", FACTS["nuscenes_scenes"])
def test_the_official_scenes_of_a_split(split):
    scenes = sorted(official_scenes(split))
    digest = hashlib.sha256("\n".join(scenes).encode()).hexdigest()[:16]
    assert [len(scenes), digest] == FACTS["nuscenes_scenes"][split]


def test_tuning_cuts_the_training_scenes_in_two():
    parts = {split: set(official_scenes(split)) for split in FACTS["nuscenes_tuning"]}
    assert {split: len(scenes) for split, scenes in parts.items()} == FACTS["nuscenes_tuning"]
    assert parts["tune_train"] | parts["tune_val"] == set(official_scenes("train"))


@pytest.mark.parametrize("split", FACTS["semantic_kitti_sequences"])
def test_the_sequences_of_a_split(split, tmp_path):
    for sequence in range(22):
        write_sequence(tmp_path, sequence, num_frames=1)
    dataset = SemanticKittiConfig(root=tmp_path, split=split).build()
    found = [int(name.split("/")[0]) for name in dataset.frame_ids]
    assert found == FACTS["semantic_kitti_sequences"][split]


def test_one_percent_of_semantic_kitti_is_the_first_of_every_hundred_scans(tmp_path):
    for sequence in (0, 1):
        write_sequence(tmp_path, sequence, num_frames=120)
    dataset = SemanticKittiConfig(root=tmp_path, every=100, missing="skip").build()
    assert dataset.frame_ids == ("00/000000", "00/000100", "01/000080")


def test_pandaset_is_split_at_its_latitude(tmp_path):
    border = FACTS["pandaset"]["split_latitude"]
    latitudes = {"001": border + 0.01, "002": border, "003": border - 0.01, "004": border - 0.05}
    for name, latitude in latitudes.items():
        write_drive(tmp_path, name, Drive(frames=(0,), latitude=latitude))
    write_drive(tmp_path, "005", Drive(frames=(0,), latitude=border + 0.01, labelled=False))

    def drives(split):
        return [
            name.split("/")[0]
            for name in PandaSetConfig(root=tmp_path, split=split).build().frame_ids
        ]

    assert drives("train") == ["001"]
    assert drives("val") == ["002", "003", "004"]


def test_pandasets_lidar_lies_above_the_pose_of_the_vehicle(tmp_path):
    points = np.array([[3.0, 4.0, 0.0], [2.0, 0.0, 1.6]])
    write_drive(tmp_path, "001", Drive(frames=(0,), points=points, device=np.array([0, 1])))
    above = FACTS["pandaset"]["lidar_above_pose"]
    for sensor, expected in (("pandar64", [[3, 4, -above]]), ("pandargt", [[2, 0, 1.6 - above]])):
        frame = PandaSetConfig(root=tmp_path, sensor=sensor, split="all").build()[0]
        np.testing.assert_allclose(frame.points, expected, atol=1e-6)


def first_frame(sensor, folder):
    if sensor == "nuscenes":
        FakeNuScenes(folder).add_scene("scene-0061").write_tables()
        return NuScenesConfig(root=folder, version="v1.0-mini", split="all").build()[0]
    if sensor == "semantic_kitti":
        write_sequence(folder, 0)
        return SemanticKittiConfig(root=folder, split="all").build()[0]
    write_drive(folder)
    return PandaSetConfig(root=folder, sensor=sensor, split="all").build()[0]


@pytest.mark.parametrize("sensor", FACTS["views"])
def test_the_limits_of_a_view_are_the_papers(sensor, tmp_path):
    expected, frame = FACTS["views"][sensor], first_frame(sensor, tmp_path)
    assert frame.sensor == sensor
    assert len(frame.views) == expected["cameras"]
    near_x = -np.inf if expected["near_x"] == "none" else expected["near_x"]
    limits = {(view.near_depth, view.near_x, view.border_px) for view in frame.views}
    assert limits == {(expected["near_depth"], near_x, expected["border"])}
    if sensor == "pandargt":
        assert frame.views[0].name == "front_camera"


def test_a_pandaset_drive_without_labels_is_in_no_split(tmp_path):
    write_drive(tmp_path, "005", Drive(frames=(0,), labelled=False))
    for split in ("train", "val"):
        with pytest.raises(DatasetNotFoundError):
            PandaSetConfig(root=tmp_path, split=split).build()


@pytest.mark.skipif(not SHARED_FACTS.is_file(), reason=f"no facts at {SHARED_FACTS}")
def test_the_tables_here_say_what_the_facts_say():
    facts = json.loads(SHARED_FACTS.read_text(encoding="utf-8"))
    for name, key in (("nuscenes", "nuscenes_lidarseg"), ("pandaset", "pandaset_semseg")):
        class_of = {raw: label for label, ids in LABELS[name].items() for raw in ids}
        for row in facts[key]:
            ignored = row["train_id"] == facts["ignore_id"]
            assert class_of[row["raw_id"]] == ("ignore" if ignored else row["train_name"])
    for name, sensor in FACTS["sensors"].items():
        assert facts["intensity"][name] == {"mean": sensor["mean"], "std": sensor["std"]}
    ours = FACTS["semantic_kitti_sequences"]
    assert facts["semantic_kitti_splits"] == {
        "train": ours["train"],
        "valid": ours["val"],
        "test": ours["test"],
    }


@pytest.mark.skipif(
    not (DATA / "semantic_kitti/semantic-kitti.yaml").is_file(), reason=f"no real data at {DATA}"
)
def test_the_table_here_says_what_semantic_kittis_own_file_says():
    file = yaml.safe_load((DATA / "semantic_kitti/semantic-kitti.yaml").read_text(encoding="utf-8"))
    classes = list(LABELS["semantic_kitti"])
    class_of = {raw: label for label, ids in LABELS["semantic_kitti"].items() for raw in ids}
    for raw, learned in file["learning_map"].items():
        assert class_of[raw] == ("ignore" if learned == 0 else classes[learned - 1])
