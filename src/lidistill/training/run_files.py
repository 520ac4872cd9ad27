"""Files of a run folder that people may edit and crashes may cut: the recipe and the logs."""

import itertools
import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import yaml

from lidistill.atomic_write import replace_text
from lidistill.errors import CheckpointError, LidistillError
from lidistill.reading.files import open_file, parse_json, read_file
from lidistill.reading.yaml_text import MAX_BYTES, parse_yaml

logger = logging.getLogger(__name__)

_MAX_LOG: Final = 1 << 31
"""Bytes of a log; a million steps take 0.2 GB."""
_MAX_LINE: Final = 1 << 20


def write_recipe(run: Path, recipe: Mapping[str, Any], before: Mapping[str, Any] | None) -> None:
    """Write what runs to ``recipe.yaml``; what somebody has changed there is kept beside it.

    Args:
        run: Run folder.
        recipe: What runs.
        before: What ran there before, out of its checkpoint; None where nothing did.
    """
    file = run / "recipe.yaml"
    if file.exists() or file.is_symlink():
        found = _recipe_in(file)
        if found == recipe:
            return  # with the comments that somebody may have written into it
        if before is None or found != before:
            kept = _aside(file, "edited")
            file.replace(kept)
            why = "was changed since it was written"
            if before is None:
                why = "is from an earlier start that saved nothing, or was changed by hand"
            logger.warning(
                "%s %s, which does not change this run: it is kept as %s. Give changes on the "
                "command line, or that file as the recipe of a new run.",
                file, why, kept.name,
            )  # fmt: skip
    replace_text(file, yaml.safe_dump(dict(recipe), sort_keys=False))


def _recipe_in(file: Path) -> Any:
    try:
        return parse_yaml(read_file(file, max_bytes=MAX_BYTES))
    except (ValueError, LidistillError):
        return None


def _aside(file: Path, why: str) -> Path:
    """A free name beside a file that says what is the matter with it."""
    names = (f"{file.name}.{why}{f'-{n}' if n > 1 else ''}" for n in itertools.count(1))
    return next(path for name in names if not (path := file.with_name(name)).exists())


def check_there(run: Path, log: Path) -> None:
    """Say that somebody has moved a run's folder, or its log, while it runs.

    Raises:
        CheckpointError: If they are gone.
    """
    if not log.is_file():
        msg = (
            f"{log} is gone: was {run} moved, renamed or emptied while the run went on? What was "
            "not saved is lost; give the folder its name again and run the same command."
        )
        raise CheckpointError(msg)


def keep_lines(path: Path, resume_step: int) -> None:
    """Leave those lines of a log that belong to the steps up to one; whatever is no line goes.

    A log with other lines than the run's own is kept as ``….broken``, and that is said.

    Raises:
        FileFormatError: If it is no file at all.
    """
    if not path.exists():
        replace_text(path, "")
        return
    kept, broken = [], []
    for number, (line, record) in enumerate(_lines(path), start=1):
        if record is None:
            broken.append(number)
        elif record["step"] <= resume_step:
            kept.append(line)
    if broken:
        beside = _aside(path, "broken")
        beside.write_bytes(read_file(path, max_bytes=_MAX_LOG))
        logger.warning(
            "%s: line %d and %d more are no records of a run; the file is kept as %s, and its "
            "other lines stay", path, broken[0], len(broken) - 1, beside.name,
        )  # fmt: skip
    replace_text(path, "".join(f"{line}\n" for line in kept))


def read_log(path: Path) -> list[dict[str, Any]]:
    """The records of a JSON lines file, without a last line that was cut off, and without others.

    Raises:
        FileFormatError: If it is no file at all.
    """
    return [record for _, record in _lines(path) if record is not None] if path.exists() else []


def _lines(path: Path) -> Iterator[tuple[str, dict[str, Any] | None]]:
    """Each whole line, and its record, or None where it is none."""
    with open_file(path, max_bytes=_MAX_LOG) as file:
        while line := file.readline(_MAX_LINE):
            if not line.endswith(b"\n") and len(line) < _MAX_LINE:
                logger.warning("%s: its last line was cut off and is left out", path)
                return
            yield line.decode("utf-8", errors="replace").rstrip("\n"), _record(line)


def _record(line: bytes) -> dict[str, Any] | None:
    try:
        record = parse_json(line.decode("utf-8"))
    except ValueError:
        return None
    step = record.get("step") if isinstance(record, dict) else None
    return record if type(step) is int else None
