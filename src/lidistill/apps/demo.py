"""The first run of a newcomer: simulate drives, distil, probe, and show what came out."""

import contextlib
import logging
import os
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import torch

from lidistill.apps.compile_ahead import compile_ahead
from lidistill.apps.demo_recipes import ROWS, row_recipe, street_of, student_recipe
from lidistill.apps.pretrain import run_pretrain
from lidistill.distill.recipe import PretrainRecipe
from lidistill.distributed.helpers import helper_processes
from lidistill.distributed.launcher import launched_world_size
from lidistill.figures.charts import iou_bars
from lidistill.segment.recipe import FinetuneRecipe, ProbeRecipe
from lidistill.segment.report import ScoredRun, train_and_score
from lidistill.sim import SimulationConfig, simulate
from lidistill.training.checkpoint import has_checkpoint
from lidistill.training.progress import ProgressBar

logger = logging.getLogger(__name__)

_APART: Final = ("random", "from scratch", "teacher")
"""Rows that need nothing of the distillation, in the order in which a second process makes them:
the teacher's last, when the distillation has cached most of what it says."""
_STAGES: Final = 2 + len(ROWS)
_DISTILLING: Final = "distilling images into lidar, on the training drives"


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoResult:
    """What the demo has to show."""

    results: tuple[ScoredRun, ...]
    """Scores of ``ROWS``, in this order."""
    figures: tuple[Path, ...]
    """All that were drawn."""
    showpieces: dict[str, Path]
    """The figures to look at first, by what they show."""


def run_demo(
    output: Path,
    *,
    workers: int = 2,
    simulation: SimulationConfig | None = None,
    overrides: dict[str, tuple[str, ...]] | None = None,
) -> DemoResult:
    """Simulate two sensors, distil, probe and train from scratch with the ``debug`` recipes.

    Args:
        output: Folder for the drives, the runs and the figures; a second call continues.
        workers: Processes that simulate. With more than one, on a machine with several cores, two
            learn at the same time: one distils, the other makes the rows that need no distillation.
            A script must then guard its entry by ``__name__``.
        simulation: What to simulate; the demo's own three drives where None.
        overrides: Changes to the recipes, by their names (``pretrain/debug``, ``probe/debug``,
            ``finetune/debug``).
    """
    changes = overrides or {}
    config = simulation or SimulationConfig(frames=8, column_step=2)
    student = student_recipe(output, changes.get("pretrain/debug", ()))
    rows = {
        row: row_recipe(student, output, row, changes.get(name, ()))
        for row, (name, _) in ROWS.items()
    }
    with _second_process(workers) as second:
        _say(1, "simulating drives")
        compiling = None
        if second is not None and not has_checkpoint(student.output):
            compiling = second.submit(compile_ahead, student)
        _simulate(street_of(output), config, workers)
        if compiling is not None:
            compiling.result()  # else both processes would compile what is missing
        drawn, scored = _learn(student, rows, second)
    bars = output / "comparison.png"
    evaluations = {result.name: result.evaluation for result in scored.values()}
    names = evaluations["random"].class_names
    iou_bars({name: e.scores.iou for name, e in evaluations.items()}, names, bars)
    showpieces = {
        "scores": bars,
        "image, teacher and student": _first(drawn, "-front.png"),
        "what is alike to one point": _first(drawn, "-correlation.png"),
    }
    figures = (bars, *drawn, *(figure for result in scored.values() for figure in result.figures))
    return DemoResult(results=tuple(scored.values()), figures=figures, showpieces=showpieces)


def _simulate(street: Path, config: SimulationConfig, workers: int) -> None:
    total = (config.train_drives + config.val_drives) * config.frames
    with ProgressBar("simulating", total=total) as bar:
        simulate(street, config, workers=workers, progress=lambda n, _: bar.to(n))


@contextlib.contextmanager
def _second_process(workers: int) -> Iterator[ProcessPoolExecutor | None]:
    """A process beside this one, each with half of PyTorch's threads; none where it cannot help."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    if workers == 1 or cores == 1 or launched_world_size() > 1:
        yield None
        return
    threads = torch.get_num_threads()
    torch.set_num_threads(max(1, threads // 2))
    try:
        with helper_processes(1) as helper:
            yield helper
    finally:
        torch.set_num_threads(threads)


def _learn(
    student: PretrainRecipe,
    rows: dict[str, ProbeRecipe | FinetuneRecipe],
    second: ProcessPoolExecutor | None,
) -> tuple[list[Path], dict[str, ScoredRun]]:
    """Distil, and learn from labels: figures of the features, and the scored rows, in order."""
    what = "learning from labels and scoring:"
    if second is None:
        _say(2, _DISTILLING)
        drawn, scored = list(run_pretrain(student).figures), {}
        for number, (row, recipe) in enumerate(rows.items(), start=3):
            _say(number, f"{what} {row}")
            scored[row] = train_and_score(recipe)
        return drawn, scored
    apart = second.submit(_score_all, [rows[row] for row in _APART], torch.get_num_threads())
    _say(2, _DISTILLING)
    _say(f"3 to {_STAGES - 1}", f"meanwhile, in a second process: {what} {', '.join(_APART)}")
    drawn = list(run_pretrain(student).figures)
    _say(_STAGES, f"{what} distilled")
    scored = {"distilled": train_and_score(rows["distilled"])}
    scored |= dict(zip(_APART, apart.result(), strict=True))
    return drawn, {row: scored[row] for row in rows}


def _score_all(recipes: list[ProbeRecipe | FinetuneRecipe], threads: int) -> list[ScoredRun]:
    """One after the other, in a process of its own."""
    torch.set_num_threads(threads)
    return [train_and_score(recipe) for recipe in recipes]


def _say(stage: int | str, what: str) -> None:
    logger.info("%s of %d: %s", stage, _STAGES, what)


def _first(figures: list[Path], ending: str) -> Path:
    return next(figure for figure in figures if figure.name.endswith(ending))
