"""Runs of several processes under torchrun, which starts them again when one is killed."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from faults.trials import Tally, World, difference, finish, losses, start

_MARK = "LIDISTILL_FAULT_TRIAL"
_PATIENCE = 30.0  # seconds without progress that count as a hang, beyond what a start takes

_ROUNDING = 3e-6
"""Two processes add up in another order than one. AdamW makes a whole step of a gradient that is
nearly zero, as that of a probe's shift is at its beginning, and so makes more of its last bits."""


def torchrun(arguments: list[str], *, ranks: int, restarts: int = 0) -> list[str]:
    """Command that runs ours in several processes of this machine."""
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    launcher += [f"--nproc-per-node={ranks}", f"--max-restarts={restarts}", "--monitor-interval=1"]
    return [*launcher, "-m", "lidistill", *arguments]


def environment(mark: str) -> dict[str, str]:
    """Variables of a trial: one thread, and a mark by which its processes are found."""
    return os.environ | {"OMP_NUM_THREADS": "1", _MARK: mark}


def killed_rank(world: World, count: int, rng: np.random.Generator) -> Tally:
    """Kill -9 one of two ranks; torchrun starts both again from the last save."""
    tally = Tally("kill -9 one of two ranks")
    undisturbed = world.folder / "two-ranks"
    command = torchrun(world.arguments(undisturbed), ranks=2)
    subprocess.run(command, env=environment("undisturbed"), check=True, capture_output=True)
    for tally.trials in range(1, count + 1):
        _killed(world, undisturbed, tally, rng, workers=0)
    return tally


def killed_worker(world: World, count: int, rng: np.random.Generator) -> Tally:
    """Kill -9 a data worker; torchrun starts the run again from the last save."""
    tally = Tally("kill -9 a data worker")
    for tally.trials in range(1, count + 1):
        _killed(world, world.reference, tally, rng, workers=2)
    return tally


def _killed(
    world: World, undisturbed: Path, tally: Tally, rng: np.random.Generator, *, workers: int
) -> None:
    """Kill one of two ranks, or with workers one of those, and wait for the end."""
    ranks = 1 if workers else 2
    run = world.folder / "ranks"
    shutil.rmtree(run, ignore_errors=True)
    mark = f"{os.getpid()}-{tally.fault}-{tally.trials}".replace(" ", "_")
    arguments = world.arguments(run, f"data.workers={workers}")
    command = torchrun(arguments, ranks=ranks, restarts=3)
    began = time.monotonic()
    output = (world.folder / "torchrun.txt").open("wb")
    process = subprocess.Popen(command, env=environment(mark), stdout=output, stderr=output)
    _await_steps(run, int(rng.integers(1, 4)), process)
    startup = time.monotonic() - began
    os.kill(_victim(mark, rng, worker=workers > 0), signal.SIGKILL)
    done, killed_at = len(losses(run)), time.monotonic()
    while process.poll() is None and len(losses(run)) <= done:
        _wait()
    pause = time.monotonic() - killed_at
    tally.most("seconds until the next new step", pause)
    tally.most("seconds that a start takes", startup)
    tally.check(good=pause <= _PATIENCE + startup, otherwise=f"{pause:.0f} s without a step")
    status = process.wait(timeout=600)
    output.close()
    tally.check(good=status == 0, otherwise=f"torchrun ended with {status}")
    left = [pid for pid, _ in processes_of(mark)]
    tally.check(good=not left, otherwise=f"orphans: {left}")
    gap = difference(run, undisturbed) if status == 0 else float("inf")
    tally.most("largest difference", gap)
    tally.check(good=gap == 0, otherwise=f"differs by {gap}")


def _wait() -> None:
    time.sleep(0.05)


def _await_steps(run: Path, steps: int, process: subprocess.Popen[bytes]) -> None:
    log = run / "log.jsonl"
    while not (log.is_file() and len(losses(run)) >= steps):
        assert process.poll() is None, "the run ended before its time"
        _wait()


def processes_of(mark: str) -> Iterator[tuple[int, dict[str, str]]]:
    """Processes of a trial with their environments, the launcher among them."""
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        try:
            pairs = (folder / "environ").read_bytes().decode(errors="replace").split("\0")
        except OSError:  # it has just ended, or is another user's
            continue
        variables = dict(pair.partition("=")[::2] for pair in pairs)
        if variables.get(_MARK) == mark:
            yield int(folder.name), variables


def _victim(mark: str, rng: np.random.Generator, *, worker: bool) -> int:
    ranks = {pid for pid, variables in processes_of(mark) if "RANK" in variables}
    workers = {pid for pid in ranks if parent_of(pid) in ranks}
    return int(rng.choice(sorted(workers if worker else ranks - workers)))


def parent_of(pid: int) -> int:
    """Process id of a process's parent; 0 where it has just ended."""
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return 0


def two_as_one(world: World, commands: dict[str, list[str]]) -> Tally:
    """Two ranks against one process with the same total batch.

    Args:
        world: Where the runs go.
        commands: For each task the command's arguments without ``output``; later ones may use
            ``{folder}``, where the runs of the earlier ones lie.
    """
    tally = Tally("two gloo ranks against one process, same total batch")
    folders = [world.folder / name for name in ("one", "two")]
    for tally.trials, (task, arguments) in enumerate(commands.items(), start=1):
        for folder in folders:
            own = [word.format(folder=folder) for word in arguments] + [f"output={folder / task}"]
            if folder.name == "one":
                status, text = finish(start(own))
            else:
                done = subprocess.run(
                    torchrun(own, ranks=2), env=environment(task), capture_output=True, check=False
                )
                status, text = done.returncode, done.stderr.decode(errors="replace")
            tally.check(good=status == 0, otherwise=f"{task} in {folder.name}: {text[-500:]}")
        gap = difference(folders[0] / task, folders[1] / task)
        tally.facts[f"largest difference, {task}"] = gap
        tally.check(good=gap <= _ROUNDING, otherwise=f"{task} differs by {gap}")
        results = [folder / task / "results.json" for folder in folders]
        if results[0].is_file():
            counts = [_counts(path) for path in results]
            tally.check(good=counts[0] == counts[1], otherwise=f"{task}: other counts")
    return tally


def _counts(results: Path) -> object:
    import json  # noqa: PLC0415

    record = json.loads(results.read_text())
    return record["confusion"], record["confusion_seen"], record["groups"]
