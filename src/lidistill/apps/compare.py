"""Every baseline with the same budget, in one table: what are the distilled features worth?"""

import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from lidistill.apps.comparison_plan import ROWS, Plan
from lidistill.apps.comparison_table import Line, markdown, supervised_minus_distilled
from lidistill.apps.pretrain import run_pretrain
from lidistill.apps.scored_runs import percentages, scored
from lidistill.distill.recipe import PretrainRecipe
from lidistill.recipes import load_recipe
from lidistill.segment.recipe import FinetuneRecipe, ProbeRecipe
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
            record = scored(_recipe(plan, row, frames, seed, student))
            line = lines.setdefault(name, Line(name=name))
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
