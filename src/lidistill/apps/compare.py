"""Every baseline with the same budget, in one table: what are the distilled features worth?"""

import json
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from lidistill.apps.comparison_plan import ROWS, Plan
from lidistill.apps.comparison_table import Line, markdown, supervised_minus_distilled
from lidistill.apps.pretrain import run_pretrain
from lidistill.apps.scored_runs import is_scored, percentages, scored
from lidistill.distill.recipe import PretrainRecipe
from lidistill.distill.teacher_config import UNNAMED_TEACHER
from lidistill.errors import ConfigError
from lidistill.recipes import load_recipe
from lidistill.segment.recipe import FinetuneRecipe, ProbeRecipe
from lidistill.teachers import TEACHERS
from lidistill.training.checkpoint import versions

logger = logging.getLogger(__name__)

_FEATURES: Final = {
    "distilled": "backbone",
    "scratch": "random",
    "finetuned": "backbone",
    "probed-finetuned": "backbone",
}
_WITH_FRAMES: Final = frozenset({"distilled", "scratch", "finetuned", "probed-finetuned"})
_ONCE: Final = frozenset({"input", "teacher"})
"""What no seed of the distillation changes: run for the first seed only."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Run:
    """One run of a row."""

    row: str
    frames: int | None = None
    """Labelled frames; None: all."""
    teacher: str = UNNAMED_TEACHER
    """Which of several is probed, in the row of the teacher."""

    @property
    def name(self) -> str:
        """Of its line."""
        line = self.row if self.teacher == UNNAMED_TEACHER else f"{self.row} {self.teacher}"
        frames = self.frames
        return line if frames is None else f"{line}, {frames} frame{'s' * (frames > 1)}"


def compare(plan: Plan) -> list[Line]:
    """Run what is not done yet, and write ``comparison.json`` and ``comparison.md``.

    All runs of one seed start from one distillation; teacher features are computed once for all of
    them. Scratch and finetuned share one recipe, and so the number of steps and the batch size; so
    do the probes. Of several teachers each has a line. A finished run is not run again unless its
    recipe has changed. What is wrong with a recipe is said before the first run.

    Raises:
        CheckpointError: If a run was made from other distilled weights than are there now.
        ConfigError: If a recipe or a change to it makes no sense; or if only the teacher is to be
            looked at, and it sees no images.
        DatasetNotFoundError: If the data of a run that is not done are not there.
    """
    lines: dict[str, Line] = {}
    for seed, student, recipes in [_planned(plan, seed) for seed in plan.seeds]:
        logger.info("seed %d: distillation", seed)
        run_pretrain(student)
        for number, (one, recipe) in enumerate(recipes.items(), start=1):
            logger.info("seed %d: run %d of %d, %s", seed, number, len(recipes), one.name)
            record = scored(recipe)
            line = lines.setdefault(one.name, Line(name=one.name))
            for score, value in percentages(record).items():
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


def _planned(
    plan: Plan, seed: int
) -> tuple[int, PretrainRecipe, dict[_Run, ProbeRecipe | FinetuneRecipe]]:
    """A seed, its distillation, and the recipe of each of its runs; all of them checked."""
    student = _student(plan, seed)
    runs = _runs(plan, _teachers(student), first=seed == plan.seeds[0])
    recipes = {one: _recipe(plan, one, seed, student.output) for one in runs}
    for recipe in recipes.values():
        if not is_scored(recipe):
            recipe.data.check_roots()
            recipe.evaluation.check_roots()
            recipe.data.check_num_frames()
    return seed, student, recipes


def _runs(plan: Plan, teachers: Sequence[str], *, first: bool) -> Iterator[_Run]:
    if plan.rows == ("teacher",) and not teachers:
        msg = (
            "nothing to compare: the distillation's teacher is a 3D network, which has no row; "
            "probe its own run."
        )
        raise ConfigError(msg)
    for row in plan.rows:
        if row in _ONCE and not first:
            continue
        if row == "teacher":
            yield from (_Run(row=row, teacher=name) for name in teachers)
            continue
        if row in _WITH_FRAMES:
            yield from (_Run(row=row, frames=frames) for frames in plan.frames)
        yield _Run(row=row)


def _teachers(recipe: PretrainRecipe) -> list[str]:
    """Names of the teachers that look at images, which alone can be probed."""
    return [name for name, config in recipe.teachers.items() if config.kind in TEACHERS]


def _student(plan: Plan, seed: int) -> PretrainRecipe:
    """The distillation with a seed."""
    output = plan.output / f"distilled-{seed}"
    common = (f"output={json.dumps(str(output))}", f"seed={seed}", _cache(plan))
    changes = (*common, *plan.changes_of("pretrain"))
    return load_recipe(plan.pretrain, changes, kind=PretrainRecipe)


def _recipe(plan: Plan, one: _Run, seed: int, student: Path) -> ProbeRecipe | FinetuneRecipe:
    row, frames = one.row, one.frames
    kind, labels = ROWS[row], f"{'all' if frames is None else frames}-{seed}"
    output = plan.output / "-".join(part for part in (row, one.teacher, labels) if part)
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
    overrides += [f"teacher_name={one.teacher}"] if one.teacher != UNNAMED_TEACHER else []
    changes = (*overrides, *plan.changes_of(kind))
    if kind == "probe":
        return load_recipe(plan.probe, changes, kind=ProbeRecipe)
    return load_recipe(plan.finetune, changes, kind=FinetuneRecipe)


def _cache(plan: Plan) -> str:
    return f"teacher_cache={json.dumps(str(plan.output / 'teacher'))}"
