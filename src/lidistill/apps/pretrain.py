"""A whole distillation run: train, then write its figures."""

import logging
from dataclasses import dataclass
from pathlib import Path

from lidistill.apps.feature_figures import locate_frames, write_feature_figures
from lidistill.distill.recipe import PretrainRecipe
from lidistill.distill.run import DistillationRun, build_run, distil
from lidistill.distributed.processes import on_rank_zero
from lidistill.figures.charts import loss_curve
from lidistill.training.run_files import read_log

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class PretrainResult:
    """What a distillation run leaves behind."""

    checkpoint: Path
    figures: tuple[Path, ...]
    last: dict[str, float]
    """Last line of the log: step, loss, cosine, learning rate."""


def run_pretrain(recipe: PretrainRecipe) -> PretrainResult:
    """Distil, then draw the loss curve and, if the recipe wants it, the features."""
    dataset = recipe.build_data()
    if recipe.figures.enabled:
        locate_frames(dataset, recipe.figures.frames)  # says at once that one is not there
    run = build_run(recipe, dataset)
    checkpoint = distil(run)
    return on_rank_zero(lambda: _draw(run, checkpoint))


def _draw(run: DistillationRun, checkpoint: Path) -> PretrainResult:
    recipe = run.recipe
    records = read_log(recipe.output / "log.jsonl")
    folder = recipe.output / "figures"
    curve = folder / "loss.png"
    loss_curve(records, curve)
    portrait: list[Path] = []
    wanted = run.image_teachers if recipe.figures.enabled else {}
    if recipe.figures.enabled and not wanted:
        logger.info("no figures of features: they stand beside those of a teacher of images")
    for teacher in wanted:
        frames, point = recipe.figures.frames, recipe.figures.point
        portrait += write_feature_figures(
            run, checkpoint, folder / teacher, frames=frames, point=point, teacher=teacher
        )
    return PretrainResult(
        checkpoint=checkpoint, figures=(curve, *portrait), last=records[-1] if records else {}
    )
