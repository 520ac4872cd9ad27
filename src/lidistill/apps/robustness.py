"""How much bad weather, tired sensors and other mountings cost finished runs.

Shape letters: K conditions, C classes.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lidistill.apps.learned_runs import LearnedRun, load_runs
from lidistill.apps.robustness_counts import (
    CLEAN,
    ConditionCounts,
    all_conditions,
    count_conditions,
)
from lidistill.apps.robustness_examples import draw_examples
from lidistill.atomic_write import replace_text
from lidistill.distributed.processes import is_rank_zero, join_group, on_rank_zero
from lidistill.errors import ConfigError
from lidistill.figures.heat_map import heat_map
from lidistill.robustness.benchmark_scores import (
    BASELINES,
    FRAMES,
    BenchmarkScores,
    benchmark_scores,
)
from lidistill.robustness.scan import KINDS, SEVERITIES, Kind
from lidistill.robustness.traits import LIDARS
from lidistill.training.checkpoint import versions
from lidistill.training.precision import pick_device
from lidistill.training.run_lock import RunLock


@dataclass(frozen=True, slots=True, kw_only=True)
class RobustRun:
    """Mean IoU of a run under every condition, in percent."""

    name: str
    benchmark: str | None
    """The published set whose evaluation frames these are, if corruptions follow its numbers."""
    num_frames: int
    mean_iou: dict[str, float]
    """By condition: ``clean``, ``fog/light``, …, ``height_up``, …"""

    @property
    def clean(self) -> float:
        """On frames as they are."""
        return self.mean_iou[CLEAN]

    @property
    def by_corruption(self) -> dict[Kind, float]:
        """Mean over the severities of each corruption."""
        return {
            kind: float(np.mean([self.mean_iou[f"{kind}/{s}"] for s in SEVERITIES]))
            for kind in KINDS
        }

    @property
    def shifts(self) -> dict[str, float]:
        """Of the shifts beyond the benchmark."""
        return {k: v for k, v in self.mean_iou.items() if k != CLEAN and "/" not in k}

    def against(self, baseline: dict[Kind, float]) -> BenchmarkScores:
        """MCE and mRR over a baseline's mean IoU of each corruption."""
        return benchmark_scores(self.clean, self.by_corruption, baseline)


@dataclass(frozen=True, slots=True, kw_only=True)
class Robustness:
    """All runs, and what they are compared with."""

    runs: tuple[RobustRun, ...]
    baseline: str | None
    """Name of the run that the others are compared with, besides the published baseline."""
    results: Path
    figures: tuple[Path, ...]

    def baselines_of(self, run: RobustRun) -> dict[str, dict[Kind, float]]:
        """What a run is compared with: mean IoU of each corruption by name."""
        found = {}
        if run.benchmark is not None:
            whole = FRAMES.get(run.benchmark, run.num_frames)
            part = f" (of {run.num_frames:,} of its {whole:,} frames, not comparable)"
            name = f"MinkUNet-18 on {run.benchmark}{part if run.num_frames != whole else ''}"
            found[name] = BASELINES[run.benchmark]
        for other in self.runs:
            if other.name == self.baseline:
                found[other.name] = other.by_corruption
        return found

    def to_json(self) -> dict[str, Any]:
        """Everything as JSON values, in percent; None where there is nothing to compare with."""
        return {run.name: self._run_json(run) for run in self.runs}

    def _run_json(self, run: RobustRun) -> dict[str, Any]:
        own = run.against(run.by_corruption)
        against = {name: run.against(b) for name, b in self.baselines_of(run).items()}
        return {
            "benchmark": run.benchmark,
            "num_frames": run.num_frames,
            "clean": _or_none(run.clean),
            "mean_iou": _rounded(run.mean_iou),
            "by_corruption": _rounded(run.by_corruption),
            "mRR": _or_none(own.mean_resilience),
            "RR": _rounded(own.resilience),
            "against": {
                name: {
                    "mCE": _or_none(result.mean_corruption_error),
                    "CE": _rounded(result.corruption_error),
                }
                for name, result in against.items()
            },
        }


def measure_robustness(
    runs: Sequence[Path],
    output: Path,
    overrides: Sequence[str] = (),
    *,
    baseline: Path | None = None,
    shifts: bool = False,
    seed: int = 0,
) -> Robustness:
    """Score runs on clean frames, under 24 corruptions, and if wanted under the shifts beyond.

    Args:
        runs: Run folders of probes or fine-tunings.
        output: Folder for ``robustness.json``, ``robustness.md``, figures, and what was counted.
        overrides: Changes to the recipes, see ``learned_runs.load_runs``.
        baseline: A run that the others are compared with; scored, too.
        shifts: Whether the shifts beyond the benchmark are scored.
        seed: Other seeds give other, equally likely corrupted sets.

    Raises:
        ConfigError: If there is no run, or one is given twice.
        CheckpointError: If a run is not one that learned from labels.
        TrainingError: If another process counts into the same folder.
    """
    folders = [*runs]
    if baseline is not None and baseline.resolve() not in {run.resolve() for run in runs}:
        folders.append(baseline)
    if not runs or len({run.resolve() for run in folders}) < len(folders):
        msg = f"robustness needs runs, each once; found {', '.join(map(str, runs)) or 'none'}."
        raise ConfigError(msg)
    loaded = load_runs(folders, overrides, command="robustness")
    join_group(pick_device(loaded[0].recipe.device))
    if not is_rank_zero():
        return _measured(loaded, output, baseline, shifts=shifts, seed=seed)
    with RunLock(output):
        return _measured(loaded, output, baseline, shifts=shifts, seed=seed)


