"""Every baseline with the same budget, in one table: what are the distilled features worth?"""

import json
import logging
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from lidistill.apps.pretrain import run_pretrain
from lidistill.distill.recipe import PretrainRecipe
from lidistill.errors import CheckpointError, ConfigError, unknown_name
from lidistill.reading.files import blamed_on, read_json
from lidistill.recipes import load_recipe
from lidistill.segment.recipe import FinetuneRecipe, ProbeRecipe
from lidistill.segment.report import train_and_score
from lidistill.segment.start import has_changed
from lidistill.training.checkpoint import versions

logger = logging.getLogger(__name__)

ROWS: Final = {
    "random": "probe",
    "input": "probe",
    "teacher": "probe",
    "distilled": "probe",
    "scratch": "finetune",
    "finetuned": "finetune",
    "probed-finetuned": "finetune",
}
"""What can be compared, and which of the recipes runs it. random: a network without training;
input: no network; teacher: the 2D features read at the points; scratch: all from labels;
probed-finetuned: fine-tuned from the probe of the distilled features, its head included."""
DEFAULT_ROWS: Final = tuple(row for row in ROWS if row != "probed-finetuned")
_FEATURES: Final = {
    "distilled": "backbone",
    "scratch": "random",
    "finetuned": "backbone",
    "probed-finetuned": "backbone",
}
_OF_A_RUN: Final = frozenset({"name", "output", "seed"})
_OF_A_ROW: Final = frozenset({"checkpoint", "data.num_frames", "features", "head"})
_WITH_FRAMES: Final = frozenset({"distilled", "scratch", "finetuned", "probed-finetuned"})
_ONCE: Final = frozenset({"input", "teacher"})
"""What no seed of the distillation changes: run for the first seed only."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What to compare, with which recipes."""

    output: Path
    pretrain: str = "pretrain/debug"
    probe: str = "probe/debug"
    finetune: str = "finetune/debug"
    rows: tuple[str, ...] = DEFAULT_ROWS
    frames: tuple[int, ...] = ()
    """Numbers of labelled frames for the probe of distilled features, for scratch and for
    fine-tuning, besides all of them."""
    seeds: tuple[int, ...] = (0,)
    changes: tuple[str, ...] = ()
    """``probe.key=value``: overrides, after the recipe that they are for; ``all.`` for each."""

    def __post_init__(self) -> None:
        for row in self.rows:
            if row not in ROWS:
                raise unknown_name("row", row, ROWS)
        for change in self.changes:
            recipe = change.partition(".")[0]
            if recipe not in {"pretrain", "probe", "finetune", "all"}:
                msg = f"{change!r} must begin with pretrain., probe., finetune. or all."
                raise ConfigError(msg)
            key = change.partition(".")[2].partition("=")[0].strip()
            if key in _OF_A_RUN or (recipe != "pretrain" and key in _OF_A_ROW):
                msg = f"{change!r} cannot be given: a comparison sets {key} for each of its runs."
                raise ConfigError(msg)
        for name in ("rows", "frames", "seeds"):
            values: tuple[object, ...] = getattr(self, name)
            if len(set(values)) < len(values):
                msg = f"{name} holds one of {values} twice; each can be compared once."
                raise ConfigError(msg)
        if "probed-finetuned" in self.rows and "distilled" not in self.rows:
            msg = "the row probed-finetuned starts from the probes of distilled; ask for both rows."
            raise ConfigError(msg)
        if not self.seeds or not self.rows:
            msg = "nothing to compare: give at least one seed and one row."
            raise ConfigError(msg)

    def changes_of(self, kind: str) -> Iterator[str]:
        """The overrides for one kind of run."""
        for change in self.changes:
            recipe, _, override = change.partition(".")
            if recipe in {kind, "all"}:
                yield override


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """Scores of one row of the table, over its seeds, in percent."""

    name: str
    scores: dict[str, list[float | None]] = field(default_factory=dict)
    """By ``mean_iou``, ``mean_iou_of_truth`` and ``seen``; one number for each seed,
    None where there is nothing to score."""

    def mean(self, score: str) -> float | None:
        """Mean over the seeds that have the score; None where none has."""
        values = self._values(score)
        return statistics.mean(values) if values else None

    def spread(self, score: str) -> float | None:
        """Standard deviation over the seeds; None for a single one."""
        values = self._values(score)
        return statistics.stdev(values) if len(values) > 1 else None

    def _values(self, score: str) -> list[float]:
        return [value for value in self.scores[score] if value is not None]


