import base64
import gzip
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import urllib.request

import numpy as np
import pytest
from fakes.folder import write_folder

from lidistill.cli import main
from lidistill.cli.demo import _write_page


def manifest_of(page):
    found = re.search('data-name="manifest">([^<]*)<', page.read_text())
    return json.loads(gzip.decompress(base64.b64decode(found[1])))


def run(capsys, *words):
    main([str(word) for word in ("view", *words)])
    return capsys.readouterr().out


def refused(capsys, *words):
    with pytest.raises(SystemExit) as end:
        run(capsys, *words)
    assert end.value.code == 2
    line = capsys.readouterr().err.strip().splitlines()[-1]
    assert line.startswith("error: ")
    return line


@pytest.fixture
def scans(tmp_path):
    rng = np.random.default_rng(0)
    for drive in ("a", "b"):
        folder = tmp_path / "mine" / drive / "scans"
        folder.mkdir(parents=True)
        for number in range(3):
            points = rng.uniform(3, 20, (60, 4)).astype(np.float32)
            points.tofile(folder / f"{number:03}.bin")
    return tmp_path / "mine"


def test_two_runs_stand_side_by_side_on_own_scans(world, scans, tmp_path, capsys):
    page = tmp_path / "look.html"
    runs = (world / "pretrain", world / "probe-backbone")
    words = (*runs, scans, "--export", page, "--max-frames", 2, "--json")
    answer = json.loads(run(capsys, *words))
    assert answer["page"] == str(page)
    told = manifest_of(page)
    assert [one["name"] for one in told["models"]] == ["pretrain", "probe-backbone"]
    assert [(f["id"], f["drive"]) for f in told["frames"]] == [("a/000", "a"), ("b/002", "b")]
    nothing = {"save_labels": False, "save_head": False, "query": None}
    assert told["capabilities"] == nothing


def test_a_run_alone_shows_its_own_data(world, tmp_path, capsys):
    out = run(capsys, world / "probe-backbone", "--export", tmp_path / "page", "--drive", "001")
    assert "opens in a browser" in out
    assert (tmp_path / "page" / "data" / "predictions" / "0" / "3.js").is_file()
    assert not (tmp_path / "page" / "data" / "frame" / "4.js").exists()


def test_a_data_set_is_shown_without_any_network(world, tmp_path, capsys):
    page = tmp_path / "a.html"
    frame = "001/02/pandar64"
    run(capsys, world / "set", "--export", page, "--sensor", "pandar64", "--frames", frame)
    told = manifest_of(page)
    assert [one["id"] for one in told["frames"]] == [frame]
    assert told["models"] == []
    assert told["classes"] is not None


def test_two_runs_are_shown_where_they_differ_most(world, tmp_path, capsys):
    page = tmp_path / "a.html"
    runs = (world / "pretrain", world / "probe-backbone")
    run(capsys, *runs, "--export", page, "--most-different", "--max-frames", 2)
    assert len(manifest_of(page)["frames"]) == 2
    assert "give two" in refused(capsys, runs[0], "--most-different")


def test_a_checked_data_set_is_shown_with_what_was_found(world, tmp_path, capsys):
    page = tmp_path / "a.html"
    root = shutil.copytree(world / "set", tmp_path / "set")
    broken = root / "001" / "camera" / "front_camera" / "02.jpg"
    broken.write_bytes(broken.read_bytes()[:-200])
    words = ("data", "check", root, "--output", tmp_path / "out", "--export", page)
    with pytest.raises(SystemExit) as end:
        main([str(word) for word in words])
    assert end.value.code == 2  # an image cannot be read
    assert f"page        {page}" in capsys.readouterr().out
    told = manifest_of(page)
    texts = [(one["severity"], one["text"]) for one in told["findings"]]
    assert any(severity == "warning" and "02.jpg" in text for severity, text in texts)
    assert told["title"].startswith("set, ")
    names = re.findall('data-name="(image/[^"]*)"', page.read_text())
    assert names == ["image/0/0", "image/1/0", "image/3/0"]


def test_a_check_and_its_page_are_one_json_object(world, tmp_path, capsys):
    page = tmp_path / "a.html"
    words = ("data", "check", world / "set", "--output", tmp_path / "out", "--json")
    main([str(word) for word in (*words, "--export", page)])
    answer = json.loads(capsys.readouterr().out)
    assert answer["page"] == str(page)
    main([str(word) for word in words])
    assert json.loads(capsys.readouterr().out).keys() == answer.keys() - {"page", "megabytes"}


@pytest.mark.parametrize(
    ("options", "line"),
    [
        (("--view", "--export", "a.html"), "give one of them"),
        (("--sensor", "pandar64"), "give --view or --export, too"),
        (("--overwrite",), "give --view or --export, too"),
    ],
)
def test_a_check_without_a_page_takes_no_options_of_one(world, tmp_path, capsys, options, line):
    words = ("data", "check", world / "set", "--output", tmp_path / "out", *options)
    with pytest.raises(SystemExit) as end:
        main([str(word) for word in words])
    assert end.value.code == 2
    assert line in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("options", "line"),
    [
        (("--max-frames", 0), "--max-frames 0: expected 1 or more"),
        (("--frames", "a/000", "--drive", "b"), "--drive has no say"),
        (("--frames", "a/000", "a/001", "--max-frames", 1), "--max-frames has no say"),
        (("--overwrite",), "give --export with it"),
        (("--export", "a.html", "--port", 8000), "--export starts none"),
        (("--text", "partner", "--export", "a.html"), "give a run of `lidistill pretrain`"),
    ],
)
def test_options_that_would_be_left_aside_are_refused(scans, capsys, options, line):
    assert line in refused(capsys, scans, *options)


