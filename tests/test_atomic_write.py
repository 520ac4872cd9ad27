import os
import signal
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from lidistill.atomic_write import replace_text, replacing


def write_stream(side):
    with side.open("wb") as stream:
        stream.write(b"new")


@pytest.mark.parametrize("umask", [0o022, 0o077, 0o002])
@pytest.mark.parametrize(
    "write", [write_stream, lambda side: save_file({"a": torch.zeros(1)}, side)], ids=["own", "st"]
)
def test_files_have_the_permissions_of_any_new_file(tmp_path, umask, write):
    before = os.umask(umask)
    try:
        with replacing(tmp_path / "a.bin") as side:
            write(side)
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "a.bin").stat().st_mode) == 0o666 & ~umask


def test_what_fails_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "a.txt"
    replace_text(path, "old")
    with pytest.raises(KeyError), replacing(path) as side:  # noqa: PT012  it fails half-way
        side.write_text("half")
        raise KeyError
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_many_writers_of_one_path_leave_one_whole_file(tmp_path):
    path, failed = tmp_path / "a.txt", []
    sides = set()

    def write(number):
        try:
            for _ in range(20):
                with replacing(path) as side:
                    sides.add(side)
                    side.write_text(str(number) * 1000)
        except OSError as error:
            failed.append(error)

    writers = [threading.Thread(target=write, args=(number,)) for number in range(8)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert not failed
    assert len(sides) == 160
    text = path.read_text()
    assert text == text[0] * 1000
    assert list(tmp_path.iterdir()) == [path]


WRITER = """
import sys, time
from pathlib import Path
from lidistill.atomic_write import replacing
with replacing(Path(sys.argv[1])) as side:
    print(side, flush=True)
    time.sleep(60)
"""


def test_what_a_killed_process_has_left_goes_and_what_another_writes_stays(tmp_path):
    command = [sys.executable, "-c", WRITER, tmp_path / "a.bin"]
    writers = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    sides = [Path(writer.stdout.readline().strip()) for writer in writers]
    foreign = tmp_path / f".writing-{'0' * 16}-{writers[0].pid}-{'0' * 32}.bin"  # of a machine
    folder = tmp_path / f"{sides[0].name}.d"
    old = tmp_path / f".writing-{'0' * 32}.bin"
    try:
        foreign.touch()
        old.touch()
        folder.mkdir()
        writers[0].send_signal(signal.SIGKILL)
        writers[0].wait()
        assert all(side.is_file() for side in sides)
        replace_text(tmp_path / "b.txt", "text")
    finally:
        for writer in writers:
            writer.kill()
            writer.communicate()
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {"b.txt", sides[1].name, foreign.name, folder.name, old.name}
