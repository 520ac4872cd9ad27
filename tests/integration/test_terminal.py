"""What commands print, whatever names files have and whatever the terminal can show."""

import logging
import os
import shlex
import subprocess
import sys

import pytest
from fakes.command import run
from fakes.folder import write_folder
from rich.table import Table

from lidistill.cli.output import OUT, start_logging
from lidistill.cli.terminal import command, grouped, override, visible
from lidistill.recipes import load_recipe

ESCAPE = "\x1b[2J\x1b]0;title\x07"
OLD_TERMINAL = {"LANG": "C", "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}


@pytest.mark.parametrize(
    ("text", "encoding", "shown"),
    [
        ("Straße 数据 ± 1", "utf-8", "Straße 数据 ± 1"),
        ("3 ± 1 → 5 × 4 …", "ascii", "3 +- 1 -> 5 x 4 ..."),
        ("Straße", "ascii", "Stra\\xdfe"),
        ("3 ± 1 – ü", "latin-1", "3 ± 1 - ü"),
        (f"a{ESCAPE}b\n\tc", "utf-8", "a\\x1b[2J\\x1b]0;title\\x07b\n\tc"),
        ("a\u202eb\x9b\x7f\r", "utf-8", "a\\u202eb\\x9b\\x7f\\x0d"),
        ("x\udce9y", "utf-8", "x\\xe9y"),
    ],
)
def test_nothing_that_a_terminal_obeys_or_lacks_is_printed(text, encoding, shown):
    assert visible(text, encoding) == shown
    shown.encode(encoding)


@pytest.mark.parametrize(
    "name", ["plain", "my data", "it's", "a # b", "x: y", "[z]", "~", "1", "ä=b", "$HOME `id`"]
)
def test_printed_commands_can_be_pasted(name):
    root = f"/data/{name}" if name not in {"~", "1"} else name
    words = shlex.split(command("lidistill", "pretrain", override("data.sets.0.root", root)))
    assert words[:2] == ["lidistill", "pretrain"]
    recipe = load_recipe("pretrain/own", words[2:])
    assert str(recipe.data.sets[0].root) == root


def test_lines_of_one_kind_are_grouped():
    lines = [
        f"image /a b/{i:06d}.png does not decode (cut off behind {i} bytes)" for i in range(200)
    ]
    other = "scan /a b/1.bin has 3 bytes"
    assert grouped([*lines, other]) == [f"{lines[0]} … and 199 more of the same kind", other]
    assert grouped([]) == []


def test_tables_texts_and_logs_hold_no_control_characters(capsys):
    start_logging(quiet=False)
    table = Table("name", ESCAPE)
    table.add_row(f"drive {ESCAPE}", "1 ± 2")
    OUT.print(table)
    OUT.print(f"root {ESCAPE}")
    logging.getLogger("lidistill").warning("left out %s", ESCAPE)
    printed = "".join(capsys.readouterr())
    assert "\x1b" not in printed
    assert "\x07" not in printed
    assert printed.count("x1b[2J") == 4


def test_names_of_files_never_reach_the_terminal_as_they_are(tmp_path, capsys):
    root = write_folder(tmp_path / f"data {ESCAPE}", drives=(f"drive {ESCAPE}",))
    scans = next(root.glob("*/scans"))
    (scans / f"000001{ESCAPE}.pcd").write_bytes(b"no scan")
    (scans / os.fsdecode(b"x\xe9y.txt")).write_text("")
    for arguments in (
        ["data", "check", root, "--output", tmp_path / "out"],
        ["data", "check", root / "nowhere"],
        ["data", "stats", root],
        [f"data{ESCAPE}"],
        ["data", "check", f"--{ESCAPE}"],
    ):
        status, out, err = run(capsys, *arguments)
        assert status == 2
        assert "\x1b" not in out + err
        assert "\udce9" not in out + err


@pytest.mark.slow
@pytest.mark.parametrize("way", [OLD_TERMINAL, {"PYTHONIOENCODING": "ascii"}], ids=["C", "ascii"])
def test_terminals_without_utf_8_see_every_command_end(tmp_path, way):
    root = write_folder(tmp_path / "Straße ±", drives=("Fahrt ü",))
    ended = {}
    for words in (
        ["data", "check", root, "--output", tmp_path / "größer"],
        ["data", "check", root / "nichts"],
        ["features", tmp_path / "läuft", root / "Fahrt ü" / "scans", "--output", tmp_path / "ö"],
    ):
        done = subprocess.run(
            [sys.executable, "-m", "lidistill", *map(str, words)],
            env=os.environ | way,
            capture_output=True,
            check=False,
        )
        assert b"Traceback" not in done.stderr
        done.stdout.decode("ascii")
        ended[str(words[-1])] = done
        expected = 2 if "nichts" in str(words[-1]) or words[0] == "features" else 0
        assert done.returncode == expected, done.stderr
    assert b"mean +- std" in ended[str(tmp_path / "größer")].stdout