def test_a_data_set_says_itself_where_its_intensity_is(world, tmp_path, capsys):
    options = ("--export", tmp_path / "a.html", "--intensity", "none")
    assert "this is a data set" in refused(capsys, world / "set", *options)


def test_frames_that_cannot_be_read_are_left_out_and_named(scans, tmp_path, capsys, caplog):
    (scans / "a" / "scans" / "001.bin").write_bytes(b"abc")
    page = tmp_path / "a.html"
    run(capsys, scans, "--export", page)
    ids = [one["id"] for one in manifest_of(page)["frames"]]
    assert ids == ["a/000", "a/002", "b/000", "b/001", "b/002"]
    for file in scans.rglob("*.bin"):
        file.write_bytes(b"abc")
    assert "001.bin" in refused(capsys, scans / "a" / "scans" / "001.bin")


def test_a_scan_out_of_a_networks_view_is_shown_without_features(world, scans, tmp_path, capsys):
    far = np.full((5, 4), 300, np.float32)
    far.tofile(scans / "a" / "scans" / "001.bin")
    page = tmp_path / "a.html"
    runs = (world / "pretrain", world / "probe-backbone")
    main(["view", *map(str, (*runs, scans)), "--most-different", "--export", str(page)])
    assert "no features of a/001: none of the 5 points lies inside" in capsys.readouterr().err
    shown = {one["id"]: one["num_points"] for one in manifest_of(page)["frames"]}
    assert shown["a/001"] == 5
    for file in scans.rglob("*.bin"):
        far.tofile(file)
    assert "none of the 5 points lies inside" in refused(capsys, world / "pretrain", scans)


def test_own_recordings_show_the_columns_of_their_scans(tmp_path, capsys):
    root = tmp_path / "mine"
    write_folder(root)
    page = tmp_path / "a.html"
    run(capsys, root, "--export", page)
    told = manifest_of(page)["frames"][0]
    assert told["columns"] == ["intensity", "ring", "time", "class"]
    assert [image["view"] for image in told["images"]] == ["back", "front"]


def test_the_demo_ends_with_a_page_of_three_networks(world, tmp_path):
    for name, source in {
        "pretrain": "pretrain", "distilled": "probe-backbone", "random": "probe-backbone"
    }.items():  # fmt: skip
        shutil.copytree(world / source, tmp_path / name)
    page = _write_page(tmp_path)
    assert page == tmp_path / "view.html"
    told = manifest_of(page)
    assert [one["name"] for one in told["models"]] == ["distilled", "probe", "random"]
    assert _write_page(tmp_path) == page


def test_what_cannot_be_shown_is_one_line(world, scans, tmp_path, capsys):
    assert "nothing to look at" in refused(capsys)
    assert "does not exist" in refused(capsys, tmp_path / "none")
    (tmp_path / "empty").mkdir()
    assert "no scan" in refused(capsys, tmp_path / "empty")
    assert "knows no data" in refused(capsys, world / "vit")
    assert "did you mean '001'" in refused(capsys, world / "set", "--drive", "01")
    assert "unknown frame" in refused(capsys, scans, "--frames", "x")
    assert "--max-frames" in refused(capsys, scans, "--max-frames", "-1")
    assert "give it alone" in refused(capsys, world / "set", scans)
    assert "unknown sensor" in refused(capsys, world / "set", "--sensor", "velodyne")
    assert "--port" in refused(capsys, scans, "--port", "70000")
    (tmp_path / "x.html").write_text("mine")
    assert "--overwrite" in refused(capsys, scans, "--export", tmp_path / "x.html")
    assert (tmp_path / "x.html").read_text() == "mine"


def test_classes_that_were_marked_are_predicted(content, world, scans, tmp_path, capsys):
    basis = content.head(0, "backbone")
    weights = [[0.0] * basis["dims"], [1.0] * basis["dims"]]
    head = basis | {"classes": ["other", "pole"], "weights": weights, "bias": [0.0, 0.0]}
    (tmp_path / "pole.head.json").write_text(json.dumps(head))
    words = ("predict", world / "pretrain", scans, "--output", tmp_path / "out")
    main([str(word) for word in (*words, "--head", tmp_path / "pole.head.json")])
    assert "2 classes" in capsys.readouterr().out
    found = np.load(tmp_path / "out" / "b" / "002.npy")
    assert set(found.tolist()) <= {0, 1, 255}
    assert "pole" in (tmp_path / "out" / "labels.yaml").read_text()
    with pytest.raises(SystemExit):
        main([str(word) for word in (*words, "--overwrite")])
    assert "--head FILE" in capsys.readouterr().err


@pytest.mark.slow
def test_the_server_prints_its_address_and_ends_with_ctrl_c(scans, page):
    code = (
        "import sys; from pathlib import Path; import lidistill.viewer.page as p; "
        f"p.BUILT = Path({str(page)!r}); from lidistill.cli import main; main(sys.argv[1:])"
    )
    words = [sys.executable, "-c", code, "view", str(scans), "--json"]
    # As in a user's shell: output that nobody flushes stays in Python's buffer.
    shell = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    with subprocess.Popen(
        words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=shell
    ) as process:
        text = b""
        while b"}" not in text:
            part = process.stdout.read1()
            assert part, process.stderr.read().decode()
            text += part
        address = json.loads(text)["address"]
        assert address.startswith("http://127.0.0.1:")
        with urllib.request.urlopen(address + "manifest", timeout=20) as answer:  # noqa: S310
            assert len(json.load(answer)["frames"]) == 6
        begin = time.monotonic()
        process.send_signal(signal.SIGINT)
        process.wait(timeout=20)
        assert time.monotonic() - begin < 15
        assert b"Traceback" not in process.stderr.read()
    assert process.returncode in {0, 130}
