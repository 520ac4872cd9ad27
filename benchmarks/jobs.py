"""Commands of a benchmark, each in a process of its own with one thread, none run twice."""

import json
import os
import subprocess
import sys
import time
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class Job:
    """One command, and what must be done before it."""

    name: str
    command: tuple[str, ...]
    output: Path
    needs: tuple[str, ...] = field(default=())

    @property
    def done(self) -> bool:
        """Whether the run has written its last file."""
        return (self.output / "done.json").is_file()


def run_jobs(todo: list[Job], *, parallel: int) -> None:
    """Run what is not done yet: whenever a process is free, the first job that need not wait.

    Args:
        todo: The jobs; one that another needs stands before it.
        parallel: Processes at a time.
    """
    waiting, running, ended = list(todo), dict[Future[None], str](), set[str]()
    ours = {job.name for job in todo}
    with ThreadPoolExecutor(parallel) as pool:
        while waiting or running:
            ready = [job for job in waiting if not (set(job.needs) & ours) - ended]
            for job in ready[: parallel - len(running)]:
                running[pool.submit(_run, job)] = job.name
                waiting.remove(job)
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                future.result()
                ended.add(running.pop(future))


def _run(job: Job) -> None:
    """Run a job, and remember how long it took."""
    lacking = [n for n in job.needs if not (job.output.parent / n / "done.json").is_file()]
    if lacking:
        raise SystemExit(f"{job.name} needs {lacking[0]}, which is not done; run its part, too.")
    if not job.done:
        job.output.mkdir(parents=True, exist_ok=True)
        started = time.monotonic()
        with (job.output / "output.txt").open("w", encoding="utf-8") as log:
            command = [sys.executable, "-m", "lidistill", *job.command]
            one_thread = os.environ | {"OMP_NUM_THREADS": "1"}
            subprocess.run(command, check=True, stdout=log, stderr=log, env=one_thread)  # noqa: S603
        record = {"command": ["lidistill", *job.command], "seconds": time.monotonic() - started}
        (job.output / "done.json").write_text(json.dumps(record), encoding="utf-8")
    print(f"{time.strftime('%H:%M:%S')} {job.name}", flush=True)
