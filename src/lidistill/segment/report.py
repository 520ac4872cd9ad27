"""Runs that end in a score: train on labels, evaluate, write the numbers and the figures."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from lidistill.atomic_write import sha256
from lidistill.datasets import FrameDataset
from lidistill.distributed.processes import join_group, on_rank_zero
from lidistill.errors import CheckpointError, ConfigError
from lidistill.figures.charts import confusion_figure, loss_curve
from lidistill.instances.boxes import InstanceConfig
from lidistill.labels import LabelMap
from lidistill.segment.evaluate import Evaluation, evaluate, write_evaluation
from lidistill.segment.inference import precision_taken
from lidistill.segment.initial_networks import stored_backbone, stored_teacher
from lidistill.segment.panoptic import PanopticAccumulator, panoptic_markdown
from lidistill.segment.recipe import LabelRecipe, ProbeRecipe
from lidistill.segment.run import Segmentation, build_segmentation, train_on_labels
from lidistill.segment.score_table import markdown_table
from lidistill.segment.test_time_augmentation import predict_with_tta
from lidistill.training.checkpoint import Checkpoint, load_checkpoint, newest_checkpoint, versions
from lidistill.training.checkpoint_record import WEIGHTS
from lidistill.training.fitting import check_fits, load_weights, part_of
from lidistill.training.precision import pick_device
from lidistill.training.run_files import read_log


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoredRun:
    """Scores of a probe or a fine-tuning, and where they are written."""

    name: str
    evaluation: Evaluation
    results: Path
    """JSON with scores, confusion matrices, recipe and versions."""
    figures: tuple[Path, ...]


def train_and_score(recipe: LabelRecipe) -> ScoredRun:
    """Train a probe, or fine-tune, and score the result on the recipe's evaluation frames."""
    dataset, scored = recipe.data.build(), recipe.evaluation.build()
    learned = dataset.label_map
    check_classes(learned.class_names, repr(learned.name), scored.label_map)
    segmentation = train_on_labels(recipe, dataset)
    checkpoint = newest_checkpoint(recipe.output)
    if recipe.train.sharding == "full":
        # Each process has other frames to score, so none can wait for the others' weights.
        segmentation = restored(recipe, load_checkpoint(checkpoint))
    curve = recipe.output / "figures" / "loss.png"
    on_rank_zero(lambda: loss_curve(read_log(recipe.output / "log.jsonl"), curve))
    result = score(segmentation, recipe, checkpoint, scored)
    return ScoredRun(
        name=result.name,
        evaluation=result.evaluation,
        results=result.results,
        figures=(curve, *result.figures),
    )


def check_learned(checkpoint: Checkpoint, run: Path, *, command: str) -> None:
    """See to it that a checkpoint has learned classes.

    Args:
        checkpoint: What was found.
        run: What the user gave.
        command: Which command needs it.

    Raises:
        CheckpointError: If it is of another kind of run.
    """
    kind = checkpoint.recipe.get("kind")
    if kind not in {"probe", "finetune"}:
        msg = f"{run} is a {kind} run; {command} needs one of `lidistill probe` or `finetune`."
        raise CheckpointError(msg)


def evaluate_run(
    recipe: LabelRecipe, checkpoint: Checkpoint, *, instances: InstanceConfig | None = None
) -> ScoredRun:
    """Score the networks of a checkpoint on the recipe's evaluation frames.

    Args:
        recipe: The run's own recipe, with whatever overrides.
        checkpoint: Of a probe or a fine-tuning; nothing else is needed, not what it began with.
        instances: Panoptic quality, too, of objects that are told apart so.

    Raises:
        CheckpointError: If the weights do not fit the recipe.
    """
    segmentation = restored(recipe, checkpoint)
    learned = tuple(checkpoint.meta["label_names"])
    scored = recipe.evaluation.build()
    check_classes(learned, str(checkpoint.path), scored.label_map)
    tally = None
    if instances is not None:
        enough = recipe.evaluation.sets[0].MIN_SEGMENT_POINTS
        tally = PanopticAccumulator(instances, learned, min_points=enough)
    return score(segmentation, recipe, checkpoint.path, scored, panoptic=tally)


