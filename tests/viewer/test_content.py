import io
import json
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image

from lidistill.errors import FileFormatError
from lidistill.figures.features import fit_pca
from lidistill.viewer.container import unpack
from lidistill.viewer.content import Content
from lidistill.viewer.shown_frames import ShownFrames
from lidistill.viewer.sources import ScanFiles


def arrays(content, name):
    return unpack(content.get(name).content)


def test_the_manifest_says_what_there_is(content):
    told = json.loads(content.get("manifest").content)
    assert told["title"] == "<b>tiny</b>"
    assert [frame["id"] for frame in told["frames"]] == list(content.frames.dataset.frame_ids)
    first = told["frames"][0]
    assert (first["num_points"], first["num_rows"], first["drive"]) == (900, 900, "001")
    assert first["columns"] == ["intensity", "class"]
    image = {"view": "front_camera", "width": 40, "height": 20, "media_type": "image/jpeg"}
    assert first["images"] == [image]
    distilled, probe = told["models"]
    assert [space["name"] for space in distilled["spaces"]] == ["backbone", "head", "teacher"]
    backbone, head, teacher = (space["dims"] for space in distilled["spaces"])
    assert backbone <= 8
    assert head == teacher <= 32
    assert [space["name"] for space in probe["spaces"]] == ["backbone"]
    assert probe["predictions"] == ["prediction", "confidence", "cluster", "error"]
    assert distilled["predictions"] == ["cluster"]
    assert told["columns"]["prediction"]["kind"] == "class"
    assert told["columns"]["intensity"] == {
        "kind": "number",
        "unit": None,
        "low": 5.0,
        "high": 60.0,
    }
    assert {c["name"] for c in told["classes"]} >= {"car", "road"} or told["classes"]
    nothing = {"save_labels": False, "save_head": False, "query": None}
    assert told["capabilities"] == nothing


def test_every_name_is_there_and_nothing_else(content):
    for name in content.names():
        assert content.get(name).content, name
    for name in (
        "", "manifest/", "frame", "frame/4", "frame/-1", "frame/00/1", "frame/1e0", "image/0/1",
        "image/0/x", "features/0/head/9", "features/2/head/0", "features/1/head/0", "head/1/head",
        "head/0/teacher", "features/0/../0", "predictions/0/0/0", "frame/٣", "features/0/x/0",
    ):  # fmt: skip
        assert content.get(name) is None, name


def test_points_have_the_features_of_the_network(content, world):
    model = content.models[0]
    frame = content.frames[1].frame
    plain = {
        "backbone": model.model.features(frame.points, frame.intensity),
        "head": model.model.project(frame.points, frame.intensity),
    }
    for space, features in plain.items():
        found = arrays(content, f"features/0/{space}/1")
        rows = found["f"].array[found["of_point"].array].astype(np.float64) / 127
        unit = features / np.linalg.norm(features, axis=1, keepdims=True)
        assert np.abs(rows @ rows[:200].T - unit @ unit[:200].T).max() < 0.03
        assert found["f"].by_columns


def test_points_of_one_voxel_share_a_row(content):
    found = content.models[0].model.encode([[10, 1, 0], [12, 1, 0], [10.01, 1, 0]], [5, 5, 5])
    assert found.row[0] == found.row[2] != found.row[1]
    assert found.values.shape == (2, 8)


def test_a_point_without_a_feature_points_to_none(content, monkeypatch):
    model = content.models[0]
    encoded = model._encode(0)
    row = encoded.row.copy()
    row[7] = -1
    changed = type(encoded)(values=encoded.values, row=row)
    monkeypatch.setattr(model, "_encode", {0: changed}.__getitem__)
    found = unpack(model.pack_features("backbone", 0))["of_point"].array
    assert (found.dtype, found[7]) == (np.uint16, 65535)
    assert (found[np.arange(900) != 7] < len(encoded.values)).all()
    assert unpack(model.pack_predictions(0, np.zeros(0, np.uint8)))["cluster"].array[7] == 255


