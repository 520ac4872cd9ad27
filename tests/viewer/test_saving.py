import json
from pathlib import Path

import numpy as np
import pytest
import yaml

import lidistill
from lidistill.apps.few_shot import with_few_shot_head
from lidistill.errors import CheckpointError, ConfigError, FileFormatError
from lidistill.labels import IGNORE
from lidistill.segment.few_shot_head import read_few_shot_head
from lidistill.viewer.container import unpack
from lidistill.viewer.saving import Saver, file_stem


@pytest.fixture
def saver(content, tmp_path):
    return Saver(content, tmp_path / "out")


def labels(number=0, name="car", points=(1, 2)):
    return {"frame": number, "class": name, "points": list(points)}


def test_labels_add_up_in_files_that_the_house_reads(saver, content, tmp_path):
    first = saver.save_labels(labels())
    again = saver.save_labels(labels(name="<b>road</b>", points=[2, 5]))
    assert (first["num_points"], again["num_points"]) == (2, 3)
    ids = np.load(again["path"])
    assert (ids.dtype, len(ids)) == (np.uint8, 900)
    assert ids[[1, 2, 5]].tolist() == [0, 1, 1]
    assert (np.delete(ids, [1, 2, 5]) == IGNORE).all()
    assert saver.save_labels(labels(name=None, points=[1]))["num_points"] == 2
    table = yaml.safe_load((tmp_path / "out" / "labels" / "labels.yaml").read_text())
    assert table["classes"] == ["car", "<b>road</b>"]
    assert table["ids"] == {0: "car", 1: "<b>road</b>", 255: "ignore"}


def test_a_frame_name_never_leads_out_of_the_folder(saver, content, tmp_path, monkeypatch):
    names = ("../../../etc/passwd", "/etc/passwd", "..", "a\x00b", "", "x" * 999)
    monkeypatch.setattr(type(content.frames.dataset), "frame_ids", (*names, *"abc"), raising=False)
    for number, name in enumerate(names[:4]):
        path = saver.save_labels(labels(number))["path"]
        assert (tmp_path / "out" / "labels") in Path(path).resolve().parents, name
    assert {p.name for p in tmp_path.iterdir()} == {"out"}
    stems = [file_stem(name) for name in names]
    assert all(0 < len(stem) <= 120 and "/" not in stem and stem[0] != "." for stem in stems)


def test_long_names_of_two_frames_are_two_files():
    drive = "/".join(["a-drive-through-the-town"] * 6)
    first, second = (file_stem(f"{drive}/00{number}") for number in (1, 2))
    assert first != second
    assert len(first) == len(second) == 120
    assert file_stem("a/001") == "a__001"


@pytest.mark.parametrize(
    "values",
    [
        {}, [], None, "x", labels(9), labels(-1), labels(points=[900]), labels(points=[-1]),
        labels(points=["1"]), labels(name=""), labels(name="x" * 201), labels(name="ignore"),
        labels(name=3), labels() | {"path": "x"}, labels(points=[True]), labels(1.5),
    ],
)  # fmt: skip
def test_what_makes_no_sense_changes_nothing(saver, tmp_path, values):
    saver.save_labels(labels())
    before = {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}
    with pytest.raises(ConfigError):
        saver.save_labels(values)
    assert {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()} == before


def test_labels_of_another_scan_are_not_written_over(saver):
    path = saver.save_labels(labels())["path"]
    np.save(path, np.zeros(3, np.uint8))
    with pytest.raises(FileFormatError, match="another scan"):
        saver.save_labels(labels())
    assert len(np.load(path)) == 3


def head_for(content, space, number=0):
    """Positive where the first stored dimension is, as the page would send it."""
    dims = len(content.models[number].spaces[space].basis)
    weights = [[0.0] * dims, [5.0] + [0.0] * (dims - 1)]
    return {
        "model": number, "space": space, "classes": ["other", "car"], "weights": weights,
        "bias": [0.0, -0.5],
    }  # fmt: skip


@pytest.mark.parametrize(("number", "space"), [(0, "backbone"), (0, "head"), (1, "backbone")])
def test_predict_gives_the_classes_that_the_page_shows(saver, content, number, space):
    path = saver.save_head(head_for(content, space, number))["path"]
    model = with_few_shot_head(content.models[number].model, Path(path))
    frame = content.frames[0].frame
    found = model.predict(frame.points, frame.intensity)
    stored = unpack(content.get(f"features/{number}/{space}/0").content)
    codes = stored["f"].array[stored["of_point"].array]
    scores = 5 * (codes[:, 0] / 127) - 0.5
    sure = np.abs(scores) > 0.05  # but for what eight bits cannot tell
    assert model.class_names == ("other", "car")
    np.testing.assert_array_equal(found[sure], scores[sure] > 0)
    assert sure.mean() > 0.8


def test_a_head_knows_what_it_was_fitted_with(saver, content, world):
    path = Path(saver.save_head(head_for(content, "backbone"))["path"])
    other = lidistill.load(world / "probe-backbone", "cpu")
    with pytest.raises(CheckpointError, match="fitted with"):
        with_few_shot_head(other, path)
    again = Path(saver.save_head(head_for(content, "backbone"))["path"])
    assert (path.name, again.name) == ("car.head.json", "car-2.head.json")


@pytest.mark.parametrize(
    "change",
    [
        {"classes": ["car"]}, {"classes": ["car", "car"]}, {"bias": [0.0]},
        {"weights": [[0.0]] * 2}, {"weights": []}, {"space": "teacher"}, {"space": "../x"},
        {"model": 7}, {"model": -1},
        {"bias": [0.0, float("nan")]}, {"basis": "AAAA"}, {"classes": ["ignore", "x"]},
    ],
)  # fmt: skip
def test_what_is_no_head_is_not_written(saver, content, tmp_path, change):
    with pytest.raises(ConfigError):
        saver.save_head(head_for(content, "backbone") | change)
    assert not list(tmp_path.rglob("*.json"))


@pytest.mark.parametrize(
    "change",
    [
        {"basis": "AAAA"}, {"basis": "!" * 256}, {"dims": 65}, {"dims": 9}, {"num_channels": 7},
        {"lidistill_head": 2}, {"checkpoint_sha256": "x"}, {"bias": None}, {"more": 1},
    ],
)  # fmt: skip
def test_a_damaged_head_is_one_clear_line(saver, content, change):
    path = Path(saver.save_head(head_for(content, "backbone"))["path"])
    whole = json.loads(path.read_text())
    assert len(whole["basis"]) >= 256
    for damaged in (whole | change, [whole]):
        path.write_text(json.dumps(damaged))
        with pytest.raises(FileFormatError, match=r"car\.head\.json: .*mend the file") as error:
            read_few_shot_head(path)
        assert "\n" not in str(error.value)
