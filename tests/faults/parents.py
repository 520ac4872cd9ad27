"""Kills that hit a run from the side: its data workers while it saves, torchrun's agent."""

import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import numpy as np
from faults.ranks import environment, parent_of, processes_of, torchrun
from faults.trials import Tally, World, difference, finish, losses, resumes, start, survey

_LIMIT_S = 5.0  # until ranks without an agent are gone


def killed_worker_in_save(world: World, count: int, rng: np.random.Generator) -> Tally:
    """Kill -9 a data worker while a checkpoint is being written; then resume."""
    tally = Tally("kill -9 a data worker during a save")
    for tally.trials in range(1, count + 1):
        run = world.folder / "saving"
        process = start(world.arguments(run, "data.workers=2"))
        after = int(rng.integers(1, len(losses(world.reference)) - 2))
        side = run / "checkpoints" / f".writing-step-{after:08d}"
        while not side.is_dir():
            assert os.waitpid(process.pid, os.WNOHANG)[0] == 0, "the run ended before its time"
        os.kill(int(rng.choice(_children(process.pid))), signal.SIGKILL)
        saving = side.is_dir()
        if saving:
            tally.count("killed while the files were written")
        status, text = finish(process)
        told = status == 75 and "a data worker was killed" in text
        # On a busy machine the kill may come late: after the last batch it does no harm.
        late = status == 0 and not saving and difference(run, world.reference) == 0
        tally.check(good=told or late, otherwise=f"ended with {status}: {text[-300:]}")
        unreadable = survey(run)[1]
        tally.check(good=not unreadable, otherwise=f"{unreadable} unreadable checkpoints")
        resumes(world, run, tally)
    return tally


def _children(parent: int) -> list[int]:
    numbers = [int(folder.name) for folder in Path("/proc").iterdir() if folder.name.isdigit()]
    return [number for number in numbers if parent_of(number) == parent]


def killed_agent(world: World, count: int, rng: np.random.Generator) -> Tally:
    """Kill -9 the agent of torchrun; its ranks save and end, and the same command goes on."""
    tally = Tally("kill -9 torchrun's agent, two ranks")
    undisturbed, run = world.folder / "agent-reference", world.folder / "agent"
    command = torchrun(world.arguments(undisturbed), ranks=2)
    subprocess.run(command, env=environment("undisturbed"), check=True, capture_output=True)
    output = (world.folder / "torchrun.txt").open("wb")
    for tally.trials in range(1, count + 1):
        shutil.rmtree(run, ignore_errors=True)
        mark = f"{os.getpid()}-agent-{tally.trials}"
        command = torchrun(world.arguments(run, "train.checkpoint_every=1000"), ranks=2)
        agent = subprocess.Popen(command, env=environment(mark), stdout=output, stderr=output)
        steps = int(rng.integers(1, len(losses(world.reference)) // 2))
        while not (run / "log.jsonl").is_file() or len(losses(run)) < steps:
            assert agent.poll() is None, "the run ended before its time"
            time.sleep(0.01)
        agent.kill()
        agent.wait()
        killed_at = time.monotonic()
        while list(processes_of(mark)) and time.monotonic() < killed_at + 60:
            time.sleep(0.05)
        seconds = time.monotonic() - killed_at
        tally.most("seconds until all ranks are gone", seconds)
        tally.check(good=seconds <= _LIMIT_S, otherwise=f"orphans for {seconds:.0f} s")
        saved, unreadable = survey(run)
        tally.check(good=not unreadable, otherwise=f"{unreadable} unreadable checkpoints")
        tally.most("steps lost, at most", len(losses(run)) - saved)
        tally.check(good=saved == len(losses(run)), otherwise=f"{len(losses(run))} done, {saved}")
        again = torchrun(world.arguments(run), ranks=2)
        status = subprocess.run(again, env=environment(mark), check=False, stderr=output).returncode
        gap = difference(run, undisturbed) if status == 0 else float("inf")
        tally.most("largest difference after resume", gap)
        tally.check(good=gap == 0, otherwise=f"resume ended with {status}, differs by {gap}")
    output.close()
    return tally
