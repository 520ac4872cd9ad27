"""A distillation run: what it is made of, built once, and its training."""

import functools
from dataclasses import dataclass
from pathlib import Path

import torch

from lidistill.distill.device_samples import DeviceSamples
from lidistill.distill.initial_weights import load_initial
from lidistill.distill.recipe import PretrainRecipe
from lidistill.distill.step import build_distiller, features_at_pairs
from lidistill.distributed import processes as distributed
from lidistill.loading.config import Batches, SampleMaker, sample_batches, step_plan
from lidistill.loading.input_statistics import frames_seen, input_statistics
from lidistill.loading.mixture import Concatenation
from lidistill.loading.order import StepPlan
from lidistill.samples.distillation import distillation_sample
from lidistill.teachers import Teacher
from lidistill.teachers.target_reader import TargetReader
from lidistill.training.checkpoint import has_checkpoint
from lidistill.training.config import Feed, Training
from lidistill.training.loop import train
from lidistill.training.precision import log_paths, pick_device


@dataclass(frozen=True, slots=True, kw_only=True)
class Ingredients:
    """What takes long to build, once for all parts of a run: its frames and its teacher."""

    recipe: PretrainRecipe
    device: torch.device
    dataset: Concatenation
    plan: StepPlan
    """Which frames every step sees."""
    teacher: Teacher
    reader: TargetReader
    """The teacher at pixels of images on disk; with a cache, at those of a batch, too."""


def gather(recipe: PretrainRecipe, dataset: Concatenation | None = None) -> Ingredients:
    """Build what a run is made of.

    Args:
        recipe: The run.
        dataset: Its frames, where they are built already.

    Raises:
        DatasetNotFoundError: If there is no frame.
        ConfigError: If the schedule does not fit a run of this length.
        WeightsNotFoundError: If the teacher's weights are not there.
    """
    device = pick_device(recipe.device)
    distributed.join_group(device)
    dataset = recipe.data.build() if dataset is None else dataset
    plan = step_plan(
        recipe.data.order(dataset, recipe.seed), recipe.train.batch_size, recipe.train.micro_batch
    )
    recipe.check_length(plan.steps_per_epoch)
    teacher = recipe.teacher.build().to(device)
    return Ingredients(
        recipe=recipe,
        device=device,
        dataset=dataset,
        plan=plan,
        teacher=teacher,
        reader=TargetReader(teacher, recipe.data.sampling, recipe.teacher_cache),
    )


def pretrain(recipe: PretrainRecipe) -> Path:
    """Run a distillation recipe to its end, or from where it was cut.

    Returns:
        The last checkpoint.
    """
    return distil(gather(recipe))


def distil(run: Ingredients) -> Path:
    """Train a student on what a run is made of.

    Returns:
        The last checkpoint.
    """
    recipe, teacher = run.recipe, run.teacher
    if distributed.is_first():
        log_paths([teacher], run.device, recipe.train.precision)
    distiller = build_distiller(recipe, teacher.groups)
    uncached = functools.partial(features_at_pairs, teacher)
    distiller.teacher = uncached if recipe.teacher_cache is None else run.reader
    meta = input_statistics(recipe.data) | {
        "teacher": teacher.name,
        "frames": frames_seen(recipe.data, run.dataset),
    }
    if recipe.init is not None and not has_checkpoint(recipe.output):
        meta["init"] = load_initial(
            distiller.backbone, distiller.head, run=recipe.init, teacher=teacher.name
        )
    return train(
        Training(
            module=distiller,
            feed=Feed(
                batches=training_batches(run),
                steps_per_epoch=run.plan.steps_per_epoch,
                weight=lambda batch: len(batch.pairs),
                sources=lambda batch: batch.frame_ids,
                source_word="frames",
            ),
            recipe=recipe,
            device=run.device,
            meta=meta,
            rate_name="pairs_per_s",
        )
    )


def training_batches(run: Ingredients) -> Batches:
    """The batches of every step, with samples from where the recipe wants them made."""
    recipe = run.recipe
    preparer, load_images = recipe.backbone.inputs(), recipe.teacher_cache is None
    if recipe.samples == "device":
        return DeviceSamples(
            dataset=run.dataset,
            data=recipe.data,
            preparer=preparer,
            seed=recipe.seed,
            load_images=load_images,
            device=run.device,
        ).batches(run.plan)
    make = functools.partial(
        distillation_sample,
        config=recipe.data.sampling,
        preparer=preparer,
        load_images=load_images,
    )
    return sample_batches(
        SampleMaker(run.dataset, make, recipe.seed, recipe.data.corruption),
        run.plan,
        workers=recipe.data.workers,
        bad_frames=recipe.data.bad_frames,
    )
