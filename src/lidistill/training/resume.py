"""Going on with a run: its newest checkpoint, and whether it is of the same recipe."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from lidistill.config import resume_rule
from lidistill.distributed.processes import load_optimizer, on_rank_zero
from lidistill.errors import CheckpointError, first_line
from lidistill.reading.names import shown
from lidistill.training.checkpoint import (
    Checkpoint,
    has_checkpoint,
    load_checkpoint,
    newest_checkpoint,
)
from lidistill.training.config import RunRecipe, Training
from lidistill.training.fitting import load_weights
from lidistill.training.training_state import check_optimizer

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Resumed:
    """Where a run goes on."""

    step: int = 0
    """Steps that are done."""
    bad_in_a_row: int = 0
    """Bad steps that came last."""
    losses: Sequence[float] = ()
    """Of the steps since the last checkpoint that has a measure."""
    state: Mapping[str, Any] | None = None
    """Optimiser and loss scaler; None at the beginning."""
    recipe: Mapping[str, Any] | None = None
    """What ran before; None at the beginning."""

    def restore(self, optimizer: torch.optim.Optimizer, scaler: torch.amp.GradScaler) -> None:
        """Give optimiser and loss scaler the state they had."""
        if self.state is None:
            return
        try:
            check_optimizer(optimizer, self.state["optimizer"])
            load_optimizer(optimizer, self.state["optimizer"])
            scaler.load_state_dict(self.state["scaler"])
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            msg = (
                f"the training state of step {self.step} does not fit this run "
                f"({first_line(error)[:200]}); delete that checkpoint to go on from the one before."
            )
            raise CheckpointError(msg) from error


def resume(training: Training) -> Resumed:
    """Load the weights of the run's newest checkpoint, where there is one.

    Raises:
        CheckpointError: If it is of another recipe, or cannot be read.
    """
    newest = on_rank_zero(
        lambda: newest_checkpoint(training.run) if has_checkpoint(training.run) else None
    )
    if newest is None:
        return Resumed()
    checkpoint = load_checkpoint(newest)
    changed = changed_keys(training.recipe, checkpoint.recipe)
    if changed:
        msg = (
            f"{training.run} holds a run of another recipe (different: {', '.join(changed)}); "
            "give another output=FOLDER, or delete that one to start anew."
        )
        raise CheckpointError(msg)
    _check_sources(training, checkpoint)
    load_weights(training.module, checkpoint.weights, source=checkpoint.path)
    state = checkpoint.training_state()
    total = training.total_steps
    _check_length(training, checkpoint, total)
    done = "%s has finished its %d steps" if checkpoint.step >= total else "resuming %s at step %d"
    logger.info(done, training.run, checkpoint.step)
    return Resumed(
        step=checkpoint.step,
        bad_in_a_row=state.get("bad_in_a_row", 0),
        losses=state.get("losses", ()),
        state=state,
        recipe=checkpoint.recipe,
    )


def changed_keys(recipe: RunRecipe, stored: dict[str, Any]) -> list[str]:
    """Dotted keys in which a recipe differs from that of a run, though they may not."""
    before = _flat(recipe.as_present(stored))
    now = _flat(recipe.model_dump(mode="json"))
    changed = []
    for key in sorted(before.keys() | now.keys()):
        old, new = before.get(key), now.get(key)
        rule = None if old == new else resume_rule(recipe, key)
        may = rule == "may change" or (rule == "may move" and old and new)
        if old != new and not may:
            changed.append(key)
    return changed


def _check_sources(training: Training, checkpoint: Checkpoint) -> None:
    """Refuse to go on with other data, wherever they lie."""
    word = training.feed.source_word
    before, now = checkpoint.meta.get(word), training.meta.get(word)
    if now is None or before == now:
        return
    if before is None:
        logger.warning(
            "%s does not say which %s it learned from, as an older version wrote it; going on "
            "with the %d that are there", checkpoint.path, word, now["number"],
        )  # fmt: skip
        return
    msg = (
        f"{training.run} learned from {shown(before.get('number'))} {word}, and data.sets hold "
        f"{now['number']}, other ones or in another order; where they lie is free, but a run goes "
        "on with the same. Mend data.sets, or give another output=FOLDER."
    )
    raise CheckpointError(msg)


def _check_length(training: Training, checkpoint: Checkpoint, total: int) -> None:
    """Say what another length means for a run, and refuse one that lies behind it."""
    before = checkpoint.recipe.get("train", {})
    now = training.values["train"]
    if all(before.get(key) == now.get(key) for key in ("steps", "epochs")):
        return
    if total < checkpoint.step:
        msg = (
            f"{training.run} has done {checkpoint.step} steps, more than the {total} that are "
            "asked for; give more, or another output=FOLDER to start anew."
        )
        raise CheckpointError(msg)
    logger.warning(
        "%s now has %d steps in all: from step %d on the learning rate is that of a run of this "
        "length, so it may rise once. A run of this length from the start ends elsewhere.",
        training.run, total, checkpoint.step,
    )  # fmt: skip


def _flat(values: Any, prefix: str = "") -> dict[str, Any]:
    """Nested values as dotted keys."""
    if isinstance(values, dict):
        items: Any = values.items()
    elif isinstance(values, list) and values:
        items = enumerate(values)
    else:
        return {prefix: values}
    flat: dict[str, Any] = {}
    for key, value in items:
        flat |= _flat(value, f"{prefix}.{key}" if prefix else str(key))
    return flat
