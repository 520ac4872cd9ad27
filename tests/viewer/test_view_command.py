import base64
import gzip
import json
import re
import signal
import subprocess
import sys
import time
import urllib.request

import numpy as np
import pytest

from lidistill.cli import main


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
    assert told["capabilities"] == {"save_labels": False, "save_head": False}


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


def test_what_cannot_be_shown_is_one_line(world, scans, tmp_path, capsys):
    assert "nothing to look at" in refused(capsys)
    assert "does not exist" in refused(capsys, tmp_path / "none")
    assert "no scan" in refused(capsys, world / "vit")
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
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        text = b""
        while b"}" not in text:
            text += process.stdout.read1()
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
