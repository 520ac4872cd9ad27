"""Options that a command would leave aside are refused, before anything is read."""

import pytest
from fakes.command import run

BOXES = "none are; give {}, too"


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (("features", "RUN", "a.bin", "--output", "out", "--components", 3), "is for bags"),
        (
            ("predict", "RUN", "a.bag", "--output", "out.mcap", "--format", "npy"),
            "written as .mcap",
        ),
        (
            ("predict", "RUN", "a.bin", "--output", "out", "--boxes", "b.yaml"),
            BOXES.format("--instances"),
        ),
        (("evaluate", "RUN", "--neighbors", 8), BOXES.format("--panoptic")),
        (("submission", "RUN", "out", "--split"), BOXES.format("--panoptic")),
        (("index", "RUN", "data", "--output", "i", "--split"), BOXES.format("--objects class")),
        (("corrupt", ".", "out", "root=/data/other"), "the root is the first argument"),
        (("simulate", "out", "=3"), "expected key=value"),
    ],
)
def test_it_is_one_line_that_says_what_to_do(tmp_path, capsys, monkeypatch, words, line):
    monkeypatch.chdir(tmp_path)
    status, out, err = run(capsys, *words)
    assert (status, out) == (2, "")
    assert line in err
    assert err.count("\n") == 1
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("command", ["predict", "discover"])
def test_scans_that_nobody_deals_out_are_not_done_twice(tmp_path, capsys, monkeypatch, command):
    monkeypatch.setenv("WORLD_SIZE", "2")
    status, _, err = run(capsys, command, "RUN", "a.bin", "--output", tmp_path / "out")
    assert (status, "call it without torchrun" in err) == (2, True)


@pytest.mark.parametrize("flag", ["-h", "--help"])
def test_help_may_stand_before_the_command(capsys, flag):
    for words in ((flag, "data", "check"), (flag, "recipes")):
        status, out, _ = run(capsys, *words)
        assert status == 0
        assert f"usage: lidistill {' '.join(words[1:])} " in out
    assert run(capsys, flag, "data")[:2] == run(capsys, "data", flag)[:2]


def test_a_scan_of_a_drive_may_be_called_as_the_table_of_objects_is(tmp_path, capsys):
    for folder, clashes in ((tmp_path / "drives" / "a", False), (tmp_path / "drives", True)):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "features.bin").write_bytes(bytes(16))
        words = ("discover", "RUN", tmp_path / "drives", "--output", tmp_path / "out")
        status, _, err = run(capsys, *words)
        assert status == 2  # if not for the name, then since there is no such run
        assert ("rename the scan" in err) == clashes
        (folder / "features.bin").unlink()
