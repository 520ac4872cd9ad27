"""The files that a study ends in: one table as Markdown, JSON and CSV, and one figure."""

import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from lidistill.atomic_write import replace_text
from lidistill.figures.panels import Panel, Point, panel_figure
from lidistill.studies.cells import result_of
from lidistill.studies.config import Score, Study
from lidistill.studies.names import STUDENT
from lidistill.studies.plan import KINDS, Plan
from lidistill.studies.settings import Place
from lidistill.studies.table import (
    YARDSTICKS,
    Line,
    csv_text,
    lines_of,
    markdown,
    mean_of,
    records,
    scores_at,
    spread_of,
)
from lidistill.training.checkpoint import has_checkpoint, versions

LABELS: Final[dict[Score, str]] = {
    "mean_iou": "mIoU, percent",
    "mean_iou_of_truth": "mIoU of classes in the truth, percent",
    "seen": "mIoU of points in an image, percent",
}

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What a study has found so far."""

    lines: list[Line]
    results: Path
    figure: Path
    best: tuple[Path, ...]
    """Run folders of the best probe of distilled features, and of the same network with random
    weights beside it; empty where one is missing."""


def write_report(plan: Plan) -> Report:
    """Write ``study.json``, ``study.md``, ``study.csv`` and ``study.png`` from finished cells."""
    study, lines = plan.study, lines_of(plan)
    done = {name: result_of(cell) for name, cell in plan.cells.items()}
    study.output.mkdir(parents=True, exist_ok=True)
    results = study.output / "study.json"
    record = {
        "study": study.model_dump(mode="json"),
        "lines": list(records(lines)),
        "cells": {
            name: {
                "label": plan.cells[name].label,
                "done": result is not None,
                "seconds": None if result is None else result.seconds,
            }
            for name, result in done.items()
        },
        "versions": versions(),
    }
    replace_text(results, json.dumps(record, indent=1))
    replace_text(results.with_suffix(".md"), markdown(lines, study.score))
    replace_text(results.with_suffix(".csv"), csv_text(lines))
    figure = results.with_suffix(".png")
    panel_figure(_panels(study, lines), figure, label=LABELS[study.score])
    return Report(lines=lines, results=results, figure=figure, best=_best(plan, lines))


def _panels(study: Study, lines: Sequence[Line]) -> dict[str, list[Panel]]:
    return {
        benchmark: [_panel(study, lines, benchmark, axis) for axis in study.axes]
        for benchmark in study.benchmarks
    }


def _panel(study: Study, lines: Sequence[Line], benchmark: str, axis: str) -> Panel:
    """The panel of an axis: only values that are run on the benchmark."""
    run = {p for line in lines if line.variant.benchmark == benchmark for p in line.variant.places}
    places = [
        place
        for series, values in study.axes[axis].items()
        for value in values
        if (place := Place(axis=axis, series=series, value=value)) in run
    ]
    yardsticks: dict[str, dict[str, dict[str, float]]] = {}
    for what in KINDS[1:]:
        for place in places:
            mean = mean_of(scores_at(lines, benchmark, place, what, study.score))
            if mean is not None:
                of_series = yardsticks.setdefault(YARDSTICKS[what], {})
                of_series.setdefault(place.series, {})[place.value] = mean
    return Panel(
        title=axis,
        values=tuple(dict.fromkeys(place.value for place in places)),
        series={
            series: points
            for series in study.axes[axis]
            if (
                points := _points(
                    study, lines, benchmark, [p for p in places if p.series == series]
                )
            )
        },
        yardsticks=yardsticks,
    )


def _points(
    study: Study, lines: Sequence[Line], benchmark: str, places: Sequence[Place]
) -> dict[str, Point]:
    points = {}
    for place in places:
        scores = scores_at(lines, benchmark, place, "distilled", study.score)
        if (mean := mean_of(scores)) is not None:
            points[place.value] = (mean, spread_of(scores) or 0.0)
    return points


def _best(plan: Plan, lines: Sequence[Line]) -> tuple[Path, ...]:
    """Two runs of one probe to look at side by side."""
    seed = plan.study.seeds[0]
    ranked = []
    for line in lines:
        score = line.scores.get(("distilled", line.probes[-1], plan.study.score), {})
        if seed in score and {"distilled", "random"} <= line.variant.cells.keys():
            ranked.append((score[seed], line))
    for _, line in sorted(ranked, key=lambda pair: -pair[0]):
        cells = [plan.cells[line.variant.cells[what][seed]] for what in ("distilled", "random")]
        probe = next(name for name in cells[0].runs if name != STUDENT)
        folders = tuple(cell.folder / probe for cell in cells)
        if all(has_checkpoint(folder) for folder in folders):
            return folders
    return ()
