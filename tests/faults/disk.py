"""Runs whose disk takes no more: full, read-only, or with a limit on the size of a file."""

import os
import resource
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from faults.trials import Tally, World, finish, resumes, start, survey


def small_files(world: World, count: int, rng: np.random.Generator) -> Tally:
    """A limit on the size of files, somewhere below that of a checkpoint; then without it."""
    tally = Tally("limit on the size of a file")
    for tally.trials in range(1, count + 1):
        run = _half_run(world, "limited")
        limit = int(rng.integers(1, 40_000))
        lower = (resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
        _fails_clearly(world, run, tally, lambda lower=lower: resource.setrlimit(*lower))
        resumes(world, run, tally)
    return tally


def _half_run(world: World, name: str) -> Path:
    """A run folder that was cut at the oldest checkpoint that the undisturbed run has kept."""
    run = world.folder / name
    shutil.rmtree(run, ignore_errors=True)
    shutil.copytree(world.reference, run)
    for newer in sorted((run / "checkpoints").glob("step-*"))[1:]:
        shutil.rmtree(newer)
    return run


def _fails_clearly(
    world: World, run: Path, tally: Tally, before: Callable[[], Any] | None = None
) -> None:
    saved, _ = survey(run)
    status, text = finish(start(world.arguments(run), before))
    still, unreadable = survey(run)
    tally.check(good=status == 2 and "error: " in text, otherwise=f"{status}: {text[-300:]}")
    tally.check(good="Traceback" not in text, otherwise=f"no clear message: {text[-300:]}")
    tally.check(good=still >= saved and not unreadable, otherwise="the old checkpoint is gone")


def full_disk(world: World, disk: Path, count: int, rng: np.random.Generator) -> Tally:
    """A file system with some kilobytes left; then with room again."""
    tally = Tally("disk full")
    for tally.trials in range(1, count + 1):
        run = disk / "run"
        shutil.rmtree(run, ignore_errors=True)
        shutil.copytree(_half_run(world, "half"), run)
        free = os.statvfs(disk).f_bavail * os.statvfs(disk).f_frsize
        filler = disk / "filler"
        filler.write_bytes(b"x" * max(0, free - int(rng.integers(0, 60_000))))
        _fails_clearly(world, run, tally)
        filler.unlink()
        resumes(world, run, tally)
    return tally


def read_only(world: World, disk: Path, remount: Callable[[str], object], count: int) -> Tally:
    """A file system that has become read-only; then writable again."""
    tally = Tally("read-only file system")
    for tally.trials in range(1, count + 1):
        run = disk / "run"
        shutil.rmtree(run, ignore_errors=True)
        shutil.copytree(_half_run(world, "half"), run)
        remount("ro")
        _fails_clearly(world, run, tally)
        remount("rw")
        resumes(world, run, tally)
    return tally


@contextmanager
def small_disk() -> Iterator[tuple[Path, Callable[[str], object]] | None]:
    """A file system of a few megabytes, and how to mount it anew; None where that is forbidden.

    Its folder is outside of pytest's: what a killed test leaves mounted must not stop pytest from
    tidying up.
    """
    folder = Path(tempfile.mkdtemp(prefix="lidistill-disk-"))

    def mount(*options: str) -> int:
        command = ["mount", *options, str(folder)]
        return subprocess.run(command, check=False, capture_output=True).returncode

    if mount("-t", "tmpfs", "-o", "size=8M", "none"):
        folder.rmdir()
        yield None
        return
    try:
        yield folder, lambda mode: mount("-o", f"remount,{mode}")
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)
        folder.rmdir()