def test_predictions_are_those_of_the_probe(content):
    frame = content.frames[2].frame
    found = arrays(content, "predictions/1/2")
    predicted = content.models[1].model.predict(frame.points, frame.intensity)
    assert (found["prediction"].array == predicted).mean() > 0.999
    wrong = found["error"].array
    np.testing.assert_array_equal(wrong, found["prediction"].array != frame.labels)
    share = found["confidence"].array * found["confidence"].scale
    assert 1 / 15 < share.min() < share.max() <= 1
    assert wrong[share > np.median(share)].mean() <= wrong[share <= np.median(share)].mean()
    assert found["cluster"].array.max() < 16


def test_images_have_a_grid_in_the_space_of_the_head(content):
    found = arrays(content, "features/0/teacher/0")
    grid = found["grid0"].array
    assert grid.shape == (2, 4, len(content.models[0].spaces["head"].basis))
    lengths = np.linalg.norm(grid.astype(float) / 127, axis=2)
    np.testing.assert_allclose(lengths, 1, atol=0.03)
    # The teacher at the middle of the upper left patch, centred, in the head's basis.
    teacher = content.models[0].teacher
    view = content.frames[0].frame.views[0]
    plain = teacher.grid(view.image_path)[0, 0] @ content.models[0].spaces["head"].basis.T
    np.testing.assert_allclose(grid[0, 0] / 127, plain / np.linalg.norm(plain), atol=0.005)


def test_images_are_made_anew_and_small(content):
    block = content.get("image/0/0")
    image = Image.open(io.BytesIO(block.content))
    assert (image.format, image.size, block.media_type) == ("JPEG", (40, 20), "image/jpeg")


def test_colours_on_the_page_are_those_of_the_components(content):
    told = json.loads(content.get("manifest").content)
    space = told["models"][0]["spaces"][1]
    pca = {name: np.array(values) for name, values in space["pca_rgb"].items()}
    codes = [arrays(content, f"features/0/head/{i}")["f"].array for i in range(4)]
    expected = fit_pca(np.concatenate(codes))
    np.testing.assert_allclose(np.abs(np.sum(pca["axes"] * expected.axes, axis=1)), 1, atol=1e-3)
    assert (pca["high"] > pca["low"]).all()
    assert np.shape(space["pca_rgb_without_position"]["axes"]) == (3, space["dims"])


def write_scan(folder, columns):
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "a.npz"
    np.savez(file, **columns)
    return file


def test_scan_files_show_all_their_columns(tmp_path):
    points = {axis: np.array([1.0, 2, 0], np.float32) for axis in "xyz"}
    file = write_scan(tmp_path, points | {"intensity": np.ones(3), "ring": np.array([5, 6, 7])})
    shown = Content(ShownFrames(ScanFiles([file], ["a"], ["d"]), [0], image_width=10), title="t")
    told = shown.manifest()
    assert told["frames"][0] == {
        "index": 0, "id": "a", "drive": "d", "timestamp_s": None, "num_points": 2, "num_rows": 3,
        "columns": ["intensity", "ring"], "images": [],
    }  # fmt: skip
    assert told["classes"] is None
    assert arrays(shown, "frame/0")["ring"].array.tolist() == [5, 6]
    bare = write_scan(tmp_path / "bare", points)
    with pytest.raises(FileFormatError, match="--intensity"):
        ShownFrames(ScanFiles([bare], ["a"], ["d"]), [0], image_width=10)
    without = ScanFiles([bare], ["a"], ["d"], intensity="none")
    shown = Content(ShownFrames(without, [0], image_width=10), title="t")
    assert "intensity" not in arrays(shown, "frame/0")


def test_frames_and_images_do_not_wait_for_a_network(content):
    def compute():
        with ThreadPoolExecutor(1) as other:
            names = ("frame/1", "image/1/0", "manifest")
            return b"".join(other.submit(content.get, n).result(10).content for n in names)

    assert len(content._block("features/waits", compute).content) > 1000
