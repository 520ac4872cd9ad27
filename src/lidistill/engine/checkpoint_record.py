"""What a checkpoint says about itself, and the order of a run's checkpoints."""

import hashlib
import json
import math
import re
from pathlib import Path
from typing import Any

import lidistill
from lidistill.durable import sha256
from lidistill.errors import CheckpointError

FORMAT = 2
WEIGHTS, TRAINING, RECORD = "weights.safetensors", "training.pt", "checkpoint.json"
_READABLE = (1, 2)  # format 1 had no checksums and no measure
_KNOWN = {"format", "step", "recipe", "meta", "versions", "measure", "sha256"}
_STEP = re.compile(r"step-(\d+)")


def read_record(file: Path) -> dict[str, Any]:
    """The record of a checkpoint.

    Raises:
        ValueError: If it is damaged.
        CheckpointError: If a newer version wrote it.
    """
    record = json.loads(file.read_text(encoding="utf-8"))
    if not isinstance(record, dict):
        msg = f"{file.name} holds {type(record).__name__}, expected an object"
        raise ValueError(msg)  # noqa: TRY004  the reader makes it a CheckpointError
    unknown = sorted(record.keys() - _KNOWN)
    if record.get("format") not in _READABLE or unknown:
        found = f"the unknown entry {unknown[0]!r}" if unknown else f"{record.get('format')}"
        msg = (
            f"{file.parent} has checkpoint format {found}, this lidistill {lidistill.__version__} "
            f"reads formats {_READABLE[0]} to {FORMAT}; use the version that wrote it."
        )
        raise CheckpointError(msg)
    kinds = {"step": int, "recipe": dict, "meta": dict}
    if record["format"] >= 2:
        kinds["sha256"] = dict
    for key, kind in kinds.items():
        if not isinstance(record.get(key), kind):
            msg = f"{file.name} has no valid {key!r}"
            raise ValueError(msg)  # noqa: TRY004
    expected = record.get("sha256", {}).get(RECORD)
    if record["format"] >= 2 and record_sum(record) != expected:
        msg = f"{file.name} does not have the checksum it was written with"
        raise ValueError(msg)
    return record


def record_sum(record: dict[str, Any]) -> str:
    """Checksum of a record without its checksums."""
    rest = {key: value for key, value in record.items() if key != "sha256"}
    return hashlib.sha256(json.dumps(rest, sort_keys=True).encode()).hexdigest()


def check_sum(file: Path, expected: str | None) -> None:
    """Compare a file with its checksum, where there is one.

    Raises:
        ValueError: If it is not an ordinary file, or has changed since it was written.
    """
    if not file.is_file():
        msg = f"{file.name} is not a file"
        raise ValueError(msg)
    if expected is not None and sha256(file) != expected:
        msg = f"{file.name} does not have the checksum it was written with"
        raise ValueError(msg)


def badness(checkpoint: Path) -> float | None:
    """What the best checkpoint has least of; None where it says nothing."""
    try:
        measure = read_record(checkpoint / RECORD).get("measure")
    except (OSError, ValueError, RecursionError, CheckpointError):
        return None
    if not measure:
        return None
    ((name, value),) = measure.items()
    worse = value if name == "loss" else -value
    return worse if math.isfinite(worse) else None


def step_folders(folder: Path) -> list[Path]:
    """The complete checkpoints in a folder, the newest last."""
    if not folder.is_dir():
        return []
    named = [(m, p) for p in folder.iterdir() if (m := _STEP.fullmatch(p.name))]
    return [p for m, p in sorted(named, key=lambda pair: int(pair[0][1]))]
