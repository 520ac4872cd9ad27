"""The first run of a newcomer: simulate drives, distil, probe, and show what came out."""

import json
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from lidistill.apps.compile_ahead import compile_ahead
from lidistill.apps.pretrain import run_pretrain
from lidistill.distill.recipe import PretrainRecipe
from lidistill.distributed.helpers import helper_processes
from lidistill.figures.charts import iou_bars
from lidistill.recipes import load_recipe
from lidistill.segment.recipe import FinetuneRecipe, ProbeRecipe
from lidistill.segment.report import ScoredRun, train_and_score
from lidistill.sim import SimulationConfig, simulate
from lidistill.training.checkpoint import has_checkpoint
from lidistill.training.progress import ProgressBar

logger = logging.getLogger(__name__)

_ROWS: Final = {
    "random": ("probe/debug", "random"),
    "teacher": ("probe/debug", "teacher"),
    "from scratch": ("finetune/debug", "random"),
    "distilled": ("probe/debug", "backbone"),
}
"""What is compared: the recipe, and the features it stands on."""
_STAGES: Final = 2 + len(_ROWS)
_CACHE: Final = "teacher-features"
"""Folder of what the teacher says about the images, for all runs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoResult:
    """What the demo has to show."""

    results: tuple[ScoredRun, ...]
    """Scores of ``_ROWS``, in this order."""
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
        workers: Processes that simulate. With more than one, a script must guard its entry by
            ``__name__``; another one compiles the student's loops meanwhile.
        simulation: What to simulate; the demo's own three drives where None.
        overrides: Changes to the recipes, by their names (``pretrain/debug``, ``probe/debug``,
            ``finetune/debug``).
    """
    changes = overrides or {}
    config = simulation or SimulationConfig(frames=8, column_step=2)
    student = _student(output, changes.get("pretrain/debug", ()))
    _say(1, "simulating drives")
    if workers == 1 or has_checkpoint(student.output):
        _simulate(_street(output), config, workers)
    else:
        with helper_processes(1) as helper:
            compiling = helper.submit(compile_ahead, student)
            _simulate(_street(output), config, workers)
            compiling.result()
    _say(2, "distilling images into lidar, on the training drives")
    drawn = list(run_pretrain(student).figures)
    scored = []
    for number, (row, (name, _)) in enumerate(_ROWS.items(), start=3):
        _say(number, f"learning from labels and scoring: {row}")
        scored.append(train_and_score(_row_recipe(output, row, changes.get(name, ()))))
    bars = output / "comparison.png"
    evaluations = {result.name: result.evaluation for result in scored}
    names = evaluations["random"].class_names
    iou_bars({name: e.scores.iou for name, e in evaluations.items()}, names, bars)
    showpieces = {
        "scores": bars,
        "image, teacher and student": _first(drawn, "-front.png"),
        "what is alike to one point": _first(drawn, "-correlation.png"),
    }
    figures = (bars, *drawn, *(figure for result in scored for figure in result.figures))
    return DemoResult(results=tuple(scored), figures=figures, showpieces=showpieces)


def _simulate(street: Path, config: SimulationConfig, workers: int) -> None:
    total = (config.train_drives + config.val_drives) * config.frames
    with ProgressBar("simulating", total=total) as bar:
        simulate(street, config, workers=workers, progress=lambda n, _: bar.to(n))


def _student(output: Path, changes: tuple[str, ...]) -> PretrainRecipe:
    """The distillation, on the drives that were simulated."""
    return load_recipe(
        "pretrain/debug",
        (
            _path("output", output / "pretrain"),
            _path("data.sets.0.root", _street(output)),
            _path("data.sets.1.root", _street(output)),
            _path("teacher_cache", output / _CACHE),
            *changes,
        ),
        kind=PretrainRecipe,
    )


def _row_recipe(output: Path, row: str, changes: tuple[str, ...]) -> ProbeRecipe | FinetuneRecipe:
    """What makes a row of the table."""
    name, features = _ROWS[row]
    overrides = (
        f"name={row}",
        f"features={features}",
        _path("checkpoint", output / "pretrain"),
        _path("output", output / row.replace(" ", "-")),
        _path("data.sets.0.root", _street(output)),
        _path("evaluation.sets.0.root", _street(output)),
        *((_path("teacher_cache", output / _CACHE),) if features == "teacher" else ()),
        *changes,
    )
    if name.startswith("probe/"):
        return load_recipe(name, overrides, kind=ProbeRecipe)
    return load_recipe(name, overrides, kind=FinetuneRecipe)


def _street(output: Path) -> Path:
    return output / "street"


def _say(stage: int, what: str) -> None:
    logger.info("%d of %d: %s", stage, _STAGES, what)


def _first(figures: list[Path], ending: str) -> Path:
    return next(figure for figure in figures if figure.name.endswith(ending))


def _path(key: str, path: Path) -> str:
    """An override whose value is a path, whatever characters it has."""
    return f"{key}={json.dumps(str(path))}"
