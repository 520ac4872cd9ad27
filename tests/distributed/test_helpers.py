import multiprocessing
import os
import signal
import time

import pytest

from lidistill.distributed.helpers import helper_processes
from lidistill.errors import RunStoppedError


class StopError(Exception):
    pass


@pytest.fixture(autouse=True)
def _no_process_is_left():
    """Those of tests before, whose errors pytest keeps, may still be there."""
    before = set(multiprocessing.active_children())
    yield
    assert set(multiprocessing.active_children()) <= before


def test_helpers_leave_ctrl_c_to_the_process_that_has_started_them_and_end_with_its_work():
    with helper_processes(2) as helpers:
        assert helpers.submit(signal.getsignal, signal.SIGINT).result() == signal.SIG_IGN
        assert helpers.submit(os.getppid).result() == os.getpid()


def interrupted(seconds):
    with helper_processes(1) as helpers:
        sleeping = helpers.submit(time.sleep, seconds)
        while not sleeping.running():
            time.sleep(0.01)
        raise StopError


def test_an_error_of_the_caller_ends_what_helpers_are_busy_with():
    with pytest.raises(StopError):
        interrupted(600)


def killed():
    with helper_processes(1) as helpers:
        helpers.submit(os._exit, 9).result()


def test_a_helper_that_is_killed_is_one_line():
    with pytest.raises(RunStoppedError, match="same command goes on") as stopped:
        killed()
    assert "\n" not in str(stopped.value)
