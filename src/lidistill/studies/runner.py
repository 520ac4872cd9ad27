"""All cells of a study on one machine, each in a process of its own, some at a time."""

import contextlib
import json
import logging
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import torch

from lidistill.atomic_write import one_at_a_time, replace_text
from lidistill.distributed.parent_process import STOP_SIGNALS
from lidistill.errors import DatasetNotFoundError
from lidistill.sim import SimulationConfig, simulate
from lidistill.studies.cells import failure_of, last_lines, note_failure, run_cell, state_of
from lidistill.studies.names import LOG
from lidistill.studies.plan import Cell, Plan
from lidistill.training.signals import StopSignals, stopped_by

PARENT: Final = "LIDISTILL_STUDY"
"""Environment variable with the process id of the study that a cell ends with."""
_POLL_S: Final = 0.2
_SIMULATION_S: Final = 4 * 3600.0

logger = logging.getLogger(__name__)


@dataclass(slots=True, kw_only=True)
class Outcome:
    """What became of the cells that were not done."""

    failed: dict[str, list[str]] = field(default_factory=dict)
    """Cells that could not be finished, with the last lines that they printed."""
    elsewhere: list[str] = field(default_factory=list)
    """Cells that another process was running."""


def prepare(plan: Plan, *, workers: int = 1) -> None:
    """Simulate the drives that the study's benchmarks ask for, where that is not done.

    Processes that come at the same time wait for the first one.
    """
    for config, root in _simulated(plan):
        root.parent.mkdir(parents=True, exist_ok=True)
        done, wanted = root.with_name(f".{root.name}.simulated"), json.dumps(config.recorded())
        with one_at_a_time(root.with_name(f".{root.name}.lock"), patience=_SIMULATION_S):
            if root.is_dir() and done.is_file() and done.read_text("utf-8") == wanted:
                continue
            logger.info("simulating drives of %s into %s", config.format, root)
            simulate(root, config, workers=workers)
            replace_text(done, wanted)


def _simulated(plan: Plan) -> Iterator[tuple[SimulationConfig, Path]]:
    """What is simulated first, and where it will lie."""
    for benchmark in plan.study.benchmarks.values():
        for config in benchmark.simulate:
            root = benchmark.roots.get(config.format, plan.study.output / "data" / config.format)
            yield config, root


def _check_data(plan: Plan) -> None:
    """See to it that the data of all cells are there, before the first one takes its time.

    Raises:
        DatasetNotFoundError: If a folder is missing that is not simulated first.
    """
    there = {root for _, root in _simulated(plan)}
    for variant in plan.variants:
        names = (name for by_seed in variant.cells.values() for name in by_seed.values())
        for cell in (plan.cells[name] for name in names):
            for one in cell.data_sets() if state_of(cell) != "done" else ():
                if one.root not in there and not one.root.is_dir():
                    msg = (
                        f"there is no folder {one.root} for the data set {one.kind} of the "
                        f"benchmark {variant.benchmark}; say where it lies: "
                        f"benchmarks.{variant.benchmark}.roots.{one.kind}=/data/{one.kind}"
                    )
                    raise DatasetNotFoundError(msg)
                there.add(one.root)


def run_one(plan: Plan, cell: Cell) -> None:
    """Run one cell in this process, as a Slurm array does.

    Raises:
        LidistillError: As its runs raise it.
    """
    prepare(plan)
    run_cell(cell)


def run_all(plan: Plan, words: Sequence[str], *, jobs: int) -> Outcome:
    """Run every cell that is not done, in the order of the plan; one that fails stops no other.

    Args:
        plan: All cells.
        words: Study and overrides as on the command line, for the processes of the cells.
        jobs: Processes at a time; cores are shared among them, and GPUs dealt out.

    Raises:
        DatasetNotFoundError: If data of a cell are nowhere; then none is begun.
        RunStoppedError: After a signal, once the cells have saved and ended.
    """
    _check_data(plan)
    prepare(plan, workers=jobs)
    queue = _Queue(plan)
    outcome, running = Outcome(), dict[int, _Running]()
    with StopSignals() as signals, _ended(running):
        while True:
            if signals.received is not None:
                raise stopped_by(signals.received, "the cells that ran have saved")
            for slot in (slot for slot in range(jobs) if slot not in running):
                if (cell := queue.next(alone=not running)) is not None:
                    running[slot] = _start(cell, words, slot=slot, jobs=jobs)
            if not running:
                outcome.elsewhere.extend(queue.elsewhere)
                return outcome
            for slot, one in list(running.items()):
                if one.process.poll() is not None:
                    del running[slot]
                    _note(one, outcome, queue.count())
            time.sleep(_POLL_S)


