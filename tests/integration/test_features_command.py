import json
import re

import numpy as np
import pytest
import yaml
from fakes.command import run
from fakes.runs import pretrain_values, probe_values, write_world
from fakes.scan_writers import WRITERS, cloud

import lidistill
from lidistill.datasets.own.files import read_label_table
from lidistill.distill.run import pretrain
from lidistill.instances.boxes import read_boxes
from lidistill.instances.find import InstanceFinder
from lidistill.recipes import apply_overrides
from lidistill.scan_formats.scan_file import read_scan
from lidistill.segment.report import train_and_score


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    folder = tmp_path_factory.mktemp("scans")
    write_world(folder)
    pretrain(apply_overrides(pretrain_values(folder), ("train.steps=2",), source="tiny"))
    train_and_score(apply_overrides(probe_values(folder), ("train.steps=2",), source="tiny"))
    return folder


@pytest.fixture
def scans(tmp_path):
    """Two scans of one's own; the second holds a point out of sight."""
    folder = tmp_path / "scans"
    folder.mkdir()
    for number in range(2):
        table = cloud(60, seed=number)
        table["z"] = np.clip(table["z"], -5, 5)
        table["z"][0] = 400 * number
        for axis in "xyz":
            table[axis][7] *= 1 - number  # the second scan has a beam without an echo
        (folder / f"{number:03d}.bin").write_bytes(WRITERS[".bin"](table))
    return folder


def direct(world, scan):
    model = lidistill.load(world / "pretrain", "cpu")
    found = read_scan(scan)
    return model.features(found.points, found.intensity)


def test_features_are_written_one_file_a_scan(world, scans, tmp_path, capsys):
    output = tmp_path / "out"
    status, out, err = run(capsys, "features", world / "pretrain", scans, "--output", output)
    assert status == 0, err
    assert "2 scans, 120 points, features of 8 channels" in out
    assert "2 points, outside the field of view, or without return (1: at (0, 0, 0)" in out
    assert sorted(path.name for path in output.iterdir()) == ["000.npy", "001.npy"]
    for name in ("000", "001"):
        found = np.load(output / f"{name}.npy")
        assert found.dtype == np.float16
        np.testing.assert_allclose(
            found, direct(world, scans / f"{name}.bin"), rtol=2e-3, atol=2e-3
        )
        assert np.flatnonzero(np.isnan(found).all(axis=1)).tolist() == [0, 7] * int(name)


def test_the_head_and_float32_are_options(world, scans, tmp_path, capsys):
    arguments = (scans / "000.bin", "--output", tmp_path, "--head", "--dtype", "float32", "--json")
    status, out, _ = run(capsys, "features", world / "pretrain", *arguments)
    assert status == 0
    record = json.loads(out)
    found = np.load(tmp_path / "000.npy")
    assert found.dtype == np.float32
    assert found.shape == (60, record["channels"])
    assert record["scans"][0]["num_points"] == 60
    assert record["scans"][0]["file"] == str(tmp_path / "000.npy")
    model = lidistill.load(world / "pretrain", "cpu")
    scan = read_scan(scans / "000.bin")
    np.testing.assert_allclose(found, model.project(scan.points, scan.intensity), rtol=1e-4)


@pytest.mark.parametrize("ending", WRITERS)
def test_every_format_gives_the_same_features(world, tmp_path, capsys, ending):
    table = cloud(60)
    table["z"] /= 5
    for name, writer in (("expected.bin", ".bin"), (f"scan{ending}", ending)):
        (tmp_path / name).write_bytes(WRITERS[writer](table))
    output = tmp_path / "out"
    status, _, err = run(
        capsys, "features", world / "pretrain", tmp_path / f"scan{ending}", "--output", output
    )
    assert status == 0, err
    (file,) = output.iterdir()
    expected = direct(world, tmp_path / "expected.bin")
    np.testing.assert_allclose(np.load(file), expected, rtol=2e-3, atol=2e-3)


@pytest.mark.parametrize("form", ["npy", "label"])
def test_classes_are_written_with_their_names(world, scans, tmp_path, capsys, form):
    output = tmp_path / "out"
    arguments = ("predict", world / "probe-backbone", scans, "--output", output, "--format", form)
    status, out, err = run(capsys, *arguments)
    assert status == 0, err
    assert "17 classes" in out
    file = output / f"001.{form}"
    found = np.load(file) if form == "npy" else np.fromfile(file, "<u4")
    model = lidistill.load(world / "probe-backbone", "cpu")
    scan = read_scan(scans / "001.bin")
    np.testing.assert_array_equal(found, model.predict(scan.points, scan.intensity))
    assert found[0] == 255
    table = read_label_table(output / "labels.yaml")
    assert table.classes == model.class_names
    assert table.label_map("x").raw_to_train == {i: i for i in [*range(17), 255]}
    status, _, err = run(capsys, *arguments)
    assert status == 2
    assert "--overwrite" in err
    assert run(capsys, *arguments, "--overwrite")[0] == 0