def _measured(
    loaded: Sequence[LearnedRun], output: Path, baseline: Path | None, *, shifts: bool, seed: int
) -> Robustness:
    conditions = all_conditions(shifts=shifts, seed=seed)
    counted = [count_conditions(run, conditions, output / "counts") for run in loaded]
    names = {run.folder.resolve(): run.name for run in loaded}
    result = Robustness(
        runs=tuple(_robust_run(*pair) for pair in zip(loaded, counted, strict=True)),
        baseline=None if baseline is None else names[baseline.resolve()],
        results=output / "robustness.json",
        figures=(output / "robustness.png", output / "examples.png"),
    )
    on_rank_zero(lambda: _write(result, loaded, counted))
    return result


def _robust_run(run: LearnedRun, counts: ConditionCounts) -> RobustRun:
    known = {
        LIDARS[config.sensor].benchmark if config.sensor in LIDARS else None
        for config in run.recipe.evaluation.sets
    }
    scores = 100 * mean_iou_by_condition(counts.confusion)
    return RobustRun(
        name=run.name,
        benchmark=known.pop() if len(known) == 1 else None,
        num_frames=counts.num_frames,
        mean_iou=dict(zip(counts.conditions, scores.tolist(), strict=True)),
    )


def mean_iou_by_condition(confusion: NDArray[np.int64]) -> NDArray[np.float64]:
    """(K,) mean IoU over the classes that occur in the truth of the first, clean condition.

    The same classes count everywhere, so that one that a corruption hides does not leave the mean.

    Args:
        confusion: (K, C, C) true class by predicted class.
    """
    hits = np.diagonal(confusion, axis1=1, axis2=2).astype(np.float64)
    truth, guess = confusion.sum(axis=2), confusion.sum(axis=1)
    present = truth[0] > 0
    union = (truth + guess - hits)[:, present]
    iou = np.divide(hits[:, present], union, out=np.zeros_like(union), where=union > 0)
    return np.asarray(iou.mean(axis=1))


def _write(
    result: Robustness, loaded: Sequence[LearnedRun], counted: Sequence[ConditionCounts]
) -> None:
    record = {
        "runs": result.to_json(),
        "baseline": result.baseline,
        "classes": [list(counts.class_names) for counts in counted],
        "confusion": {
            run.name: dict(zip(counts.conditions, counts.confusion.tolist(), strict=True))
            for run, counts in zip(loaded, counted, strict=True)
        },
        "recipes": [run.recipe.model_dump(mode="json") for run in loaded],
        "versions": versions(),
    }
    replace_text(result.results, json.dumps(record, indent=1))
    replace_text(result.results.with_suffix(".md"), markdown(result))
    rows = [name.replace("/", " ") for name in result.runs[0].mean_iou]
    values = np.array([list(run.mean_iou.values()) for run in result.runs]).T
    heat_map(values, rows, [run.name for run in result.runs], result.figures[0])
    draw_examples(loaded[0].recipe.evaluation.build(), result.figures[1])


def table_rows(result: Robustness) -> list[tuple[str, ...]]:
    """Header and rows for clean, each corruption, mRR, and mCE over each baseline."""
    baselines = list(dict.fromkeys(n for run in result.runs for n in result.baselines_of(run)))
    columns = [("mIoU %", CLEAN, *KINDS, "mRR", *(f"mCE over {name}" for name in baselines))]
    for run in result.runs:
        against = {n: run.against(b) for n, b in result.baselines_of(run).items()}
        scores = [run.clean, *run.by_corruption.values()]
        scores.append(run.against(run.by_corruption).mean_resilience)
        errors = [
            _shown(against[name].mean_corruption_error) if name in against else "–"
            for name in baselines
        ]
        columns.append((run.name, *map(_shown, scores), *errors))
    return list(zip(*columns, strict=True))  # a column for each run


def shift_rows(result: Robustness) -> list[tuple[str, ...]]:
    """Header and one row a shift: mean IoU of every run, and the difference to its clean one."""
    header = ("shift, mIoU %", *(run.name for run in result.runs))
    rows = [
        (name, *(_beside(run.shifts[name], run.clean) for run in result.runs))
        for name in result.runs[0].shifts
    ]
    return [header, *rows] if rows else []


def markdown(result: Robustness) -> str:
    """The tables in Markdown."""
    tables = [table_rows(result), shift_rows(result)]
    lines = []
    for header, *rows in filter(None, tables):
        lines += [f"| {' | '.join(header)} |", "|---" * len(header) + "|"]
        lines += [f"| {' | '.join(row)} |" for row in rows] + [""]
    return "\n".join(lines)


def _shown(value: float) -> str:
    return "–" if math.isnan(value) else f"{value:.1f}"


def _beside(value: float, clean: float) -> str:
    """A score and how far it is from the clean one; neither, where one of them has no points."""
    change = value - clean
    return "–" if math.isnan(change) else f"{value:.1f} ({change:+.1f})"


def _or_none(value: float) -> float | None:
    """For JSON, which has no NaN."""
    return None if math.isnan(value) else round(value, 4)


def _rounded(values: Mapping[Any, float]) -> dict[str, float | None]:
    return {key: _or_none(value) for key, value in values.items()}