def restored(recipe: LabelRecipe, checkpoint: Checkpoint) -> Segmentation:
    """The trained networks of a probe or a fine-tuning, ready to predict.

    Args:
        recipe: The run's own recipe.
        checkpoint: Its checkpoint; nothing but it is needed.

    Raises:
        CheckpointError: If the weights do not fit the recipe.
    """
    stored: dict[str, Any] = checkpoint.meta["networks"]
    backbone = stored_backbone(stored.get("backbone"), checkpoint)
    if weights := part_of(checkpoint, "backbone"):
        check_fits(backbone.build, weights, source=checkpoint.path)
    changes: dict[str, Any] = {
        "checkpoint": None,
        "features": "random" if recipe.features == "backbone" else recipe.features,
        "backbone": backbone,
    }
    if stored.get("teacher") is not None and isinstance(recipe, ProbeRecipe):
        changes["teacher"] = stored_teacher(stored["teacher"], checkpoint)
    alone = recipe.model_copy(update=changes)
    device = pick_device(recipe.device)
    join_group(device)
    segmentation = build_segmentation(alone, len(checkpoint.meta["label_names"]), device)
    load_weights(segmentation.segmenter, checkpoint.weights, source=checkpoint.path)
    segmentation.segmenter.to(device)
    return dataclasses.replace(segmentation, description=checkpoint.meta["start"])


def check_classes(learned: tuple[str, ...], source: str, scored: LabelMap) -> None:
    """Refuse to score classes other than those that were learned.

    Raises:
        ConfigError: If the label tables differ.
    """
    if learned != scored.class_names:
        msg = (
            f"the run learns the {len(learned)} classes of {source}, but the evaluation frames "
            f"have the {scored.num_classes} of {scored.name!r}; use data sets with one label "
            "table, or `lidistill gap`."
        )
        raise ConfigError(msg)


@torch.no_grad()
def score(
    segmentation: Segmentation,
    recipe: LabelRecipe,
    checkpoint: Path,
    scored: FrameDataset,
    *,
    panoptic: PanopticAccumulator | None = None,
) -> ScoredRun:
    """Evaluate and write ``results.json``, ``results.md`` and the confusion matrix's figure.

    Args:
        segmentation: Trained networks.
        recipe: Says how they are scored.
        checkpoint: Folder that holds their weights.
        scored: The recipe's evaluation frames.
        panoptic: Counts objects, too.
    """
    segmentation = segmentation.for_scores(recipe.inference, scored, recipe.sampling)
    predict = predict_with_tta(
        segmentation.class_scores, recipe.votes, recipe.sampling, segmentation.preparer
    )
    evaluation = evaluate(predict, scored, recipe.sampling, segmentation.preparer, panoptic)
    taken = precision_taken(segmentation.encoder)
    return on_rank_zero(lambda: _write(evaluation, segmentation, recipe, checkpoint, taken))


def _write(
    evaluation: Evaluation,
    segmentation: Segmentation,
    recipe: LabelRecipe,
    checkpoint: Path,
    taken: dict[str, Any],
) -> ScoredRun:
    results = recipe.output / "results.json"
    write_evaluation(
        evaluation,
        results,
        name=recipe.name,
        start=segmentation.description,
        seed=recipe.seed,
        checkpoint={"path": str(checkpoint), "sha256": sha256(checkpoint / WEIGHTS)},
        recipe=recipe.model_dump(mode="json"),
        inference=taken,
        versions=versions(),
    )
    table = f"# {recipe.name}\n\n{segmentation.description}\n\n{markdown_table(evaluation)}"
    if evaluation.panoptic is not None:
        table += f"\n{panoptic_markdown(evaluation.panoptic)}"
    results.with_suffix(".md").write_text(table, encoding="utf-8")
    figure = recipe.output / "figures" / "confusion.png"
    confusion_figure(evaluation.confusion, evaluation.class_names, figure)
    return ScoredRun(name=recipe.name, evaluation=evaluation, results=results, figures=(figure,))
