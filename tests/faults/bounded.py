"""A function in a process of its own that may take no more than what hostile files are allowed."""

import multiprocessing
import os
import resource
import sys
import time
from pathlib import Path

_MEBIBYTES = 512
_SECONDS = 10


def bounded(function, *arguments):
    """What a function returns or the text of what it raises.

    Fails beyond 512 MB of memory above what there was before, or 10 s of processor time.
    """
    context = multiprocessing.get_context("fork")
    answers = context.SimpleQueue()

    def run():
        sys.settrace(None)  # coverage takes several times what the function does
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        limit = pages * resource.getpagesize() + _MEBIBYTES * 2**20
        resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
        resource.setrlimit(resource.RLIMIT_CPU, (_SECONDS, _SECONDS))
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        try:
            answer = function(*arguments)
        except Exception as error:  # noqa: BLE001  the test looks at it
            answer = f"{type(error).__name__}: {error}"
        grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
        answers.put((str(answer), grown / 1024, time.process_time()))

    process = context.Process(target=run)
    process.start()
    process.join()
    assert process.exitcode == 0, f"ended with {process.exitcode}"
    answer, grown, seconds = answers.get()
    assert grown < _MEBIBYTES, f"{grown} MB"
    assert seconds < _SECONDS, f"{seconds} s"
    return answer


def write_sparse(file: Path) -> None:
    """A file of 20 GiB that takes no space on the disk."""
    file.touch()
    os.truncate(file, 20 * 2**30)
