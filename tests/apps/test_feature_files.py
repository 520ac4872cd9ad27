"""One output for every scan: the next scan is read ahead, and nothing else depends on it."""

import threading

import numpy as np
import pytest

from lidistill.apps.feature_files import Computed, Failed, ScanWork, Written, write_outputs
from lidistill.apps.prepared_scan import PreparedScan
from lidistill.apps.scan_jobs import Job
from lidistill.errors import FileFormatError

POINTS = 50


@pytest.fixture
def jobs(tmp_path):
    """Four scans, of which the second is none."""
    for number in range(4):
        np.save(tmp_path / f"{number}.npy", np.full((POINTS, 4), number + 1.0, np.float32))
    (tmp_path / "1.npy").write_bytes(b"none")
    out = tmp_path / "out"
    return [Job(scan=tmp_path / f"{n}.npy", file=out / f"{n}.npy") for n in range(4)]


def prepared(points, intensity):
    assert intensity is None
    return PreparedScan(points=points, row=np.arange(len(points)), sample=None)


def heights(scan, intensity):
    return scan.points[:, 2:]


def test_the_next_scan_is_prepared_while_the_present_one_is_computed(jobs):
    begun = {height: threading.Event() for height in (1.0, 3.0, 4.0)}
    last = threading.Event()
    last.set()
    after = {1.0: last, 3.0: begun[4.0], 4.0: last}  # the first is followed by one that is damaged
    threads = set()

    def prepare(points, intensity):
        threads.add(threading.current_thread())
        begun[float(points[0, 2])].set()
        return prepared(points, intensity)

    def compute(scan, intensity):
        assert after[float(scan.points[0, 2])].wait(20)
        threads.discard(threading.current_thread())
        return heights(scan, intensity)

    found = list(ScanWork(compute=compute, prepare=prepare, intensity="none").on(jobs))
    assert [type(one) for one in found] == [Computed, Failed, Computed, Computed]
    assert str(jobs[1].scan) in found[1].reason
    assert [one.output[0, 0] for one in found if isinstance(one, Computed)] == [1, 3, 4]
    assert len(threads) == 1


@pytest.mark.parametrize("stage", ["prepare", "compute"])
def test_a_scan_that_cannot_be_used_is_named_and_the_others_are_written(jobs, stage):
    def refuse(points, intensity):
        height = points.points if isinstance(points, PreparedScan) else points
        if height[0, 2] == 3:
            msg = "too high"
            raise FileFormatError(msg)
        return {"prepare": prepared, "compute": heights}[stage](points, intensity)

    parts = {"prepare": prepared, "compute": heights} | {stage: refuse}
    found = list(write_outputs(ScanWork(**parts, intensity="none"), jobs))
    assert [type(one) for one in found] == [Written, Failed, Failed, Written]
    assert found[2].reason == f"scan {jobs[2].scan}: too high"
    assert [job.file.exists() for job in jobs] == [True, False, False, True]
    np.testing.assert_array_equal(np.load(jobs[3].file), np.full((POINTS, 1), 4))
