"""Runs that end in a score: train a probe, evaluate it, write the numbers and the pictures."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from pydantic import TypeAdapter

from lidistill.backbones import BackboneConfig
from lidistill.engine.checkpoint import Checkpoint, load_weights, versions
from lidistill.engine.precision import pick_device
from lidistill.engine.tracking import read_log
from lidistill.errors import ConfigError
from lidistill.labels import LabelMap
from lidistill.pictures.charts import confusion_picture, loss_curve
from lidistill.tasks.evaluate import Evaluation, evaluate, write_evaluation
from lidistill.tasks.segment import ProbeRecipe, Segmentation, build_segmentation, probe
from lidistill.teachers import TeacherConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeResult:
    """Scores of a probe and where they are written."""

    name: str
    evaluation: Evaluation
    results: Path
    """JSON with scores, confusion matrices, recipe and versions."""
    pictures: tuple[Path, ...]


def run_probe(recipe: ProbeRecipe) -> ProbeResult:
    """Train a probe and score it on the recipe's evaluation frames."""
    check_classes(recipe.data.build().label_map, recipe.evaluation.build().label_map)
    segmentation = probe(recipe)
    curve = recipe.output / "pictures" / "loss.png"
    loss_curve(read_log(recipe.output / "log.jsonl"), curve)
    result = score(segmentation, recipe)
    return ProbeResult(
        name=result.name,
        evaluation=result.evaluation,
        results=result.results,
        pictures=(curve, *result.pictures),
    )


def evaluate_run(recipe: ProbeRecipe, checkpoint: Checkpoint) -> ProbeResult:
    """Score the networks of a probe's checkpoint on the recipe's evaluation frames.

    Args:
        recipe: The run's own recipe, with whatever overrides.
        checkpoint: Of a probe; nothing but it is needed, not the distillation it began with.

    Raises:
        CheckpointError: If the weights do not fit the recipe.
    """
    stored: dict[str, Any] = checkpoint.meta["networks"]
    teacher = stored["teacher"]
    alone = recipe.model_copy(
        update={
            "checkpoint": None,
            "features": "random" if recipe.features == "backbone" else recipe.features,
            "backbone": TypeAdapter(BackboneConfig).validate_python(stored["backbone"]),
            "teacher": None
            if teacher is None
            else TypeAdapter(TeacherConfig).validate_python(teacher),
        }
    )
    device = pick_device(recipe.device)
    label_map = recipe.data.build().label_map
    check_classes(label_map, recipe.evaluation.build().label_map)
    segmentation = build_segmentation(alone, label_map.num_classes, device)
    load_weights(segmentation.segmenter, checkpoint.weights, source=checkpoint.path)
    segmentation.segmenter.to(device)
    return score(dataclasses.replace(segmentation, description=checkpoint.meta["start"]), recipe)


def check_classes(learned: LabelMap, scored: LabelMap) -> None:
    """Refuse to score classes other than those that were learned.

    Raises:
        ConfigError: If the label tables differ.
    """
    if learned.class_names != scored.class_names:
        msg = (
            f"the probe learns the {learned.num_classes} classes of {learned.name!r}, but the "
            f"evaluation frames have the {scored.num_classes} of {scored.name!r}; use data sets "
            "with one label table."
        )
        raise ConfigError(msg)


@torch.no_grad()
def score(segmentation: Segmentation, recipe: ProbeRecipe) -> ProbeResult:
    """Evaluate and write ``results.json`` and the picture of the confusion matrix."""
    evaluation = evaluate(
        segmentation.predict, recipe.evaluation.build(), recipe.sampling, segmentation.grid
    )
    results = recipe.output / "results.json"
    write_evaluation(
        evaluation,
        results,
        name=recipe.name,
        start=segmentation.description,
        recipe=recipe.model_dump(mode="json"),
        versions=versions(),
    )
    picture = recipe.output / "pictures" / "confusion.png"
    confusion_picture(evaluation.confusion, evaluation.class_names, picture)
    return ProbeResult(
        name=recipe.name, evaluation=evaluation, results=results, pictures=(picture,)
    )
