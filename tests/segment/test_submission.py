import json

import numpy as np
import pytest
import torch
from fakes.batches import waffle
from fakes.nuscenes import FakeNuScenes
from fakes.runs import write_street
from fakes.semantic_kitti import write_sequence

from lidistill.backbones.waffleiron.grid import GridConfig
from lidistill.datasets.kitti.semantic import SemanticKittiConfig
from lidistill.datasets.nuscenes.dataset import NuScenesConfig
from lidistill.datasets.pandaset.dataset import PandaSetConfig
from lidistill.datasets.submission_format import SubmissionFormat
from lidistill.errors import ConfigError, FileFormatError
from lidistill.instances.boxes import shipped_boxes
from lidistill.instances.find import InstanceFinder
from lidistill.samples.distillation import SamplingConfig
from lidistill.segment.submission import check_submission, check_test_set, write_submission

PREPARER = waffle(
    GridConfig(fov_min=(-40, -40, -40), fov_max=(40, 40, 40), planes=((8, 8),), axes=(2,))
)
SAMPLING = SamplingConfig()
BARE = {"labels": "none", "images": "none", "missing": "skip"}


def by_order(num_classes):
    """Every class in turn."""

    def classes(frame, sample):
        seen = torch.ones(len(sample), dtype=torch.bool)
        return torch.arange(len(sample)) % num_classes, seen

    return classes


@pytest.fixture
def nuscenes(tmp_path):
    fake = FakeNuScenes(tmp_path / "nuscenes", version="v1.0-test")
    fake.add_scene("scene-0077")
    fake.write_tables()
    return NuScenesConfig(root=fake.root, version="v1.0-test", split="all", **BARE).build()


@pytest.fixture
def kitti(tmp_path):
    write_sequence(tmp_path / "kitti", 11)
    write_sequence(tmp_path / "kitti", 12)
    return SemanticKittiConfig(root=tmp_path / "kitti", split="test", **BARE).build()


def hand_in(dataset, folder):
    in_turn = by_order(dataset.label_map.num_classes)
    return write_submission(in_turn, dataset, folder, sampling=SAMPLING, preparer=PREPARER)


def test_nuscenes_gets_one_byte_a_point_from_1_to_16(nuscenes, tmp_path):
    assert hand_in(nuscenes, tmp_path / "out") == 2
    files = sorted((tmp_path / "out" / "lidarseg" / "test").iterdir())
    tokens = {nuscenes.scan_token(i) for i in range(2)}
    assert {file.name for file in files} == {f"{token}_lidarseg.bin" for token in tokens}
    for file in files:
        ids = np.fromfile(file, np.uint8)
        assert len(ids) == len(nuscenes[0].points)
        assert set(ids) == set(range(1, 17))
    meta = json.loads((tmp_path / "out" / "test" / "submission.json").read_text())["meta"]
    assert meta["use_lidar"] is True
    assert meta["use_camera"] is False
    assert set(meta) == {"use_camera", "use_lidar", "use_radar", "use_map", "use_external"}
    assert check_submission(nuscenes, tmp_path / "out") == []


def test_semantic_kitti_gets_raw_ids_that_lead_back_to_the_classes(kitti, tmp_path):
    hand_in(kitti, tmp_path / "out")
    folder = tmp_path / "out" / "sequences"
    assert sorted(path.name for path in folder.iterdir()) == ["11", "12"]
    ids = np.fromfile(folder / "11" / "predictions" / "000000.label", "<u4")
    frame = kitti[0]
    assert len(ids) == len(frame.points)
    # 10 car, 252 a moving car: the server wants the first.
    assert set(ids) <= {10, 11, 15, 18, 20, 30, 31, 32, 40, 44, 48, 49, 50, 51, 70, 71, 72, 80, 81}
    assert kitti.label_map.apply(ids, source="out").max() == 18
    assert check_submission(kitti, tmp_path / "out") == []


def panoptic_of(dataset):
    """The same frames with objects, and what tells objects apart."""
    config = dataset.config.model_copy(update={"instances": True})
    names = dataset.label_map.class_names
    return config.build(), InstanceFinder(shipped_boxes("auto", names), names)


def hand_in_objects(dataset, folder):
    panoptic, finder = panoptic_of(dataset)
    in_turn = by_order(dataset.label_map.num_classes)
    ready = {"sampling": SAMPLING, "preparer": PREPARER, "finder": finder}
    write_submission(in_turn, panoptic, folder, **ready)
    return panoptic, finder


def test_semantic_kitti_objects_are_in_the_upper_half(kitti, tmp_path):
    panoptic, finder = hand_in_objects(kitti, tmp_path / "out")
    hand_in(kitti, tmp_path / "plain")
    name = "sequences/11/predictions/000000.label"
    labels = np.fromfile(tmp_path / "out" / name, "<u4")
    plain = np.fromfile(tmp_path / "plain" / name, "<u4")
    assert (labels & 0xFFFF).tolist() == plain.tolist()
    classes = kitti.label_map.apply(plain, source="out")
    assert ((labels >> 16 > 0) == np.isin(classes, finder.things)).all()
    found = finder(kitti[0].points, classes)
    for number in finder.things:  # the same parts, counted in each class from its largest
        own = classes == number
        pairs = {*zip(found[own].tolist(), (labels[own] >> 16).tolist(), strict=True)}
        assert len(pairs) == len({one for one, _ in pairs}) == len({other for _, other in pairs})
        assert {other for _, other in pairs} == set(range(1, len(pairs) + 1))
    assert check_submission(panoptic, tmp_path / "out") == []


