"""The first run of a newcomer: simulate a drive, distil, probe, and show what came out."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from lidistill.engine.progress import ProgressBar
from lidistill.pictures.charts import iou_bars
from lidistill.recipes import load_recipe
from lidistill.sim import SimulationConfig, simulate
from lidistill.tasks.distill import PretrainRecipe
from lidistill.tasks.pretrain_run import run_pretrain
from lidistill.tasks.report import ProbeResult, run_probe
from lidistill.tasks.segment_recipe import FinetuneRecipe, ProbeRecipe

_ROWS: Final = {
    "random": ("probe/debug", "random"),
    "teacher": ("probe/debug", "teacher"),
    "from scratch": ("finetune/debug", "random"),
    "distilled": ("probe/debug", "backbone"),
}
"""What is compared: the recipe, and the features it stands on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoResult:
    """What the demo has to show."""

    results: tuple[ProbeResult, ...]
    """Scores of ``_ROWS``, in this order."""
    pictures: tuple[Path, ...]


def run_demo(
    output: Path,
    *,
    workers: int = 2,
    simulation: SimulationConfig | None = None,
    overrides: dict[str, tuple[str, ...]] | None = None,
) -> DemoResult:
    """Simulate two sensors, distil, probe and train from scratch with the ``debug`` recipes.

    Args:
        output: Folder for the drives, the runs and the pictures; a second call continues.
        workers: Processes that simulate.
        simulation: What to simulate; the demo's own three drives where None.
        overrides: Changes to the recipes, by their names (``pretrain/debug``, ``probe/debug``,
            ``finetune/debug``).
    """
    root = output / "street"
    changes = overrides or {}
    config = simulation or SimulationConfig(frames=8, column_step=2)
    total = (config.train_drives + config.val_drives) * config.frames
    with ProgressBar("simulating", total=total) as bar:
        simulate(root, config, workers=workers, progress=lambda done, _: bar.to(done))
    student = load_recipe(
        "pretrain/debug",
        (
            _path("output", output / "pretrain"),
            _path("data.sets.0.root", root),
            _path("data.sets.1.root", root),
            _path("teacher_cache", output / "teacher"),
            *changes.get("pretrain/debug", ()),
        ),
    )
    assert isinstance(student, PretrainRecipe)  # noqa: S101  the recipe shipped with the package
    pictures = list(run_pretrain(student).pictures)
    scored = []
    for row, (name, features) in _ROWS.items():
        recipe = load_recipe(
            name,
            (
                f"name={row}",
                f"features={features}",
                _path("checkpoint", student.output),
                _path("output", output / row.replace(" ", "-")),
                _path("data.sets.0.root", root),
                _path("evaluation.sets.0.root", root),
                *((_path("teacher_cache", output / "teacher"),) if features == "teacher" else ()),
                *changes.get(name, ()),
            ),
        )
        assert isinstance(recipe, ProbeRecipe | FinetuneRecipe)  # noqa: S101  shipped
        scored.append(run_probe(recipe))
        pictures += scored[-1].pictures
    bars = output / "comparison.png"
    evaluations = {result.name: result.evaluation for result in scored}
    names = evaluations["random"].class_names
    iou_bars({name: e.scores.iou for name, e in evaluations.items()}, names, bars)
    return DemoResult(results=tuple(scored), pictures=(bars, *pictures))


def _path(key: str, path: Path) -> str:
    """An override whose value is a path, whatever characters it has."""
    return f"{key}={json.dumps(str(path))}"
