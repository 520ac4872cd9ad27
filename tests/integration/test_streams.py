"""Standard output that nobody reads, that is full, or that is not there; systems without locks."""

import contextlib
import os
import subprocess
import sys

import pytest
from fakes.runs import write_world

from lidistill.cli import COMMANDS, main


def read_by_nobody(capsys, *arguments):
    """Exit status and standard error of a command whose reader has gone, as after ``| head``."""
    reader, writer = os.pipe()
    os.close(reader)
    with (
        os.fdopen(writer, "w") as stream,
        contextlib.redirect_stdout(stream),
        pytest.raises(SystemExit) as stop,
    ):
        main([str(argument) for argument in arguments])
    return stop.value.code, capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [
        *("--version", "", "data", "recipes", "recipes --json", "recipes pretrain/own"),
        *(f"{name} --help" for name in COMMANDS),
    ],
)
def test_a_closed_pipe_ends_every_command_quietly_as_sigpipe_would(capsys, arguments):
    assert read_by_nobody(capsys, *arguments.split()) == (141, "")


def test_a_command_that_has_done_its_work_says_that_nobody_read_it(tmp_path, capsys):
    write_world(tmp_path)
    words = ("data", "check", tmp_path / "set", "--output", tmp_path / "look")
    status, text = read_by_nobody(capsys, *words)
    assert status == 141
    assert "error" not in text


def test_an_error_stays_an_error_though_nobody_reads_the_output(capsys):
    status, text = read_by_nobody(capsys, "recipes", "no/such")
    assert (status, text.count("\n")) == (2, 1)


def command(arguments, **streams):
    return subprocess.run(
        [sys.executable, "-m", "lidistill", *arguments], check=False, text=True, **streams
    )


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="a device of Linux")  # noqa: PTH110
def test_a_full_disk_behind_the_output_is_one_line():
    with open("/dev/full", "w") as full:  # noqa: PTH123
        done = command(["--version"], stdout=full, stderr=subprocess.PIPE)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "No space left on device" in done.stderr


def test_closed_streams_are_no_error():
    shut = "import os, sys; os.close(1); os.close(2); os.execv(sys.executable, sys.argv[1:])"
    words = [sys.executable, "-m", "lidistill", "--version"]
    assert subprocess.run([sys.executable, "-c", shut, *words], check=False).returncode == 0


_WINDOWS = """
import os
import sys

sys.modules["fcntl"] = sys.modules["resource"] = None
del os.O_NONBLOCK
import lidistill
{action}
"""


def on_windows(action):
    """What a Python says and ends with that has none of what Windows lacks."""
    script = _WINDOWS.format(action=action)
    return subprocess.run(
        [sys.executable, "-c", script], check=False, text=True, capture_output=True
    )


@pytest.mark.parametrize("words", [["recipes", "pretrain/own"], ["features", "x"], ["demo"]])
def test_another_system_is_one_line_that_names_those_that_do(words):
    done = on_windows(f"from lidistill.cli import main; main({words})")
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert done.stderr.startswith("error: lidistill runs on Linux and macOS")


def test_on_another_system_the_package_and_its_networks_can_be_imported():
    modules = "lidistill.apps.features, lidistill.apps.pretrain, lidistill.loading.loader"
    done = on_windows(f"import {modules}; from lidistill.cli import main; main(['--version'])")
    assert (done.returncode, done.stderr) == (0, "")
    load = on_windows("lidistill.load")
    assert "UnsupportedSystemError: lidistill runs on Linux and macOS" in load.stderr
