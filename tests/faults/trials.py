"""Runs that are hit by faults: killed, stopped, out of space; and what must be left of them.

A trial runs the command line in a forked process, so that nothing is imported twice.
"""

import os
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from fakes.runs import pretrain_values, write_world

from lidistill import cli
from lidistill.apps import pretrain as pretrain_job
from lidistill.training.checkpoint import load_checkpoint
from lidistill.training.run_files import read_log

STEPS = 20


@dataclass
class Tally:
    """What became of the trials of one fault."""

    fault: str
    trials: int = 0
    failures: list[str] = field(default_factory=list)
    facts: dict[str, float] = field(default_factory=dict)

    def check(self, *, good: bool, otherwise: str) -> None:
        """Note a failure unless all is well."""
        if not good:
            self.failures.append(f"trial {self.trials}: {otherwise}")

    def most(self, name: str, value: float) -> None:
        """Keep the largest value of a fact."""
        self.facts[name] = max(self.facts.get(name, value), value)

    def count(self, name: str) -> None:
        """Count how often something was seen."""
        self.facts[name] = self.facts.get(name, 0) + 1


@dataclass(frozen=True)
class World:
    """A tiny data set with a recipe, and what its undisturbed run looks like."""

    folder: Path
    seconds: float
    """Of the undisturbed run."""

    @property
    def recipe(self) -> Path:
        """Recipe file."""
        return self.folder / "run.yaml"

    @property
    def reference(self) -> Path:
        """Run folder of the undisturbed run."""
        return self.folder / "reference"

    def arguments(self, run: Path, *overrides: str) -> list[str]:
        """Arguments of the command that trains into a run folder."""
        return ["pretrain", str(self.recipe), f"output={run}", *overrides]


def build_world(folder: Path, *, steps: int = STEPS, every: int = 1) -> World:
    """Write data and recipe, and run it once without a fault."""
    write_world(folder)
    values = pretrain_values(folder)
    values["train"] |= {"steps": steps, "checkpoint_every": every, "keep_checkpoints": 3}
    values["train"] |= {"batch_size": 2, "micro_batch": 1}
    (folder / "run.yaml").write_text(yaml.safe_dump(values))
    world = World(folder, 0.0)
    # Once in this process, so that a forked one finds all its modules imported.
    cli.main(world.arguments(folder / "warm", "train.steps=1"))
    started = time.monotonic()
    status, text = finish(start(world.arguments(world.reference)))
    assert status == 0, text
    return World(folder, time.monotonic() - started)


@dataclass(frozen=True)
class Started:
    """A forked process, and the file its output goes to."""

    pid: int
    output: Path


def start(arguments: list[str], before: Callable[[], Any] | None = None) -> Started:
    """Run the command line in a forked process, after something that is done there first."""
    name = f"lidistill-fault-{os.getpid()}-{time.monotonic_ns()}.txt"
    output = Path(tempfile.gettempdir()) / name
    pid = os.fork()
    if pid:
        return Started(pid, output)
    status = 1
    try:
        descriptor = os.open(output, os.O_WRONLY | os.O_CREAT, 0o600)
        os.dup2(descriptor, 1)
        os.dup2(descriptor, 2)
        sys.stderr = os.fdopen(2, "w", buffering=1)
        sys.stdout = os.fdopen(1, "w", buffering=1)
        torch.set_num_threads(1)
        # The loss curve is no part of what is tried, and drawing takes longer than the training.
        setattr(pretrain_job, "loss_curve", _draw_nothing)  # noqa: B010  of another module
        if before is not None:
            before()
        cli.main(arguments)
        status = 0
    except SystemExit as leave:
        status = int(leave.code or 0)
    except BaseException:  # noqa: BLE001  the parent reads it
        traceback.print_exc()
    finally:
        os._exit(status)


def _draw_nothing(records: Any, path: Path) -> None:
    del records, path


def finish(process: Started) -> tuple[int, str]:
    """Wait for a process: its exit status, negative for a signal, and its output."""
    status = os.waitstatus_to_exitcode(os.waitpid(process.pid, 0)[1])
    text = process.output.read_text(errors="replace") if process.output.exists() else ""
    process.output.unlink(missing_ok=True)
    return status, text


def losses(run: Path) -> list[float]:
    """Losses of a run, step by step."""
    return [record["loss"] for record in read_log(run / "log.jsonl")]


def difference(one: Path, other: Path) -> float:
    """Largest difference of two runs in losses, weights and optimiser; infinite if one is short."""
    first, second = losses(one), losses(other)
    if len(first) != len(second):
        return float("inf")
    worst = max(abs(a - b) for a, b in zip(first, second, strict=True))
    states = [load_checkpoint(run) for run in (one, other)]
    tensors = [dict(_flat((state.weights, state.training_state()))) for state in states]
    if tensors[0].keys() != tensors[1].keys():
        return float("inf")
    for name, x in tensors[0].items():
        gap = np.abs(np.asarray(x, np.float64) - np.asarray(tensors[1][name], np.float64))
        worst = max(worst, float(gap.max(initial=0.0)))
    return worst


