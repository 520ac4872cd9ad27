"""Distillation that starts from the weights of another run, instead of random ones."""

import logging
from collections.abc import Mapping
from pathlib import Path

from torch import nn

from lidistill.distill.step import Distiller
from lidistill.distill.teacher_config import UNNAMED_TEACHER, part_name
from lidistill.training.checkpoint import Checkpoint, load_checkpoint
from lidistill.training.checkpoint_record import WEIGHTS
from lidistill.training.fitting import backbone_weights, load_weights, part_of

logger = logging.getLogger(__name__)


def load_initial(distiller: Distiller, *, run: Path, teachers: Mapping[str, str]) -> str:
    """Start a student with what another run has learned, and its heads where they fit.

    A head says what the teacher's channels are: of another teacher, or of another kind, it starts
    anew, and that is logged.

    Args:
        distiller: Its backbone is changed, and each head that the run has one of the same teacher
            and alike for.
        run: Run folder or checkpoint of a distillation, a probe or a fine-tuning, or what
            `lidistill import-checkpoint` made of published weights.
        teachers: Name of each teacher with everything its features depend on, by what the recipe
            calls it.

    Returns:
        What was taken, for the record.

    Raises:
        CheckpointError: If there is no checkpoint, or its backbone is another one.
    """
    checkpoint = load_checkpoint(run)
    load_weights(
        distiller.backbone,
        backbone_weights(checkpoint),
        source=checkpoint.path,
        advice="init needs the same backbone: take width, depth and the rest from its recipe.yaml.",
    )
    taken = ["backbone"]
    anew = []
    for name, teacher in teachers.items():
        head, word = (
            distiller.objectives[name].head,
            "head" if name == UNNAMED_TEACHER else f"head {name}",
        )
        theirs = _same_teacher(checkpoint, name, teacher)
        why_not = _other_head(checkpoint, head, theirs)
        if why_not is None and theirs is not None:
            part = part_of(checkpoint, part_name("head", theirs))
            load_weights(head, part, source=checkpoint.path)
            taken.append(word)
        else:
            anew.append(f"the {word} starts anew: {why_not}")
    said = " and ".join(taken)
    logger.info("starting with %s of %s", said, checkpoint.path)
    for line in anew:
        logger.info("%s", line)
    return f"{said} of {checkpoint.path}, weights {checkpoint.sha256.get(WEIGHTS, '')[:12]}"


def _same_teacher(checkpoint: Checkpoint, name: str, teacher: str) -> str | None:
    """What a run calls a teacher, where it had it; its own name for it counts before others."""
    known = dict(checkpoint.meta.get("teachers", {}))
    if not known:  # imported weights do not name theirs
        known = {UNNAMED_TEACHER: checkpoint.meta.get("teacher", teacher)}
    fitting = [theirs for theirs, its_name in known.items() if its_name == teacher]
    return name if name in fitting else next(iter(fitting), None)


def _other_head(checkpoint: Checkpoint, head: nn.Module, theirs: str | None) -> str | None:
    """Why a checkpoint's head is of no use, or None."""
    if checkpoint.meta.get("label_names"):
        return "that of the run tells classes"
    wanted = {name: tuple(tensor.shape) for name, tensor in head.state_dict().items()}
    stored = part_of(checkpoint, part_name("head", UNNAMED_TEACHER if theirs is None else theirs))
    found = {name: tuple(tensor.shape) for name, tensor in stored.items()}
    if theirs is None:
        return "that of the run was distilled from another teacher"
    if wanted != found:
        return "that of the run has other layers" if found else "the run has none"
    return None
