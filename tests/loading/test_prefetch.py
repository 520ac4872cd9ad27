"""The next item is made by a thread, and nothing else changes."""

import subprocess
import sys
import threading
import weakref

import pytest

from lidistill.errors import FileFormatError
from lidistill.loading.prefetch import prefetch


class Thing:
    """Something whose end can be seen."""


def test_everything_comes_in_order_and_is_made_by_one_other_thread():
    makers = set()

    def make(number):
        makers.add(threading.current_thread().name)
        return number * number

    assert list(prefetch(make, range(20))) == [n * n for n in range(20)]
    assert len(makers) == 1
    assert threading.current_thread().name not in makers
    assert list(prefetch(make, ())) == []


def test_the_next_one_is_made_while_the_present_one_is_worked_on():
    begun = [threading.Event() for _ in range(5)]

    def make(number):
        begun[number].set()
        return number

    for number in prefetch(make, range(3)):
        assert number == 2 or begun[number + 1].wait(10)
        assert not begun[number + 2].is_set()


def test_no_more_than_one_waits():
    alive = weakref.WeakSet()
    most = 0

    def make(_):
        nonlocal most
        thing = Thing()
        alive.add(thing)
        most = max(most, len(alive))
        return thing

    for _ in prefetch(make, range(50)):
        pass
    # The caller's, the one that waits, and one that begins as the caller gives its own up.
    assert most <= 3


def test_an_error_comes_at_its_turn_and_ends_it():
    made, seen = [], []

    def make(number):
        made.append(number)
        if number == 2:
            msg = "scan 2 is damaged"
            raise FileFormatError(msg)
        return number

    with pytest.raises(FileFormatError, match="scan 2 is damaged"):
        seen.extend(prefetch(make, range(9)))
    assert made == [0, 1, 2]
    ahead = prefetch(make, range(9))
    assert [next(ahead), next(ahead)] == [0, 1]


def test_whoever_breaks_off_leaves_no_thread_behind():
    before = threading.active_count()
    for number in prefetch(lambda n: n, range(9)):
        if number == 1:
            break
    assert threading.active_count() == before


def test_ctrl_c_ends_the_process_as_without_a_thread():
    script = (
        "import os, signal, time\n"
        "from lidistill.loading.prefetch import prefetch\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # ignored in the background
        "for n in prefetch(lambda n: time.sleep(0.2) or n, range(1000)):\n"
        "    if n == 2: os.kill(os.getpid(), signal.SIGINT)\n"
    )
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, check=False, capture_output=True, timeout=60)
    assert done.returncode == -2
    assert b"KeyboardInterrupt" in done.stderr