def test_objects_are_told_apart_in_the_upper_half_of_labels(world, scans, tmp_path, capsys):
    output, probe = tmp_path / "out", world / "probe-backbone"
    model, scan = lidistill.load(probe, "cpu"), read_scan(scans / "001.bin")
    classes = model.predict(scan.points, scan.intensity)
    name = model.class_names[np.bincount(classes[classes != 255]).argmax()]
    boxes = tmp_path / "boxes.yaml"
    boxes.write_text(f"{name}: [9, 7]\n")
    command = ("predict", probe, scans / "001.bin", "--instances", "--neighbors", "4", "--ply")
    status, out, err = run(capsys, *command, "--boxes", boxes, "--output", output, "--json")
    assert status == 0, err
    assert json.loads(out)["instances"]["neighbors"] == 4
    found = np.fromfile(output / "001.label", "<u4")
    np.testing.assert_array_equal(found & 0xFFFF, classes)
    config = read_boxes(boxes).changed(neighbors=4)
    objects = InstanceFinder(config, model.class_names)(scan.points, classes)
    np.testing.assert_array_equal(found >> 16, objects)
    assert objects.max() > 1
    assert found[0] == 255  # out of sight
    assert (output / "001.ply").exists()


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("--instances", "--format", "npy"), "--format label"),
        (("--instances", "--boxes", "kitti"), "semantic_kitti"),
        (("--instances", "--boxes", "boxes.yaml"), "boxes.yaml"),
        (("--instances", "--neighbors", "0"), "neighbors"),
    ],
)
def test_bad_boxes_are_one_line_and_nothing_is_written(
    world, scans, tmp_path, capsys, arguments, expected
):
    command = ("predict", world / "probe-backbone", scans, "--output", tmp_path / "out")
    status, _, err = run(capsys, *command, *arguments)
    assert status == 2
    assert err.startswith("error: ")
    assert expected in err
    assert not (tmp_path / "out").exists()


def test_statistics_of_another_lidar_come_from_a_file(world, scans, tmp_path, capsys):
    (tmp_path / "s.yaml").write_text(yaml.safe_dump({"intensity_mean": 9.0, "intensity_std": 7.0}))
    arguments = ("--dtype", "float32", "--statistics", tmp_path / "s.yaml")
    output = tmp_path / "out"
    status, _, err = run(
        capsys, "features", world / "pretrain", scans, "--output", output, *arguments
    )
    assert status == 0, err
    model = lidistill.load(world / "pretrain", "cpu", intensity_mean=9, intensity_std=7)
    scan = read_scan(scans / "000.bin")
    expected = model.features(scan.points, scan.intensity)
    np.testing.assert_allclose(np.load(output / "000.npy"), expected, rtol=1e-4, atol=1e-5)


def test_another_column_is_taken_as_intensity_or_none(world, tmp_path, capsys):
    table = cloud(60)
    table["z"] /= 5
    plain = np.stack([table[axis] for axis in "xyz"], axis=1)
    np.savez(tmp_path / "a.npz", points=plain, strength=table["intensity"])
    output = tmp_path / "out"
    common = ("features", world / "pretrain", tmp_path / "a.npz", "--output", output)
    status, _, err = run(capsys, *common)
    assert status == 2
    assert "has no intensity among x, y, z, strength" in err
    common = (*common, "--dtype", "float32", "--overwrite")
    model = lidistill.load(world / "pretrain", "cpu")
    for option, values in (("strength", table["intensity"]), ("none", None)):
        status, _, err = run(capsys, *common, "--intensity", option)
        assert status == 0, err
        expected = model.features(plain.astype(np.float32), values)
        np.testing.assert_allclose(np.load(output / "a.npy"), expected, rtol=1e-4, atol=1e-5)


def bad_scan(_, scans):
    (scans / "001.bin").write_bytes(b"123")
    return [scans]


def far_away(_, scans):
    points = np.full((5, 4), 500, "<f4")
    (scans / "far.bin").write_bytes(points.tobytes())
    return [scans / "far.bin"]


def two_of_one_name(_, scans):
    (scans / "000.pcd.bin").write_bytes(b"")
    return [scans]


def folders_without_scans(_, scans):
    (scans.parent / "empty" / "cameras").mkdir(parents=True)
    return [scans.parent / "empty"]


