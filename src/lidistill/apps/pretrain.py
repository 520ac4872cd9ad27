"""A whole distillation run: train, then write its figures."""

from dataclasses import dataclass
from pathlib import Path

from lidistill.apps.feature_figures import locate_frames, write_portrait
from lidistill.distill.recipe import PretrainRecipe
from lidistill.distill.run import Ingredients, distil, gather
from lidistill.distributed.processes import on_first
from lidistill.figures.charts import loss_curve
from lidistill.training.run_files import read_log


@dataclass(frozen=True, slots=True, kw_only=True)
class PretrainResult:
    """What a distillation run leaves behind."""

    checkpoint: Path
    figures: tuple[Path, ...]
    last: dict[str, float]
    """Last line of the log: step, loss, cosine, learning rate."""


def run_pretrain(recipe: PretrainRecipe) -> PretrainResult:
    """Distil, then draw the loss curve and, if the recipe wants it, the features."""
    dataset = recipe.data.build()
    if recipe.figures.enabled:
        locate_frames(dataset, recipe.figures.frames)  # says at once that one is not there
    run = gather(recipe, dataset)
    checkpoint = distil(run)
    return on_first(lambda: _draw(run, checkpoint))


def _draw(run: Ingredients, checkpoint: Path) -> PretrainResult:
    recipe = run.recipe
    records = read_log(recipe.output / "log.jsonl")
    folder = recipe.output / "figures"
    curve = folder / "loss.png"
    loss_curve(records, curve)
    portrait: list[Path] = []
    if recipe.figures.enabled:
        portrait = write_portrait(
            run, checkpoint, folder, frames=recipe.figures.frames, point=recipe.figures.point
        )
    return PretrainResult(
        checkpoint=checkpoint, figures=(curve, *portrait), last=records[-1] if records else {}
    )
