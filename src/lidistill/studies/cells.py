"""A cell of a study: run once, its scores kept, its state told to whoever asks."""

import json
import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias

from lidistill.apps.pretrain import run_pretrain
from lidistill.apps.scored_runs import percentages, scored
from lidistill.atomic_write import replace_text
from lidistill.distill.recipe import PretrainRecipe
from lidistill.errors import FileFormatError, LidistillError, RunStoppedError
from lidistill.reading.files import blamed_on, read_json
from lidistill.studies.config import SCORES
from lidistill.studies.names import DONE, FAILED
from lidistill.studies.plan import Cell
from lidistill.training.run_lock import RunLock, is_held

State: TypeAlias = Literal["done", "running", "failed", "begun", "to do"]
STATES: Final[tuple[State, ...]] = ("done", "running", "failed", "begun", "to do")
_AGAIN: Final = "delete this file, and the same command scores the cell again."
_PATIENCE: Final = 2.0
"""Seconds; whoever asks for the state of a cell holds its lock for a moment."""
_MAX_TAIL: Final = 1 << 14
_MAX_SECONDS: Final = 1e9

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class CellResult:
    """What a finished cell has found."""

    scores: dict[str, dict[str, float | None]]
    """By probe: percent by ``config.SCORES``; None where there is nothing to score."""
    seconds: float
    """That the process which finished it has worked on it; earlier, stopped ones do not count."""


def run_cell(cell: Cell) -> CellResult:
    """Run what of a cell is not done yet.

    Raises:
        TrainingError: If another process runs it.
        LidistillError: As its runs raise it; what it says is kept for ``state_of``.
    """
    with RunLock(cell.folder, patience=_PATIENCE):
        if (found := result_of(cell)) is not None:
            return found
        (cell.folder / FAILED).unlink(missing_ok=True)
        started = time.monotonic()
        try:
            scores = _scores(cell)
        except RunStoppedError:
            raise
        except LidistillError as error:
            note_failure(cell, str(error))
            raise
        seconds = time.monotonic() - started
        record = {"label": cell.label, "what": cell.what, "seed": cell.seed}
        record |= {"scores": scores, "seconds": round(seconds, 1)}
        replace_text(cell.folder / DONE, json.dumps(record, indent=1))
        return CellResult(scores=scores, seconds=seconds)


def _scores(cell: Cell) -> dict[str, dict[str, float | None]]:
    scores = {}
    for number, (name, recipe) in enumerate(cell.runs.items(), start=1):
        logger.info("%s: run %d of %d, %s", cell.name, number, len(cell.runs), name)
        if isinstance(recipe, PretrainRecipe):
            run_pretrain(recipe)
        else:
            scores[name] = dict(percentages(scored(recipe)))
    return scores


def result_of(cell: Cell) -> CellResult | None:
    """What a cell has found; None where it is not done.

    Raises:
        FileFormatError: If its file is damaged.
    """
    file = cell.folder / DONE
    if not file.is_file():
        return None
    with blamed_on(file, _AGAIN):
        record = read_json(file, _AGAIN)
        probes = {name for name, r in cell.runs.items() if not isinstance(r, PretrainRecipe)}
        if not isinstance(record, dict) or not _are_scores(record.get("scores"), probes):
            msg = "it holds no scores of this cell's probes"
            raise ValueError(msg)
        seconds: Any = record.get("seconds")
        known = _is_number(seconds, _MAX_SECONDS)
        return CellResult(scores=record["scores"], seconds=float(seconds) if known else 0.0)


def _are_scores(found: Any, probes: set[str]) -> bool:
    return (
        isinstance(found, dict)
        and found.keys() == probes
        and all(
            isinstance(scores, Mapping)
            and scores.keys() >= set(SCORES)
            and all(value is None or _is_number(value, 100) for value in scores.values())
            for scores in found.values()
        )
    )


def _is_number(value: Any, most: float) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= most


def note_failure(cell: Cell, why: str) -> None:
    """Keep why a cell failed, until it is run again."""
    if cell.folder.is_dir():
        replace_text(cell.folder / FAILED, json.dumps({"why": why}))


def failure_of(cell: Cell) -> str:
    """Why a cell failed when it ran last; "" where it did not."""
    file = cell.folder / FAILED
    if not file.is_file():
        return ""
    try:
        record = read_json(file)
    except FileFormatError:
        record = None
    why = record.get("why") if isinstance(record, dict) else None
    return why if isinstance(why, str) and why else f"its {FAILED} is damaged."


def state_of(cell: Cell) -> State:
    """Where a cell stands; begun: a process has ended in the middle, and another can go on."""
    if (cell.folder / DONE).is_file():
        return "done"
    if is_held(cell.folder):
        return "running"
    if (cell.folder / FAILED).is_file():
        return "failed"
    return "begun" if cell.folder.is_dir() else "to do"


def last_lines(log: Path, number: int = 5) -> list[str]:
    """The last lines of a log that say something."""
    if not log.is_file():
        return []
    with log.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(max(0, size - _MAX_TAIL))
        text = file.read().decode("utf-8", errors="replace")
    return [line for line in text.splitlines() if line.strip()][-number:]