def compare(plan: Plan) -> list[Line]:
    """Run what is not done yet, and write ``comparison.json`` and ``comparison.md``.

    All runs of one seed start from one distillation; teacher features are computed once for all of
    them. Scratch and finetuned share one recipe, and so the number of steps and the batch size; so
    do the probes. A finished run is not run again unless its recipe has changed.

    Raises:
        CheckpointError: If a run was made from other distilled weights than are there now.
    """
    lines: dict[str, Line] = {}
    for seed in plan.seeds:
        logger.info("seed %d: distillation", seed)
        student = _distillation(plan, seed)
        runs = list(_runs(plan, first=seed == plan.seeds[0]))
        for number, (row, frames) in enumerate(runs, start=1):
            name = row if frames is None else f"{row}, {frames} frame{'s' * (frames > 1)}"
            logger.info("seed %d: run %d of %d, %s", seed, number, len(runs), name)
            record = _scored(_recipe(plan, row, frames, seed, student))
            line = lines.setdefault(name, Line(name=name))
            for score, value in _percentages(record).items():
                line.scores.setdefault(score, []).append(value)
    result = list(lines.values())
    record = {
        "table": {
            line.name: {
                score: {"mean": line.mean(score), "std": line.spread(score), "single": values}
                for score, values in line.scores.items()
            }
            for line in result
        },
        "supervised_minus_distilled": supervised_minus_distilled(result),
        "recipes": {"pretrain": plan.pretrain, "probe": plan.probe, "finetune": plan.finetune},
        "changes": list(plan.changes),
        "seeds": list(plan.seeds),
        "versions": versions(),
    }
    text = json.dumps(record, indent=1)
    (plan.output / "comparison.json").write_text(text, encoding="utf-8")
    (plan.output / "comparison.md").write_text(markdown(result), encoding="utf-8")
    return result


def supervised_minus_distilled(lines: Sequence[Line]) -> float | None:
    """What training from scratch with all labels has over a linear probe of distilled features.

    Points of mean IoU, as the paper counts it, between means over seeds; None where one is missing.

    References:
        Three Pillars (CVPR 2024), abstract: the gap to supervised training; 10.9 points on
        nuScenes.
    """
    means = {line.name: line.mean("mean_iou") for line in lines}
    supervised, distilled = means.get("scratch"), means.get("distilled")
    return None if supervised is None or distilled is None else supervised - distilled


def gap_sentence(lines: Sequence[Line]) -> str:
    """``supervised_minus_distilled`` in words; empty where there is none."""
    gap = supervised_minus_distilled(lines)
    if gap is None:
        return ""
    return f"From scratch with all labels, minus the probe of distilled features: {gap:+.1f} points"


def table_rows(lines: Sequence[Line]) -> list[tuple[str, ...]]:
    """Name, mean IoU, its spread, mean IoU over classes in the truth, and over seen points."""
    return [
        (
            line.name,
            _shown(line.mean("mean_iou")),
            _shown(line.spread("mean_iou"), "± "),
            _shown(line.mean("mean_iou_of_truth")),
            _shown(line.mean("seen")),
        )
        for line in lines
    ]


def _shown(value: float | None, sign: str = "") -> str:
    return "–" if value is None else f"{sign}{value:.1f}"


