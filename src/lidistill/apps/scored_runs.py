"""Runs that end in a score, run once: what is done is read from its folder."""

from pathlib import Path
from typing import Any

from lidistill.errors import CheckpointError
from lidistill.reading.files import blamed_on, read_json
from lidistill.segment.initial_networks import has_changed
from lidistill.segment.recipe import FinetuneRecipe, ProbeRecipe
from lidistill.segment.report import train_and_score


def scored(recipe: ProbeRecipe | FinetuneRecipe) -> dict[str, Any]:
    """The results of a run, from its folder where it is done."""
    file = _file_of(recipe)
    if file.is_file():
        record = _results(file)
        if record["recipe"] == recipe.model_dump(mode="json"):
            _check_start(record, recipe)
            return record
    results = train_and_score(recipe).results
    return _results(results)


def is_scored(recipe: ProbeRecipe | FinetuneRecipe) -> bool:
    """Whether there are results in its folder, be they of this recipe or of a former one."""
    return _file_of(recipe).is_file()


def _file_of(recipe: ProbeRecipe | FinetuneRecipe) -> Path:
    return recipe.output / "results.json"


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


def percentages(record: dict[str, Any]) -> dict[str, float | None]:
    """The scores of a run; None where there is nothing to score, such as no image."""
    points, seen = record["all_points"], record["seen_by_a_camera"]
    return {
        "mean_iou": points["mean_iou"],
        "mean_iou_of_truth": points["mean_iou_of_truth"],
        "seen": seen["mean_iou"],
    }
