"""Features and classes of whole recordings: drives, bad scans, going on, colours."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
from fakes.command import run
from fakes.runs import pretrain_values, probe_values, write_world
from fakes.scan_writers import WRITERS, cloud

from lidistill.distill.run import pretrain
from lidistill.recipes import apply_overrides
from lidistill.scan_formats.scan_file import read_scan
from lidistill.segment.report import train_and_score


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    folder = tmp_path_factory.mktemp("batch")
    write_world(folder)
    pretrain(apply_overrides(pretrain_values(folder), ("train.steps=2",), source="tiny"))
    train_and_score(apply_overrides(probe_values(folder), ("train.steps=2",), source="tiny"))
    return folder


@pytest.fixture
def drives(tmp_path):
    """Two drives of two scans, the second scan of the first drive cut off."""
    root = tmp_path / "own"
    for drive in ("a", "b"):
        (root / drive / "scans").mkdir(parents=True)
        for number in range(2):
            table = cloud(60, seed=number)
            table["z"] = np.clip(table["z"], -5, 5)
            (root / drive / "scans" / f"{number}.bin").write_bytes(WRITERS[".bin"](table))
    (root / "a" / "scans" / "1.bin").write_bytes(b"123")
    return root


def files(folder):
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())


def test_one_bad_scan_ends_no_batch_and_is_named_at_the_end(world, drives, tmp_path, capsys):
    out = tmp_path / "out"
    status, text, err = run(
        capsys, "features", world / "pretrain", drives, "--output", out, "--json"
    )
    assert status == 2
    (line,) = [line for line in err.splitlines() if line.startswith("error: ")]
    assert "1 of 4 scans could not be used, first: " in line
    assert "1.bin" in line
    assert files(out) == ["a/0.npy", "b/0.npy", "b/1.npy"]
    record = json.loads(text)
    assert len(record["scans"]) == 3
    assert [one["scan"] for one in record["failed"]] == [str(drives / "a" / "scans" / "1.bin")]


def test_links_that_lead_nowhere_and_pipes_are_named(world, drives, tmp_path, capsys):
    (drives / "a" / "scans" / "1.bin").unlink()
    (drives / "a" / "scans" / "1.bin").symlink_to("gone.bin")
    os.mkfifo(drives / "b" / "scans" / "2.bin")
    status, text, _ = run(
        capsys, "features", world / "pretrain", drives, "--output", tmp_path / "out", "--json"
    )
    reasons = {Path(one["scan"]).name: one["reason"] for one in json.loads(text)["failed"]}
    assert status == 2
    assert "does not exist" in reasons["1.bin"]
    assert "is a folder, a pipe or a device" in reasons["2.bin"]


def test_a_second_call_writes_only_what_is_missing(world, drives, tmp_path, capsys):
    out = tmp_path / "out"
    arguments = ("features", world / "pretrain", drives, "--output", out, "--skip-existing")
    run(capsys, *arguments)
    before = (out / "b" / "1.npy").stat().st_mtime_ns
    good = (drives / "b" / "scans" / "1.bin").read_bytes()
    (drives / "a" / "scans" / "1.bin").write_bytes(good)
    status, text, err = run(capsys, *arguments)
    assert status == 0, err
    assert "skipped     3 scans" in text
    assert "1 scans, 60 points" in text
    assert (out / "b" / "1.npy").stat().st_mtime_ns == before
    np.testing.assert_array_equal(np.load(out / "a" / "1.npy"), np.load(out / "b" / "1.npy"))
    status, text, err = run(capsys, *arguments)
    assert status == 0, err
    assert "skipped     4 scans" in text
    assert "skipped" not in json.loads(run(capsys, *arguments, "--json")[1])
    status, _, err = run(capsys, *arguments, "--overwrite")
    assert status == 2
    assert "contradict" in err


@pytest.mark.parametrize("command", ["features", "predict"])
def test_coloured_points_lie_beside_the_numbers(world, drives, tmp_path, capsys, command):
    source = drives / "b"
    model = world / ("pretrain" if command == "features" else "probe-backbone")
    out = tmp_path / "out"
    status, _, err = run(capsys, command, model, source, "--output", out, "--ply")
    assert status == 0, err
    shown = read_scan(out / "1.ply")
    scan = read_scan(source / "scans" / "1.bin")
    np.testing.assert_array_equal(shown.points, scan.points)
    colors = np.stack([shown.columns[name] for name in ("red", "green", "blue")], axis=1)
    numbers = np.load(out / "1.npy").reshape(60, -1)
    rows, index = np.unique(numbers, axis=0, return_inverse=True)
    for row in range(len(rows)):  # equal features, equal colours
        assert len(np.unique(colors[index.ravel() == row], axis=0)) == 1
    assert len(np.unique(colors, axis=0)) > 1 or len(rows) == 1


def test_a_call_that_goes_on_paints_as_the_first_one(world, drives, tmp_path, capsys):
    out = tmp_path / "out"
    arguments = ("features", world / "pretrain", drives / "b", "--output", out, "--ply")
    run(capsys, *arguments, "--dtype", "float32")
    before = (out / "1.ply").read_bytes()
    (out / "1.npy").unlink()
    (out / "1.ply").unlink()
    status, _, err = run(capsys, *arguments, "--dtype", "float32", "--skip-existing")
    assert status == 0, err
    assert (out / "1.ply").read_bytes() == before
