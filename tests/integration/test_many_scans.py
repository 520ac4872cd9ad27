import json
import os
import signal
import subprocess
import time

import numpy as np
import pytest
from fakes.command import run
from fakes.runs import pretrain_values, write_world
from fakes.scan_writers import WRITERS, cloud
from faults.ranks import environment, processes_of, torchrun

from lidistill.apps import feature_units
from lidistill.distill.run import pretrain
from lidistill.errors import require
from lidistill.recipes import apply_overrides

datasets, parquet = (require(f"pyarrow.{name}", extra="fleet") for name in ("dataset", "parquet"))


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A distilled network, two drives of scans, and one scan that cannot be read."""
    folder = tmp_path_factory.mktemp("many")
    write_world(folder)
    pretrain(apply_overrides(pretrain_values(folder), ("train.steps=1",), source="tiny"))
    for number in range(7):
        drive = folder / "drives" / f"drive{number // 4}" / "scans"
        drive.mkdir(parents=True, exist_ok=True)
        table = cloud(50 + number, seed=number)
        table["z"] = np.clip(table["z"], -5, 5)
        table["z"][3] = 400  # out of sight
        (drive / f"{number:03d}.bin").write_bytes(WRITERS[".bin"](table))
    (folder / "drives" / "drive1" / "scans" / "bad.bin").write_bytes(b"123")
    return folder


@pytest.fixture(autouse=True)
def _small_tables(monkeypatch):
    monkeypatch.setattr(feature_units, "SCANS_PER_TABLE", 3)


def features(world, output, capsys, *options):
    arguments = (world / "pretrain", world / "drives", "--output", output, *options)
    return run(capsys, "features", *arguments)


def bytes_of(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_a_table_holds_what_files_of_their_own_hold(world, tmp_path, capsys):
    status, _, err = features(world, tmp_path / "npy", capsys)
    assert status == 2
    assert "1 of 8 scans could not be used" in err
    status, out, err = features(world, tmp_path / "tables", capsys, "--format", "parquet")
    assert status == 2
    assert "7 scans, 371 points, features of 8 channels" in out
    assert "1 of 8 scans could not be used" in err
    assert sorted(bytes_of(tmp_path / "tables")) == [
        "drive0/part-00000.parquet",
        "drive0/part-00001.parquet",
        "drive1/part-00000.parquet",
        "drive1/part-00001.parquet",
    ]
    table = datasets.dataset(tmp_path / "tables").to_table()
    scans, points = np.array(table["scan"].to_pylist()), table["point"].to_numpy()
    rows = table["feature"].combine_chunks().flatten().to_numpy().reshape(len(points), -1)
    for file in (tmp_path / "npy").rglob("*.npy"):
        name = file.relative_to(tmp_path / "npy").with_suffix("").as_posix()
        own = scans == name
        np.testing.assert_array_equal(points[own], np.arange(own.sum()))
        expected = np.load(file)
        assert rows.dtype == expected.dtype == np.float16
        np.testing.assert_array_equal(rows[own], expected)
        assert np.isnan(rows[own][3]).all()
    assert len(set(scans)) == 7


def test_one_scan_is_one_row_group(world, tmp_path, capsys):
    features(world, tmp_path / "out", capsys, "--format", "parquet")
    file = parquet.ParquetFile(tmp_path / "out" / "drive0" / "part-00000.parquet")
    groups = [file.read_row_group(i, columns=["scan"]) for i in range(file.num_row_groups)]
    names = [group["scan"].to_pylist() for group in groups]
    assert [set(own) for own in names] == [{f"drive0/00{i}"} for i in range(3)]
    assert [len(own) for own in names] == [50, 51, 52]


def test_a_call_that_goes_on_computes_nothing_twice(world, tmp_path, capsys):
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    options = ("--format", "parquet", "--skip-existing", "--json")
    for folder in (whole, cut):
        features(world, folder, capsys, *options)
    (cut / "drive0" / "part-00001.parquet").unlink()
    stays = (cut / "drive0" / "part-00000.parquet").stat().st_mtime_ns
    status, out, err = features(world, cut, capsys, *options)
    assert status == 2
    assert "earlier call; delete" in err
    record = json.loads(out[out.index("{") :])
    assert [one["scan"].rsplit("/", 1)[1] for one in record["scans"]] == ["003.bin"]
    assert [one["scan"].rsplit("/", 1)[1] for one in record["failed"]] == ["bad.bin"]
    assert (cut / "drive0" / "part-00000.parquet").stat().st_mtime_ns == stays
    assert bytes_of(cut) == bytes_of(whole)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("--dtype", "float32"), "has dtype 'float16', this call 'float32'"),
        (("--head",), "has features 'backbone', this call 'head'"),
    ],
)
def test_features_of_two_kinds_do_not_go_into_one_data_set(world, tmp_path, capsys, change, words):
    options = ("--format", "parquet", "--skip-existing")
    features(world, tmp_path, capsys, *options)
    status, _, err = features(world, tmp_path, capsys, *options, *change)
    assert status == 2
    assert words in err


def test_scans_that_were_added_are_not_taken_for_done(world, tmp_path, capsys):
    options = ("--output", tmp_path / "out", "--format", "parquet", "--skip-existing")
    scans = sorted((world / "drives" / "drive0" / "scans").iterdir())
    run(capsys, "features", world / "pretrain", *scans[:2], *options)
    status, _, err = run(capsys, "features", world / "pretrain", *scans[:3], *options)
    assert status == 2
    assert "part-00000.parquet holds other scans than it would now" in err
    (tmp_path / "out" / "part-00000.parquet").write_bytes(b"PAR1")
    status, _, err = run(capsys, "features", world / "pretrain", *scans[:2], *options)
    assert status == 2
    assert "is no output of this command" in err


@pytest.mark.parametrize("layout", ["npy", "parquet"])
def test_parts_together_are_the_whole_and_share_no_file(world, tmp_path, capsys, layout):
    features(world, tmp_path / "whole", capsys, "--format", layout)
    found = {}
    for number in (1, 2, 3):
        folder = tmp_path / str(number)
        features(world, folder, capsys, "--format", layout, "--part", f"{number}/3")
        own = bytes_of(folder)
        assert own
        assert not set(own) & set(found)
        found |= own
    assert found == bytes_of(tmp_path / "whole")


@pytest.mark.parametrize("part", ["0/3", "4/3", "3", "1/0", "a/b"])
def test_a_part_that_is_none_is_refused(world, tmp_path, capsys, part):
    status, _, err = features(world, tmp_path / "out", capsys, "--part", part)
    assert status == 2
    assert f"--part {part}: expected number/count" in err
    assert not (tmp_path / "out").exists()


def test_colours_need_one_process_and_files(world, tmp_path, capsys):
    for options in (("--part", "1/2"), ("--format", "parquet")):
        status, _, err = features(world, tmp_path / "out", capsys, "--ply", *options)
        assert status == 2
        assert "--ply: the first scan gives the colours of all" in err


@pytest.mark.slow
def test_two_processes_write_what_one_writes(world, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(feature_units, "SCANS_PER_TABLE", 16)  # as in processes of their own
    for layout in ("npy", "parquet"):
        one, two = tmp_path / f"one-{layout}", tmp_path / f"two-{layout}"
        features(world, one, capsys, "--format", layout)
        arguments = ["features", str(world / "pretrain"), str(world / "drives")]
        arguments += ["--output", str(two), "--format", layout, "--device", "cpu", "--json"]
        done = subprocess.run(
            torchrun(arguments, ranks=2), env=environment("many"), capture_output=True, check=False
        )
        assert b"1 of 8 scans could not be used" in done.stderr
        record = json.loads(done.stdout[done.stdout.index(b"{") :])
        assert len(record["scans"]) == 7  # by whomever: each once, and one process speaks for all
        assert len({scan["scan"] for scan in record["scans"]}) == 7
        assert len(record["failed"]) == 1
        assert bytes_of(two) == bytes_of(one)


@pytest.mark.slow
def test_a_killed_rank_is_started_again_and_the_files_are_the_same(
    world, tmp_path, capsys, monkeypatch
):
    monkeypatch.setattr(feature_units, "SCANS_PER_TABLE", 16)
    scans = tmp_path / "scans"
    for number in range(100):
        drive = scans / f"drive{number // 5:02d}"
        drive.mkdir(parents=True, exist_ok=True)
        (drive / f"{number:03d}.bin").write_bytes(WRITERS[".bin"](cloud(50, seed=number)))
    options = ["--format", "parquet", "--skip-existing", "--device", "cpu"]
    one, two = tmp_path / "one", tmp_path / "two"
    run(capsys, "features", world / "pretrain", scans, "--output", one, *options)
    arguments = ["features", str(world / "pretrain"), str(scans), "--output", str(two), *options]
    mark = f"{os.getpid()}-many"
    command = torchrun(arguments, ranks=2, restarts=3)
    process = subprocess.Popen(command, env=environment(mark), stderr=subprocess.PIPE)
    while len(list(two.glob("drive*/*"))) < 3:
        assert process.poll() is None, "it ended before its time"
        time.sleep(0.001)
    ranks = [pid for pid, variables in processes_of(mark) if "RANK" in variables]
    os.kill(ranks[-1], signal.SIGKILL)
    before = len(bytes_of(two))
    err = process.communicate()[1].decode()
    assert process.returncode == 0, err[-2000:]
    assert "SIGKILL" in err or "-9" in err
    assert before < len(bytes_of(one))
    assert bytes_of(two) == bytes_of(one)
