"""The first run of a newcomer: simulate a drive, distil, probe, and show what came out."""

import json
from dataclasses import dataclass
from pathlib import Path

from lidistill.engine.progress import ProgressBar
from lidistill.pictures.charts import iou_bars
from lidistill.recipes import load_recipe
from lidistill.sim import SimulationConfig, simulate
from lidistill.tasks.distill import PretrainRecipe
from lidistill.tasks.pretrain_run import run_pretrain
from lidistill.tasks.report import ProbeResult, run_probe
from lidistill.tasks.segment_recipe import ProbeRecipe


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoResult:
    """What the demo has to show."""

    probes: tuple[ProbeResult, ...]
    """Random weights, the teacher read at the points, distilled; in this order."""
    pictures: tuple[Path, ...]


def run_demo(
    output: Path,
    *,
    workers: int = 2,
    simulation: SimulationConfig | None = None,
    overrides: dict[str, tuple[str, ...]] | None = None,
) -> DemoResult:
    """Simulate, distil and probe with the ``debug`` recipes, all in one folder.

    Args:
        output: Folder for the drives, the runs and the pictures; a second call continues.
        workers: Processes that simulate.
        simulation: What to simulate; the demo's own three drives where None.
        overrides: Changes to the recipes, by their names ``pretrain/debug`` and ``probe/debug``.
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
            _path("teacher_cache", output / "teacher"),
            *changes.get("pretrain/debug", ()),
        ),
    )
    assert isinstance(student, PretrainRecipe)  # noqa: S101  the recipe shipped with the package
    pictures = list(run_pretrain(student).pictures)
    probes = []
    for features in ("random", "teacher", "backbone"):
        recipe = load_recipe(
            "probe/debug",
            (
                f"name={features}",
                f"features={features}",
                _path("checkpoint", student.output),
                f"output={output / f'probe-{features}'}",
                _path("data.sets.0.root", root),
                _path("evaluation.sets.0.root", root),
                _path("teacher_cache", output / "teacher"),
                *changes.get("probe/debug", ()),
            ),
        )
        assert isinstance(recipe, ProbeRecipe)  # noqa: S101  the recipe shipped with the package
        probes.append(run_probe(recipe))
        pictures += probes[-1].pictures
    bars = output / "comparison.png"
    evaluations = {probe.name: probe.evaluation for probe in probes}
    names = evaluations["random"].class_names
    iou_bars({name: e.scores.iou for name, e in evaluations.items()}, names, bars)
    pictures.append(bars)
    return DemoResult(probes=tuple(probes), pictures=tuple(pictures))


def _path(key: str, path: Path) -> str:
    """An override whose value is a path, whatever characters it has."""
    return f"{key}={json.dumps(str(path))}"
