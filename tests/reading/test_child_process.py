import os
import signal
import time
from multiprocessing import get_context

import pytest

from lidistill.reading import child_process
from lidistill.reading.child_process import run_in_child


def script(folder, text):
    path = folder / "script.py"
    path.write_text(f"import os, sys\n{text}\n", encoding="utf-8")
    return path


def test_what_a_script_writes_comes_back(tmp_path):
    path = script(tmp_path, "sys.stdout.buffer.write(' '.join(sys.argv[1:]).encode() * 100_000)")
    assert run_in_child(path, "Straße", "b") == "Straße b".encode() * 100_000


def test_it_sees_the_packages_of_this_process(tmp_path, monkeypatch):
    (tmp_path / "extra").mkdir()
    (tmp_path / "extra" / "only_here.py").write_text("VALUE = 7")
    monkeypatch.syspath_prepend(str(tmp_path / "extra"))
    path = script(tmp_path, "import only_here; sys.stdout.write(str(only_here.VALUE))")
    assert run_in_child(path) == b"7"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("os.abort()", f"ended by signal {signal.SIGABRT.value}"),
        ("os.kill(os.getpid(), 11)", f"ended by signal {signal.SIGSEGV.value}"),
        ("sys.exit('no such thing')", "^no such thing$"),
        ("os._exit(3)", "ended with status 3"),
        ("raise ValueError('x\\x1b[31m' + 'y' * 10**6)", "y{100}$"),
        ("print('half'); sys.stdout.flush(); raise SystemExit(2)", "ended with status 2"),
    ],
)
def test_however_it_ends_is_one_short_line(tmp_path, text, said):
    with pytest.raises(ValueError, match=said) as caught:
        run_in_child(script(tmp_path, text))
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 250


@pytest.mark.skipif(not hasattr(signal, "SIGXCPU"), reason="no bounds of the system")
def test_memory_and_time_are_bounded(tmp_path, monkeypatch):
    with pytest.raises(ValueError, match="MemoryError"):
        run_in_child(script(tmp_path, "bytearray(2**30)"))
    monkeypatch.setattr(child_process, "_CPU", 1)
    with pytest.raises(ValueError, match="ended by signal"):
        run_in_child(script(tmp_path, "while True: pass"))
    monkeypatch.setattr(child_process, "_CLOCK", 0.3)
    start = time.monotonic()
    with pytest.raises(ValueError, match=r"had not finished after 0\.3 s"):
        run_in_child(script(tmp_path, "import time; time.sleep(100)"))
    assert time.monotonic() - start < 20


def _abort(path):
    try:
        run_in_child(path)
    except ValueError:
        os._exit(9)


def test_a_daemonic_worker_may_call_it_and_outlives_it(tmp_path):
    path = script(tmp_path, "os.abort()")
    worker = get_context("fork").Process(target=_abort, args=(path,), daemon=True)
    worker.start()
    worker.join(timeout=60)
    assert worker.exitcode == 9
