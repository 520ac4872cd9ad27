"""A distillation run: what it is made of, built once, and its training."""

import functools
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from lidistill.distill.batch_teachers import (
    AnyBatchTeacher,
    ImageBatchTeacher,
    build_batch_teacher,
    check_cameras,
    requirements_of,
)
from lidistill.distill.device_samples import DeviceSamples
from lidistill.distill.initial_weights import load_initial
from lidistill.distill.objective import num_counted
from lidistill.distill.recipe import PretrainRecipe
from lidistill.distill.step import Distiller, build_distiller
from lidistill.distill.teacher_config import UNNAMED_TEACHER
from lidistill.distributed import processes as distributed
from lidistill.loading.config import Batches, SampleMaker, sample_batches, step_plan
from lidistill.loading.input_statistics import frames_seen, input_statistics
from lidistill.loading.mixture import Concatenation
from lidistill.loading.order import StepPlan
from lidistill.samples.distillation import distillation_sample
from lidistill.samples.preparer import for_batches_on
from lidistill.training.checkpoint import has_checkpoint, load_checkpoint
from lidistill.training.config import BatchSource, Training
from lidistill.training.loop import train
from lidistill.training.precision import log_paths, pick_device


@dataclass(frozen=True, slots=True, kw_only=True)
class DistillationRun:
    """What takes long to build, once for all parts of a run: its frames and its teachers."""

    recipe: PretrainRecipe
    device: torch.device
    dataset: Concatenation
    plan: StepPlan
    """Which frames every step sees."""
    batch_teachers: dict[str, AnyBatchTeacher]
    """The teachers, by name."""

    @property
    def image_teachers(self) -> dict[str, ImageBatchTeacher]:
        """The teachers that look at images."""
        found = self.batch_teachers.items()
        return {name: one for name, one in found if isinstance(one, ImageBatchTeacher)}

    def build_distiller(self) -> Distiller:
        """The student, with fresh weights; it knows its teachers."""
        groups = {name: self.batch_teachers[name].teacher.groups for name in _in_order(self.recipe)}
        distiller = build_distiller(self.recipe, groups)
        for name, batch_teacher in self.batch_teachers.items():
            distiller.objectives[name].teacher = batch_teacher
        return distiller


def build_run(recipe: PretrainRecipe, dataset: Concatenation | None = None) -> DistillationRun:
    """Build what a run is made of.

    Args:
        recipe: The run.
        dataset: Its frames, where they are built already.

    Raises:
        DatasetNotFoundError: If there is no frame.
        ConfigError: If the schedule does not fit a run of this length, or a teacher is for a camera
            that the data do not have.
        WeightsNotFoundError: If a teacher's weights are not there.
    """
    device = pick_device(recipe.device)
    distributed.join_group(device)
    dataset = recipe.build_data() if dataset is None else dataset
    plan = step_plan(
        recipe.data.order(dataset, recipe.seed), recipe.train.batch_size, recipe.train.micro_batch
    )
    recipe.check_length(plan.steps_per_epoch)
    check_cameras(recipe, dataset.cameras)
    return DistillationRun(
        recipe=recipe,
        device=device,
        dataset=dataset,
        plan=plan,
        batch_teachers={
            name: build_batch_teacher(recipe, name, device) for name in recipe.teachers
        },
    )


def _in_order(recipe: PretrainRecipe) -> list[str]:
    """Teachers' names in the order in which heads are drawn and the optimiser has them.

    However a recipe lists them that is the alphabet's, so that it is the same run; one that goes on
    keeps the order that it began with.
    """
    names = sorted(recipe.teachers)
    if len(names) == 1 or not has_checkpoint(recipe.output):
        return names
    begun = list(load_checkpoint(recipe.output).meta.get("teachers", ()))
    return begun if sorted(begun) == names else names


def pretrain(recipe: PretrainRecipe) -> Path:
    """Run a distillation recipe to its end, or from where it was cut.

    Returns:
        The last checkpoint.
    """
    return distil(build_run(recipe))


def distil(run: DistillationRun) -> Path:
    """Train a student on what a run is made of.

    Returns:
        The last checkpoint.
    """
    recipe, teachers = run.recipe, {name: one.teacher for name, one in run.batch_teachers.items()}
    if distributed.is_rank_zero():
        log_paths(teachers.values(), run.device, recipe.train.precision)
    distiller = run.build_distiller()
    names = {name: teachers[name].name for name in distiller.objectives}
    meta = input_statistics(recipe.data) | {"frames": frames_seen(recipe.data, run.dataset)}
    meta |= {"teacher": names[UNNAMED_TEACHER]} if UNNAMED_TEACHER in names else {"teachers": names}
    if has_checkpoint(recipe.output):  # a run that goes on began with what it says
        began = load_checkpoint(recipe.output).meta.get("init")
        meta |= {} if began is None else {"init": began}
    elif recipe.init is not None:
        meta["init"] = load_initial(distiller, run=recipe.init, teachers=names)
    return train(
        Training(
            module=distiller,
            feed=BatchSource(
                batches=training_batches(run),
                steps_per_epoch=run.plan.steps_per_epoch,
                weight=num_counted,
                sources=lambda batch: batch.frame_ids,
                source_word="frames",
            ),
            recipe=recipe,
            device=run.device,
            meta=meta,
            rate_name="pairs_per_s",
        )
    )


def training_batches(run: DistillationRun) -> Batches:
    """The batches of every step, with samples from where the recipe wants them made."""
    recipe = run.recipe
    preparer, load_images = recipe.backbone.inputs(), recipe.teacher_cache is None
    wanted = requirements_of(run.batch_teachers)
    if recipe.samples == "device":
        return DeviceSamples(
            dataset=run.dataset,
            data=recipe.data,
            preparer=preparer,
            seed=recipe.seed,
            load_images=load_images,
            wanted=wanted,
            device=run.device,
        ).batches(run.plan)
    networks = {name: for_batches_on(run.device, one) for name, one in wanted.networks.items()}
    make = functools.partial(
        distillation_sample,
        config=recipe.data.sampling,
        preparer=for_batches_on(run.device, preparer),
        load_images=load_images,
        wanted=replace(wanted, networks=networks),
    )
    return sample_batches(
        SampleMaker(run.dataset, make, recipe.seed, recipe.data.corruption),
        run.plan,
        workers=recipe.data.workers,
        bad_frames=recipe.data.bad_frames,
        device=run.device,
    )
