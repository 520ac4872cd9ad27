import errno
import fcntl
import multiprocessing
import os
import signal

import pytest

from lidistill.errors import TrainingError
from lidistill.training.run_lock import RunLock

FORK = multiprocessing.get_context("fork")


def hold(run, connection):
    with RunLock(run):
        connection.send("held")
        connection.poll(60)


@pytest.fixture
def held(tmp_path):
    ours, its = FORK.Pipe()
    process = FORK.Process(target=hold, args=(tmp_path, its))
    process.start()
    assert ours.recv() == "held"
    yield process
    process.kill()
    process.join()


def test_a_second_run_on_the_folder_is_refused_with_the_name_of_the_first(tmp_path, held):
    message = rf"in use by another run \(process {held.pid} on .*output=FOLDER"
    with pytest.raises(TrainingError, match=message), RunLock(tmp_path):
        pass


def test_a_killed_run_leaves_the_folder_free(tmp_path, held):
    held.kill()
    held.join()
    with RunLock(tmp_path):
        pass


def test_a_folder_is_taken_once_in_one_process_too(tmp_path):
    with RunLock(tmp_path):
        with pytest.raises(TrainingError, match="this process"), RunLock(tmp_path):
            pass
        child = os.fork()
        if child == 0:
            os._exit(0)  # a child that ends must not free its parent's lock
        os.waitpid(child, 0)
        taken = FORK.Process(target=exit_refused, args=(tmp_path,))
        taken.start()
        taken.join()
        assert taken.exitcode == 7
    with RunLock(tmp_path):
        pass


def exit_refused(run):
    try:
        with RunLock(run):
            os._exit(0)
    except TrainingError:
        os._exit(7)


def test_a_forked_worker_that_outlives_a_killed_run_does_not_keep_the_folder(tmp_path):
    ours, its = FORK.Pipe()
    run = FORK.Process(target=hold_and_fork, args=(tmp_path, its))
    run.start()
    worker = ours.recv()
    run.kill()
    run.join()
    try:
        with RunLock(tmp_path):
            os.kill(worker, 0)  # it is still there
    finally:
        os.kill(worker, signal.SIGKILL)


def hold_and_fork(run, connection):
    with RunLock(run):
        worker = os.fork()
        if worker == 0:
            signal.pause()
        connection.send(worker)
        signal.pause()


@pytest.mark.parametrize("number", [errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP])
def test_a_file_system_without_locks_is_an_error(tmp_path, monkeypatch, number):
    def missing(descriptor, operation):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", missing)
    with pytest.raises(TrainingError, match="has no locks"), RunLock(tmp_path):
        pass


def test_the_name_of_the_holder_outlives_those_that_are_refused(tmp_path, held):
    for _ in range(2):
        with pytest.raises(TrainingError, match=f"process {held.pid} on "), RunLock(tmp_path):
            pass
    held.kill()
    held.join()
    (tmp_path / ".lock").write_text("somebody with a longer name " * 9)
    with RunLock(tmp_path):
        assert (tmp_path / ".lock").read_text().startswith(f"process {os.getpid()} on ")
        assert "longer" not in (tmp_path / ".lock").read_text()