class _Queue:
    """Cells that wait to be run; those that another process runs are looked at again at the end.

    Args:
        plan: All cells.
    """

    def __init__(self, plan: Plan) -> None:
        self._waiting = [cell for cell in plan.cells.values() if state_of(cell) != "done"]
        self._later: list[Cell] = []
        self._total, self._ended = len(self._waiting), 0
        if done := len(plan.cells) - self._total:
            logger.info("%d of %d cells are done already", done, len(plan.cells))

    @property
    def elsewhere(self) -> list[str]:
        """Names of the cells that another process still runs."""
        return [cell.name for cell in self._later]

    def next(self, *, alone: bool) -> Cell | None:
        """A cell to start now; None where there is none.

        Args:
            alone: Whether no cell of this process runs, so that there is time to look again.
        """
        while self._waiting:
            cell = self._waiting.pop(0)
            state = state_of(cell)
            if state == "running":
                self._later.append(cell)
            elif state != "done":
                return cell
        for cell in self._later if alone else ():
            if state_of(cell) != "running":
                self._later.remove(cell)
                return cell
        return None

    def count(self) -> str:
        """Which cell it is that has just ended, of how many."""
        self._ended += 1
        return f"{self._ended} of {self._total}"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Running:
    cell: Cell
    process: subprocess.Popen[bytes]
    started: float


def _start(cell: Cell, words: Sequence[str], *, slot: int, jobs: int) -> _Running:
    cell.folder.mkdir(parents=True, exist_ok=True)
    logger.info("%s (%s) begins", cell.name, cell.label)
    command = [sys.executable, "-m", "lidistill", "study", *words, "--cell", cell.name]
    with (cell.folder / LOG).open("ab") as log:
        process = subprocess.Popen(  # noqa: S603  this package's own command
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=_environment(slot, jobs)
        )
    return _Running(cell=cell, process=process, started=time.monotonic())


def _environment(slot: int, jobs: int) -> dict[str, str]:
    """A fair share of cores, one GPU of several, and whom to end with."""
    share = str(max(1, (os.cpu_count() or 1) // jobs))
    shares = dict.fromkeys(("OMP_NUM_THREADS", "NUMBA_NUM_THREADS"), share)
    own = {PARENT: str(os.getpid())}
    if torch.cuda.device_count() > 1:
        count = torch.cuda.device_count()
        seen = os.environ.get("CUDA_VISIBLE_DEVICES", ",".join(map(str, range(count)))).split(",")
        own["CUDA_VISIBLE_DEVICES"] = seen[slot % count]
    return shares | dict(os.environ) | own


def _note(one: _Running, outcome: Outcome, count: str) -> None:
    """Say how a cell has ended."""
    cell, status = one.cell, one.process.returncode
    if state_of(cell) == "done":
        seconds = time.monotonic() - one.started
        logger.info("%s: %s (%s) is done, %.0f s", count, cell.name, cell.label, seconds)
        return
    if state_of(cell) == "running":
        outcome.elsewhere.append(cell.name)
        return
    lines = last_lines(cell.folder / LOG)
    outcome.failed[cell.name] = lines
    how = f"signal {-status}" if status < 0 else f"status {status}"
    if not failure_of(cell):
        last = "".join(f": {line}" for line in lines[-1:])
        note_failure(cell, f"its process ended with {how}{last}.")
    log = cell.folder / LOG
    tail = "\n  ".join(["", *lines])
    logger.error("%s: %s (%s) failed, %s; %s ends:%s", count, cell.name, cell.label, how, log, tail)


@contextlib.contextmanager
def _ended(running: dict[int, _Running]) -> Iterator[None]:
    """No process is left behind, whatever ends the loop: each is asked to save, and waited for."""
    try:
        yield
    finally:
        for one in running.values():
            with contextlib.suppress(ProcessLookupError):
                one.process.send_signal(STOP_SIGNALS[0])
        for one in running.values():
            one.process.wait()
