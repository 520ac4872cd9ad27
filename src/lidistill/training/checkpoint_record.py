"""What a checkpoint says about itself, and the order of a run's checkpoints."""

import hashlib
import json
import math
import re
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

import lidistill
from lidistill.atomic_write import sha256
from lidistill.errors import CheckpointError, LidistillError
from lidistill.reading.files import read_json
from lidistill.reading.names import shown

FORMAT = 2
WEIGHTS, TRAINING, RECORD = "weights.safetensors", "training.pt", "checkpoint.json"
_READABLE = (1, 2)  # format 1 had no checksums and no measure
_KNOWN = {"format", "step", "recipe", "meta", "versions", "measure", "sha256"}
_STEP = re.compile(r"step-(\d+)")


class _Part(BaseModel):
    model_config = ConfigDict(strict=True, extra="ignore")


class _Intensity(_Part):
    sensor: str
    mean: float
    std: float | None


class _Networks(_Part):
    backbone: dict[str, Any] | None = None
    teacher: dict[str, Any] | None = None


class _Meta(_Part):
    sensors: Annotated[list[str], Field(min_length=1)] = ["any"]
    intensity: list[_Intensity] = []
    label_names: list[str] = []
    networks: _Networks = _Networks()
    start: str = ""
    teacher: str = ""
    teachers: dict[str, str] = {}
    frames: dict[str, Any] = {}


class _Record(_Part):
    """What a record holds, as far as anything is made of it."""

    step: Annotated[int, Field(ge=0, lt=2**53)]
    recipe: dict[str, Any]
    meta: _Meta
    versions: dict[str, Any] = {}
    measure: Annotated[dict[str, float], Field(max_length=1)] | None = None
    sha256: dict[str, str] = {}


class Meta(dict[str, Any]):
    """What a checkpoint says beside weights and recipe; what it leaves out is one clear error.

    Args:
        values: Of the record.
        folder: The checkpoint, for the error.
    """

    def __init__(self, values: dict[str, Any], folder: Path) -> None:
        super().__init__(values)
        self._folder = folder

    def __missing__(self, key: str) -> Any:
        """An entry that is not there.

        Raises:
            CheckpointError: Always.
        """
        msg = (
            f"{self._folder} does not say its {key!r}; it is of another kind of run, or was "
            "changed. Use a checkpoint as lidistill wrote it."
        )
        raise CheckpointError(msg)


def read_record(file: Path) -> dict[str, Any]:
    """The record of a checkpoint.

    Raises:
        ValueError: If it is damaged.
        CheckpointError: If a newer version wrote it.
    """
    record = read_json(file)
    if not isinstance(record, dict):
        msg = f"{file.name} holds {type(record).__name__}, expected an object"
        raise ValueError(msg)  # noqa: TRY004  the reader makes it a CheckpointError
    unknown = sorted(record.keys() - _KNOWN)
    if record.get("format") not in _READABLE or unknown:
        found = f"the unknown entry {shown(unknown[0])}" if unknown else shown(record.get("format"))
        msg = (
            f"{file.parent} has checkpoint format {found}, this lidistill {lidistill.__version__} "
            f"reads formats {_READABLE[0]} to {FORMAT}; use the version that wrote it."
        )
        raise CheckpointError(msg)
    try:
        _Record.model_validate(record)
    except ValidationError as error:
        where = ".".join(map(str, error.errors()[0]["loc"]))
        msg = f"{file.name} has no valid {shown(where)}: {error.errors()[0]['msg']}"
        raise ValueError(msg) from error
    if record["format"] >= 2 and "sha256" not in record:
        msg = f"{file.name} has no valid 'sha256'"
        raise ValueError(msg)
    expected = record.get("sha256", {}).get(RECORD)
    if record["format"] >= 2 and record_sum(record) != expected:
        msg = f"{file.name} does not have the checksum it was written with"
        raise ValueError(msg)
    return record


def record_sum(record: dict[str, Any]) -> str:
    """Checksum of a record without its checksums."""
    rest = {key: value for key, value in record.items() if key != "sha256"}
    return hashlib.sha256(json.dumps(rest, sort_keys=True).encode()).hexdigest()


def check_sum(file: Path, expected: str | None, *, max_bytes: int) -> None:
    """Compare a file with its checksum, where there is one.

    Raises:
        ValueError: If it is not an ordinary file, too large for what it is, or has changed since
            it was written.
    """
    if not file.is_file():
        msg = f"{file.name} is not a file"
        raise ValueError(msg)
    size = file.stat().st_size
    if size > max_bytes:
        msg = f"{file.name} has {size} bytes, expected at most {max_bytes}"
        raise ValueError(msg)
    if expected is not None and sha256(file) != expected:
        msg = f"{file.name} does not have the checksum it was written with"
        raise ValueError(msg)


def measure_to_minimize(checkpoint: Path) -> float | None:
    """What the best checkpoint has least of: its loss, or any other measure times -1.

    None where the record has no finite measure, or cannot be read.
    """
    try:
        measure = read_record(checkpoint / RECORD).get("measure")
    except (OSError, ValueError, LidistillError):
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
