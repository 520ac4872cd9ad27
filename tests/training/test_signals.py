import datetime
import os
import signal
import time

import torch.distributed as dist

from lidistill.training import signals
from lidistill.training.signals import StopSignals


def hung():
    """A forked process that waits for another one, in C++, and says when it begins to."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            with StopSignals():
                os.write(writer, b"!")
                dist.HashStore().wait(["never"], datetime.timedelta(minutes=1))
        finally:
            os._exit(1)
    os.read(reader, 1)
    os.close(reader)
    os.close(writer)
    return pid


def test_a_second_signal_ends_a_process_that_hangs(monkeypatch):
    monkeypatch.setattr(signals, "TOGETHER_S", 0.0)
    pid = hung()
    deadline = time.monotonic() + 30
    ended, status = 0, 0
    while not ended and time.monotonic() < deadline:
        os.kill(pid, signal.SIGTERM)
        ended, status = os.waitpid(pid, os.WNOHANG)
    assert os.waitstatus_to_exitcode(status) == 143


def test_one_request_that_comes_twice_is_one():
    with StopSignals() as noticed:
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGINT)
    assert noticed.received == signal.SIGTERM


def test_everything_is_as_before_afterwards():
    before = [signal.getsignal(number) for number in signals.EXIT_STATUS]
    with StopSignals():
        signal.raise_signal(signal.SIGUSR1)
    assert [signal.getsignal(number) for number in signals.EXIT_STATUS] == before
    assert signal.set_wakeup_fd(-1) == -1


def test_under_nohup_a_closed_terminal_stops_nothing():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with StopSignals() as noticed:
            signal.raise_signal(signal.SIGHUP)
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)
    assert noticed.received is None
