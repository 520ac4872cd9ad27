"""Distillation that starts from the weights of another run, instead of random ones."""

import logging
from pathlib import Path

from torch import nn

from lidistill.training.checkpoint import Checkpoint, load_checkpoint
from lidistill.training.checkpoint_record import WEIGHTS
from lidistill.training.fitting import backbone_weights, load_weights, part_of

logger = logging.getLogger(__name__)


def load_initial(backbone: nn.Module, head: nn.Module, *, run: Path, teacher: str) -> str:
    """Start a backbone with what another run has learned, and its head where that fits.

    A head says what the teacher's channels are: of another teacher, or of another kind, it starts
    anew, and that is logged.

    Args:
        backbone: Changed.
        head: Changed where the run's head was distilled from the same teacher and is alike.
        run: Run folder or checkpoint of a distillation, a probe or a fine-tuning, or what
            `lidistill import-checkpoint` made of published weights.
        teacher: Name of the teacher, with everything its features depend on.

    Returns:
        What was taken, for the record.

    Raises:
        CheckpointError: If there is no checkpoint, or its backbone is another one.
    """
    checkpoint = load_checkpoint(run)
    load_weights(
        backbone,
        backbone_weights(checkpoint),
        source=checkpoint.path,
        advice="init needs the same backbone: take width, depth and the rest from its recipe.yaml.",
    )
    taken = "backbone"
    why_not = _other_head(checkpoint, head, teacher)
    if why_not is None:
        load_weights(head, part_of(checkpoint, "head"), source=checkpoint.path)
        taken = "backbone and head"
    logger.info("starting with %s of %s", taken, checkpoint.path)
    if why_not is not None:
        logger.info("the head starts anew: %s", why_not)
    return f"{taken} of {checkpoint.path}, weights {checkpoint.sha256.get(WEIGHTS, '')[:12]}"


def _other_head(checkpoint: Checkpoint, head: nn.Module, teacher: str) -> str | None:
    """Why a checkpoint's head is of no use, or None."""
    own = {name: tuple(tensor.shape) for name, tensor in head.state_dict().items()}
    found = {name: tuple(t.shape) for name, t in part_of(checkpoint, "head").items()}
    if checkpoint.meta.get("label_names"):
        return "that of the run tells classes"
    if own != found:
        return "that of the run has other layers" if found else "the run has none"
    known = checkpoint.meta.get("teacher", teacher)  # imported weights do not name theirs
    return None if known == teacher else "that of the run was distilled from another teacher"
