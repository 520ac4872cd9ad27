"""Runs trained on one data set and scored on another, in the classes that both have."""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from lidistill.apps.learned_runs import LearnedRun, load_runs
from lidistill.datasets import FrameDataset
from lidistill.errors import ConfigError
from lidistill.figures.charts import matrix_figure
from lidistill.labels import LabelMap, shipped_label_maps
from lidistill.segment.common_classes import InCommonClasses, in_common_classes
from lidistill.segment.evaluate import Evaluation, evaluate
from lidistill.segment.run import Segmentation
from lidistill.segment.test_time_augmentation import ClassScores, predict_with_tta
from lidistill.training.checkpoint import versions


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap:
    """Scores of every run on every run's evaluation frames."""

    names: tuple[str, ...]
    evaluations: tuple[tuple[Evaluation, ...], ...]
    """Row: what was learned; column: what it is scored on."""
    results: Path
    figure: Path

    @property
    def mean_iou(self) -> list[list[float]]:
        """Mean IoU over the common classes that occur in the truth, as fractions."""
        return [[e.scores.mean_iou_of_truth for e in row] for row in self.evaluations]

    @property
    def percent(self) -> list[list[float | None]]:
        """``mean_iou`` for JSON: in percent, None where no common class occurs."""
        return [
            [None if math.isnan(value) else round(100 * value, 4) for value in row]
            for row in self.mean_iou
        ]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Run:
    learned: LearnedRun
    segmentation: Segmentation
    label_map: LabelMap
    frames: FrameDataset
    common: bool
    """Whether classes are brought to those that data sets share."""


def domain_gap(runs: Sequence[Path], output: Path, overrides: Sequence[str] = ()) -> Gap:
    """Score every run on the evaluation frames of all of them.

    Classes are brought to ``segment/common_classes.yaml``. Those of own recordings, which that
    table does not know, must be alike in all runs, and stay as they are. A network is not told
    where it is: it sees the other sensor through that sensor's own intensity statistics and its own
    field of view.

    Args:
        runs: Run folders of probes or fine-tunings, at least two.
        output: Folder for ``gap.json``, ``gap.md`` and the figure.
        overrides: Changes to the recipes, see ``learned_runs.load_runs``.

    Raises:
        ConfigError: If there are fewer than two, one is given twice, or classes are neither alike
            nor of sets that the table knows.
        CheckpointError: If a run is not one that learned from labels.
    """
    distinct = {run.resolve() for run in runs}
    if len(runs) < 2 or len(distinct) < len(runs):
        found = ", ".join(map(str, runs)) or "none"
        msg = f"a gap needs two runs or more, each once; found {found}."
        raise ConfigError(msg)
    loaded = _load(load_runs(runs, overrides, command="gap"))
    names = tuple(run.learned.name for run in loaded)
    evaluations = tuple(tuple(_score(learned, scored) for scored in loaded) for learned in loaded)
    gap = Gap(
        names=names,
        evaluations=evaluations,
        results=output / "gap.json",
        figure=output / "gap.png",
    )
    output.mkdir(parents=True, exist_ok=True)
    record = {
        "names": names,
        "mean_iou_of_truth": gap.percent,
        "evaluations": [[e.to_json() for e in row] for row in evaluations],
        "recipes": [run.learned.recipe.model_dump(mode="json") for run in loaded],
        "versions": versions(),
    }
    gap.results.write_text(json.dumps(record, indent=1), encoding="utf-8")
    gap.results.with_suffix(".md").write_text(markdown(gap), encoding="utf-8")
    matrix_figure(gap.mean_iou, names, gap.figure, rows="learned on", columns="scored on")
    return gap


def table_rows(gap: Gap) -> list[tuple[str, ...]]:
    """A row for each run: its name, and its score on each set in percent, "–" for none."""
    return [
        (name, *("–" if math.isnan(value) else f"{100 * value:.1f}" for value in row))
        for name, row in zip(gap.names, gap.mean_iou, strict=True)
    ]


def markdown(gap: Gap) -> str:
    """The matrix as a Markdown table, in percent."""
    columns = " | ".join(gap.names)
    lines = [f"| learned on \\ scored on | {columns} |", "|---" * (1 + len(gap.names)) + "|"]
    lines += [f"| {' | '.join(row)} |" for row in table_rows(gap)]
    return "\n".join(lines) + "\n"


def _load(runs: Sequence[LearnedRun]) -> list[_Run]:
    datasets = [run.recipe.evaluation.build() for run in runs]
    maps = [dataset.label_map for dataset in datasets]
    unknown = [one.name for one in maps if not one.common]
    own = bool(unknown) and len({one.class_names for one in maps}) == 1
    if unknown and not own:
        msg = (
            f"which classes of {unknown[0]} other data sets share is not known; all runs need the "
            "same classes, or ids of a shipped table, which labels.yaml names (table: "
            f"{' or '.join(shipped_label_maps())})."
        )
        raise ConfigError(msg)
    return [
        _Run(
            learned=run,
            segmentation=run.segmentation(),
            label_map=dataset.label_map,
            frames=dataset if own else InCommonClasses(dataset),
            common=not own,
        )
        for run, dataset in zip(runs, datasets, strict=True)
    ]


@torch.no_grad()
def _score(run: _Run, scored: _Run) -> Evaluation:
    """One run on the evaluation frames of another, or on its own."""
    recipe, preparer = run.learned.recipe, run.segmentation.preparer
    ready = run.segmentation.for_scores(recipe.inference, scored.frames, recipe.sampling)
    class_scores: ClassScores = ready.class_scores
    if run.common:
        class_scores = in_common_classes(class_scores, run.label_map)
    predict = predict_with_tta(class_scores, recipe.votes, recipe.sampling, preparer)
    return evaluate(predict, scored.frames, recipe.sampling, preparer)