BAD = {
    "a damaged scan": (bad_scan, "001.bin"),
    "a scan out of sight": (far_away, r"far\.bin: none of the 5 points .* metres"),
    "no scan": (lambda *_: [], "no scan is given"),
    "a scan that is not there": (lambda _, scans: [scans / "x.pcd"], "x.pcd"),
    "another kind of file": (lambda *_: ["README.md"], "unknown format"),
    "two of one name": (two_of_one_name, "would both become 000.npy"),
    "folders without scans": (folders_without_scans, "holds no scan, nor do folders in it"),
    "an unknown lidar": (lambda _, s: [s, "--sensor", "pandar46"], "did you mean 'pandar64'"),
    "no such statistics": (lambda _, s: [s, "--statistics", "/no/file"], "/no/file"),
    "a column that is not there": (lambda _, s: [s, "--intensity", "strength"], "strength"),
    "a device that is not": (lambda _, s: [s, "--device", "gpu"], "gpu"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_ends_in_one_line_and_status_2(world, scans, tmp_path, capsys, case):
    arguments, expected = BAD[case]
    output = ("--output", tmp_path / "out")
    status, _, err = run(capsys, "features", world / "pretrain", *arguments(world, scans), *output)
    assert status == 2, err
    (line,) = [line for line in err.splitlines() if line.startswith("error: ")]
    assert re.search(expected, line), line
    assert not list((tmp_path / "out").glob(".writing-*"))


def test_scans_are_never_replaced(world, tmp_path, capsys):
    scans = tmp_path / "scans"
    scans.mkdir()
    before = WRITERS[".npy"](cloud(60))
    (scans / "a.npy").write_bytes(before)
    (tmp_path / "link").symlink_to(scans)
    for output in (scans, tmp_path / "link", scans / ".." / "scans"):
        status, _, err = run(
            capsys, "features", world / "pretrain", scans, "--output", output, "--overwrite"
        )
        assert status == 2
        assert "holds the scan" in err
    assert (scans / "a.npy").read_bytes() == before
    assert [path.name for path in scans.iterdir()] == ["a.npy"]


def test_a_distillation_predicts_no_classes(world, scans, tmp_path, capsys):
    arguments = ("predict", world / "pretrain", scans, "--output", tmp_path / "out")
    status, _, err = run(capsys, *arguments)
    assert status == 2
    assert "has learned no classes" in err
    status, _, err = run(
        capsys, "features", world / "probe-backbone", scans, "--output", tmp_path / "o", "--head"
    )
    assert status == 2
    assert "no head into the teacher's space" in err


@pytest.mark.parametrize("command", ["features", "predict"])
def test_the_example_of_the_help_stands_alone(command, capsys):
    status, out, _ = run(capsys, command, "--help")
    assert status == 0
    (start,) = [i for i, line in enumerate(out.splitlines()) if "Example: lidistill" in line]
    lines = out.splitlines()[start:]
    example = " ".join(line.strip() for line in lines[: lines.index("")])
    assert example.startswith(f"Example: lidistill {command} runs/")
    assert "--output" in example
    assert example.split()[-1] in {"features", "labels"}
    assert "--sensor" in out


@pytest.mark.parametrize(("factor", "warnings"), [(1, 0), (255, 1), (1 / 255, 1)])
def test_intensities_of_another_scale_are_told_once(world, tmp_path, capsys, factor, warnings):
    model = lidistill.load(world / "pretrain", "cpu")
    scans = tmp_path / "scans"
    scans.mkdir()
    for number in range(2):
        table = cloud(400, seed=number)
        table["z"] = np.clip(table["z"], -5, 5)
        lidar = model.sensor
        around = np.linspace(-1, 1, 400) * min(lidar.intensity_std, lidar.intensity_mean)
        table["intensity"] = factor * (lidar.intensity_mean + around)
        (scans / f"{number}.npy").write_bytes(WRITERS[".npy"](table))
    status, _, err = run(
        capsys, "features", world / "pretrain", scans, "--output", tmp_path / "out"
    )
    assert status == 0, err
    assert err.count("another scale?") == warnings


@pytest.mark.parametrize("command", ["predict", "features", "discover"])
def test_where_no_scan_can_be_used_the_reason_is_said(world, tmp_path, capsys, command):
    np.save(tmp_path / "nothing.npy", np.full((40, 4), np.nan, np.float32))
    folder = world / ("probe-backbone" if command == "predict" else "pretrain")
    arguments = (tmp_path / "nothing.npy", "--output", tmp_path / "out")
    status, _, err = run(capsys, command, folder, *arguments)
    assert status == 2
    assert "nothing.npy" in err.splitlines()[-1]
    assert "No such file" not in err
