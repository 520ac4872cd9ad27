import multiprocessing
import os

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
    from lidistill.training import run_lock  # noqa: PLC0415  a fork shares what its parent holds

    run_lock._held.clear()
    try:
        with RunLock(run):
            os._exit(0)
    except TrainingError:
        os._exit(7)
