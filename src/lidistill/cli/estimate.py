"""The command that predicts what a run needs."""

import dataclasses
from typing import TYPE_CHECKING

from rich.table import Table

from lidistill.cli.output import OUT, Overrides, RecipeName, positive, print_json

if TYPE_CHECKING:
    from lidistill.apps.estimate import Estimate


def estimate(
    recipe: RecipeName,
    overrides: Overrides = (),
    /,
    *,
    ranks: int = 1,
    frames: int | None = None,
    json: bool = False,
) -> None:
    """Predict memory and time of a distillation, in seconds and without training.

    Example: lidistill estimate pretrain/scalr --ranks 4 --frames 55100

    The time is measured on this machine's device with two shallow networks, the memory counted.

    Args:
        recipe: A name from `lidistill recipes`, or a YAML file.
        overrides: Changes to it, with dots between keys.
        ranks: Processes that share the run.
        frames: Frames of an epoch; those on disk are counted where it is left out.
        json: Print one JSON object instead of text.
    """
    from lidistill.apps.estimate import estimate as estimate_run
    from lidistill.distill.recipe import PretrainRecipe
    from lidistill.recipes import load_recipe

    loaded = load_recipe(recipe, overrides, kind=PretrainRecipe)
    frames = None if frames is None else positive("frames", frames)
    result = estimate_run(loaded, ranks=positive("ranks", ranks), frames=frames)
    if json:
        totals = {"total_bytes": result.total_bytes, "epoch_seconds": result.epoch_seconds}
        print_json(dataclasses.asdict(result) | totals)
        return
    OUT.print(_table(loaded.name, result))


def _table(name: str, result: "Estimate") -> Table:
    table = Table(name, f"one process, {result.device}")
    rows = {
        "parameters": f"{result.parameters:,}",
        "weights, gradients, AdamW": _mebibytes(result.model_bytes),
        "activations": _mebibytes(result.activation_bytes),
        "working memory of a layer": _mebibytes(result.working_bytes),
        "batch": _mebibytes(result.batch_bytes),
        "teacher's weights": _mebibytes(result.teacher_bytes),
        "memory in all": _mebibytes(result.total_bytes),
        "a step of the student": f"{result.step_seconds:.2f} s",
        "an epoch": f"{result.epoch_seconds / 3600:.2f} h ({result.steps_per_epoch:,} steps)",
    }
    for row, value in rows.items():
        table.add_row(row, value)
    return table


def _mebibytes(count: int) -> str:
    return f"{count / 2**20:,.0f} MiB"