def markdown(lines: Sequence[Line]) -> str:
    """The comparison as a Markdown table."""
    rows = [
        "| run | mIoU % | spread | classes in the truth | points in an image |",
        "|---|---|---|---|---|",
    ]
    rows += [f"| {' | '.join(row)} |" for row in table_rows(lines)]
    gap = gap_sentence(lines)
    return "\n".join([*rows, "", f"{gap}."] if gap else rows) + "\n"


def _runs(plan: Plan, *, first: bool) -> Iterator[tuple[str, int | None]]:
    for row in plan.rows:
        if row in _ONCE and not first:
            continue
        if row in _WITH_FRAMES:
            yield from ((row, frames) for frames in plan.frames)
        yield row, None


def _distillation(plan: Plan, seed: int) -> Path:
    """Run folder of the distillation with a seed."""
    output = plan.output / f"distilled-{seed}"
    common = (f"output={json.dumps(str(output))}", f"seed={seed}", _cache(plan))
    changes = (*common, *plan.changes_of("pretrain"))
    recipe = load_recipe(plan.pretrain, changes, kind=PretrainRecipe)
    run_pretrain(recipe)
    return recipe.output


def _recipe(
    plan: Plan, row: str, frames: int | None, seed: int, student: Path
) -> ProbeRecipe | FinetuneRecipe:
    kind, labels = ROWS[row], f"{'all' if frames is None else frames}-{seed}"
    output = plan.output / f"{row}-{labels}"
    if row == "probed-finetuned":
        student = plan.output / f"distilled-{labels}"
    overrides = [
        f"name={row}",
        f"output={json.dumps(str(output))}",
        f"seed={seed}",
        f"checkpoint={json.dumps(str(student))}",
        f"features={_FEATURES.get(row, row)}",
    ]
    overrides += [_cache(plan)] if kind == "probe" else []
    overrides += [] if frames is None else [f"data.num_frames={frames}"]
    overrides += ["head=checkpoint"] if row == "probed-finetuned" else []
    changes = (*overrides, *plan.changes_of(kind))
    if kind == "probe":
        return load_recipe(plan.probe, changes, kind=ProbeRecipe)
    return load_recipe(plan.finetune, changes, kind=FinetuneRecipe)


def _cache(plan: Plan) -> str:
    return f"teacher_cache={json.dumps(str(plan.output / 'teacher'))}"


def _scored(recipe: ProbeRecipe | FinetuneRecipe) -> dict[str, Any]:
    """The results of a run, from its folder where it is done."""
    file = recipe.output / "results.json"
    if file.is_file():
        record = _results(file)
        if record["recipe"] == recipe.model_dump(mode="json"):
            _check_start(record, recipe)
            return record
    results = train_and_score(recipe).results
    return _results(results)


def _results(file: Path) -> dict[str, Any]:
    """The results of a run.

    Raises:
        FileFormatError: If they are damaged.
    """
    with blamed_on(file):
        record = read_json(file)
        kinds = {"recipe": dict, "start": str, "all_points": dict, "seen_by_a_camera": dict}
        if not isinstance(record, dict) or not all(
            isinstance(record.get(key), kind) for key, kind in kinds.items()
        ):
            msg = f"no results of a run; delete {file.name} to have it scored anew"
            raise ValueError(msg)
    return record


def _check_start(record: dict[str, Any], recipe: ProbeRecipe | FinetuneRecipe) -> None:
    """Refuse a finished run whose distillation has been made anew since."""
    if recipe.features != "backbone" or recipe.checkpoint is None:
        return
    if has_changed(record["start"], recipe.checkpoint):
        msg = (
            f"{recipe.output} was made from other weights than {recipe.checkpoint} holds now; "
            "delete that run to have it made anew, or give another output folder."
        )
        raise CheckpointError(msg)


def _percentages(record: dict[str, Any]) -> dict[str, float | None]:
    """The scores of a run; None where there is nothing to score, such as no image."""
    points, seen = record["all_points"], record["seen_by_a_camera"]
    return {
        "mean_iou": points["mean_iou"],
        "mean_iou_of_truth": points["mean_iou_of_truth"],
        "seen": seen["mean_iou"],
    }
