import csv
import json

import numpy as np
import pytest
from fakes.command import run
from fakes.runs import pretrain_values, write_world

import lidistill
from lidistill.distill.run import pretrain
from lidistill.instances.objects import find_objects, mean_features
from lidistill.recipes import apply_overrides


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    folder = tmp_path_factory.mktemp("discover")
    write_world(folder)
    pretrain(apply_overrides(pretrain_values(folder), ("train.steps=1",), source="tiny"))
    (folder / "scans").mkdir()
    for number in range(2):
        (folder / "scans" / f"{number}.bin").write_bytes(street(number + 1).tobytes())
    (folder / "scans" / "2.bin").write_bytes(b"123")
    return folder


def street(count):
    """Level ground and some posts."""
    rng = np.random.default_rng(count)
    x, y = np.meshgrid(np.arange(-15, 15, 0.4), np.arange(-15, 15, 0.4))
    parts = [np.stack([x, y, np.full(x.shape, -1.7)], axis=-1).reshape(-1, 3)]
    posts = [rng.uniform([0, 0, -1.7], [0.8, 0.8, 0], (200, 3)) for _ in range(count)]
    parts += [post + np.array([5 * i, 6, 0]) for i, post in enumerate(posts)]
    points = np.concatenate(parts)
    return np.column_stack([points, rng.uniform(0, 255, len(points))]).astype("<f4")


def test_objects_have_a_box_a_feature_and_their_points(world, tmp_path, capsys):
    out = tmp_path / "out"
    scans = [world / "scans" / f"{number}.bin" for number in range(2)]
    status, text, err = run(
        capsys, "discover", world / "pretrain", *scans, "--output", out, "--ply"
    )
    assert status == 0, err
    assert "2 scans, 3 objects, features of 8 channels" in text
    record = json.loads((out / "objects.json").read_text())
    rows = record["objects"]
    assert [(row["row"], row["object"]) for row in rows] == [(0, 1), (1, 1), (2, 2)]
    assert record["settings"]["radius"] == 0.5
    features = np.load(out / "features.npy")
    model = lidistill.load(world / "pretrain", "cpu")
    expected = []
    for number in range(2):
        scan = street(number + 1)
        label, objects = find_objects(scan[:, :3])
        np.testing.assert_array_equal(np.load(out / f"{number}.npy"), label)
        expected.append(mean_features(model.features(scan[:, :3], scan[:, 3]), label, len(objects)))
        assert (out / f"{number}.ply").exists()
    np.testing.assert_allclose(features, np.concatenate(expected), atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(features, axis=1), 1, rtol=1e-5)
    with (out / "objects.csv").open() as file:
        table = list(csv.DictReader(file))
    assert [float(one["x"]) for one in table] == pytest.approx([row["x"] for row in rows], abs=1e-3)
    assert rows[0]["length"] == pytest.approx(0.8, abs=0.15)
    status, _, err = run(capsys, "discover", world / "pretrain", *scans, "--output", out)
    assert status == 2
    assert "--overwrite" in err


def test_a_scan_that_cannot_be_used_ends_nothing(world, tmp_path, capsys):
    out = tmp_path / "out"
    command = ("discover", world / "pretrain", world / "scans", "--output", out, "--json")
    status, text, err = run(capsys, *command)
    assert status == 2
    assert "1 of 3 scans could not be used" in err
    assert len(json.loads(text)["objects"]) == 3
    assert len(np.load(out / "features.npy")) == 3


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("drive.mcap",), "unpack bags first"),
        (("0.bin", "--skip-existing"), "--overwrite"),
        (("0.bin", "--radius", "0"), "--radius 0"),
        (("0.bin", "--min-points", "0"), "--min-points 0"),
        (("features.bin",), "rename the scan"),
    ],
)
def test_bad_input_is_one_line(world, tmp_path, capsys, monkeypatch, arguments, expected):
    monkeypatch.chdir(world / "scans")
    (world / "scans" / "features.bin").write_bytes(street(1).tobytes())
    try:
        status, _, err = run(
            capsys, "discover", world / "pretrain", *arguments, "--output", tmp_path / "out"
        )
    finally:
        (world / "scans" / "features.bin").unlink()
    assert status == 2
    assert expected in err
    assert err.count("\n") == 1
    assert not (tmp_path / "out").exists()