def _flat(state: Any, name: str = "") -> Any:
    if isinstance(state, dict):
        state = list(state.items())
    elif isinstance(state, list | tuple):
        state = list(enumerate(state))
    else:
        yield name, state if isinstance(state, torch.Tensor) else float(state or 0)
        return
    for key, value in state:
        yield from _flat(value, f"{name}/{key}")


def survey(run: Path) -> tuple[int, int]:
    """Newest saved step, and how many checkpoints cannot be read."""
    newest, unreadable = 0, 0
    for folder in sorted((run / "checkpoints").glob("step-*")):
        try:
            checkpoint = load_checkpoint(folder)
            checkpoint.training_state()
            newest = checkpoint.step
        except Exception:  # noqa: BLE001  whatever it is, it is counted
            unreadable += 1
    return newest, unreadable


def resumes(world: World, run: Path, tally: Tally) -> None:
    """The same command goes on to the undisturbed run's end."""
    status, text = finish(start(world.arguments(run)))
    tally.check(good=status == 0, otherwise=f"resume ended with {status}: {text[-300:]}")
    if status == 0:
        gap = difference(run, world.reference)
        tally.most("largest difference after resume", gap)
        tally.check(good=gap == 0, otherwise=f"differs by {gap} after resume")
    shutil.rmtree(run, ignore_errors=True)


def killed(world: World, count: int, rng: np.random.Generator) -> Tally:
    """Kill -9 at random moments, with a checkpoint every step; then resume."""
    tally = Tally("kill -9 at random moments, a save every step")
    for tally.trials in range(1, count + 1):
        run = world.folder / "killed"
        process = start(world.arguments(run))
        time.sleep(rng.uniform(0, world.seconds))
        os.kill(process.pid, signal.SIGKILL)
        finish(process)
        saved, unreadable = survey(run)
        done = len(read_log(run / "log.jsonl")) if (run / "log.jsonl").is_file() else 0
        tally.check(good=not unreadable, otherwise=f"{unreadable} unreadable checkpoints")
        tally.most("steps lost, at most", done - saved)
        tally.check(good=done - saved <= 1, otherwise=f"{done} steps done, {saved} saved")
        resumes(world, run, tally)
    return tally


def stopped(world: World, count: int, rng: np.random.Generator) -> Tally:
    """SIGTERM at random moments; then resume."""
    tally = Tally("SIGTERM at random moments")
    for tally.trials in range(1, count + 1):
        run = world.folder / "stopped"
        process = start(world.arguments(run, "train.checkpoint_every=1000"))
        time.sleep(rng.uniform(0, world.seconds))
        asked = time.monotonic()
        os.kill(process.pid, signal.SIGTERM)
        status, text = finish(process)
        tally.most("seconds until saved and gone", time.monotonic() - asked)
        tally.check(good=time.monotonic() - asked <= 5, otherwise="took longer than 5 s")
        saved, unreadable = survey(run)
        done = len(read_log(run / "log.jsonl")) if (run / "log.jsonl").is_file() else 0
        tally.check(good=not unreadable, otherwise="unreadable checkpoint")
        tally.most("steps lost, at most", done - saved)
        tally.check(good=done - saved <= 1, otherwise=f"{done} steps done, {saved} saved")
        tally.count({143: "saved", 0: "at its end"}.get(status, "before its first step"))
        known = status in {143, -15, 0}
        tally.check(good=known, otherwise=f"ended with {status}: {text[-300:]}")
        resumes(world, run, tally)
    return tally


def resumed(world: World, every: int, workers: tuple[int, ...]) -> Tally:
    """Cut at every so manieth step, with other numbers of workers, and compare to the end."""
    tally = Tally(f"resume at every {every}th step, workers {workers}")
    steps = len(losses(world.reference))
    whole = world.folder / "whole"
    keep = ("train.keep_checkpoints=10000", f"train.checkpoint_every={every}")
    status, text = finish(start(world.arguments(whole, *keep)))
    tally.check(good=status == 0, otherwise=text[-300:])
    for cut in range(every, steps + 1, every):
        for number in workers:
            tally.trials += 1
            run = world.folder / "resumed"
            name = f"step-{cut:08d}"
            shutil.copytree(whole / "checkpoints" / name, run / "checkpoints" / name)
            shutil.copy(whole / "log.jsonl", run / "log.jsonl")
            arguments = world.arguments(run, f"data.workers={number}")
            status, text = finish(start(arguments))
            tally.check(good=status == 0, otherwise=text[-300:])
            gap = difference(run, whole)
            tally.most("largest difference", gap)
            tally.check(good=gap == 0, otherwise=f"cut at {cut}, {number} workers: {gap}")
            shutil.rmtree(run)
    return tally