def test_nuscenes_objects_are_added_to_a_thousand_times_the_class(nuscenes, tmp_path):
    panoptic, finder = hand_in_objects(nuscenes, tmp_path / "out")
    token = nuscenes.scan_token(0)
    with np.load(tmp_path / "out" / "panoptic" / "test" / f"{token}_panoptic.npz") as archive:
        labels = archive["data"]
    assert labels.dtype == np.uint16
    assert set(labels // 1000) <= set(range(1, 17))
    things = np.isin(labels // 1000 - 1, finder.things)
    assert ((labels % 1000 > 0) == things).all()
    assert things.any()
    assert json.loads((tmp_path / "out/test/submission.json").read_text())["meta"]["use_lidar"]
    assert check_submission(panoptic, tmp_path / "out") == []


@pytest.mark.parametrize("which", ["nuscenes", "kitti"])
def test_what_a_panoptic_server_would_refuse_is_found(request, tmp_path, which):
    panoptic, _ = hand_in_objects(request.getfixturevalue(which), tmp_path / "out")
    files = [path for path in (tmp_path / "out").rglob("*.*") if path.suffix != ".json"]
    file = min(files)
    if which == "kitti":
        file.write_bytes(file.read_bytes()[:-4] + bytes(4))
        reason = "0 is no class"
    else:
        np.savez_compressed(file, data=np.zeros(3, np.uint16))
        reason = "found one of uint16 and shape (3,)"
    (problem,) = check_submission(panoptic, tmp_path / "out")
    assert reason in problem


def test_more_objects_than_there_are_numbers_are_said(nuscenes, tmp_path, caplog, monkeypatch):
    monkeypatch.setattr(SubmissionFormat, "max_objects", 1)
    hand_in_objects(nuscenes, tmp_path / "out")
    assert "the format has numbers for 1" in caplog.text
    with np.load(min((tmp_path / "out").rglob("*.npz"))) as archive:
        assert set(archive["data"] % 1000) == {0, 1}


def spoil_missing(file):
    file.unlink()
    return "missing"


def spoil_short(file):
    file.write_bytes(file.read_bytes()[:-4])
    return "bytes, expected"


def spoil_class(file):
    content = bytearray(file.read_bytes())
    content[0] = 0
    file.write_bytes(content)
    return "0 is no class"


def spoil_extra(file):
    (file.parent / "notes.txt").write_text("")
    return "not of this set"


SPOILT = [spoil_missing, spoil_short, spoil_class, spoil_extra]


@pytest.mark.parametrize("spoil", SPOILT)
@pytest.mark.parametrize("which", ["nuscenes", "kitti"])
def test_what_a_server_would_refuse_is_found(request, tmp_path, which, spoil):
    dataset = request.getfixturevalue(which)
    hand_in(dataset, tmp_path / "out")
    file = next(path for path in sorted((tmp_path / "out").rglob("*.*")) if path.suffix != ".json")
    reason = spoil(file)
    (problem,) = check_submission(dataset, tmp_path / "out")
    assert reason in problem


@pytest.mark.parametrize("text", ["{", "[]", '{"meta": {"use_lidar": "yes"}}', None])
def test_a_wrong_description_is_found(nuscenes, tmp_path, text):
    hand_in(nuscenes, tmp_path / "out")
    file = tmp_path / "out" / "test" / "submission.json"
    file.unlink() if text is None else file.write_text(text)
    problems = check_submission(nuscenes, tmp_path / "out")
    assert problems
    assert all("submission.json" in problem for problem in problems)


@pytest.mark.parametrize("token", ["../../../outside/x", "a/../../../../x", "x" * 300])
def test_no_name_of_a_set_leads_out_of_the_folder(nuscenes, tmp_path, monkeypatch, token):
    monkeypatch.setattr(type(nuscenes), "scan_token", lambda *_: token)
    with pytest.raises(FileFormatError, match="cannot be"):
        hand_in(nuscenes, tmp_path / "a" / "b" / "out")
    with pytest.raises(FileFormatError, match="cannot be"):
        check_submission(nuscenes, tmp_path / "a" / "b" / "out")
    assert not (tmp_path / "a").exists()


def test_frames_that_are_not_the_whole_test_set_are_found(nuscenes, kitti):
    assert "2 frames, the server's test set has 6,008" in check_test_set(nuscenes)[0]
    assert "test set has 20,351" in check_test_set(kitti)[0]


def test_a_set_without_a_server_is_refused(tmp_path):
    write_street(tmp_path / "set")
    dataset = PandaSetConfig(root=tmp_path / "set", split="all").build()
    with pytest.raises(ConfigError, match="nuscenes and semantic_kitti"):
        hand_in(dataset, tmp_path / "out")
