"""Steps whose numbers are not finite: left out by every process, named, and counted."""

import json
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lidistill.errors import TrainingError
from lidistill.training.run_files import keep_lines

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class BadStep:
    """A step that was not taken."""

    reason: str
    """For example ``the loss is nan``."""
    sources: tuple[str, ...]
    """What it may come from, for example frames."""


class FaultLog:
    """Counts bad steps, and writes each one down in ``faults.jsonl``.

    Args:
        path: The file; None where another process writes.
        word: What sources are called, in the plural.
        in_a_row: Bad steps that came last before this start, from the checkpoint.
        limit: Bad steps in a row that end the run.
        resume_step: Step the run starts from; what the file says about later ones is dropped.
    """

    def __init__(
        self, path: Path | None, *, word: str, in_a_row: int, limit: int, resume_step: int
    ) -> None:
        self.in_a_row = in_a_row
        self._path, self._word, self._limit = path, word, limit
        if path is not None and path.is_file():
            keep_lines(path, resume_step)

    def good(self) -> None:
        """A step was taken."""
        self.in_a_row = 0

    def bad(self, step: int, fault: BadStep) -> None:
        """A step was left out.

        Raises:
            TrainingError: If it was one too many in a row.
        """
        self.in_a_row += 1
        named = f"{self._word} {', '.join(fault.sources) or 'unknown'}"
        logger.warning("step %d is left out: %s (%s)", step, fault.reason, named)
        if self._path is not None:
            record: dict[str, Any] = {"step": step + 1, "reason": fault.reason}
            with self._path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(record | {self._word: fault.sources}) + "\n")
        if self.in_a_row >= self._limit:
            msg = (
                f"{fault.reason} at step {step}, and {self.in_a_row} steps in a row had to be left "
                f"out (this one: {named}); lower optimizer.lr, set optimizer.clip_norm, or look at "
                f"these {self._word}."
            )
            raise TrainingError(msg)
