"""Which scenes of nuScenes are of which split, and which of them are read."""

import logging
from collections.abc import Collection, Sequence
from importlib import resources
from pathlib import Path
from typing import Final

import yaml

from lidistill.errors import DatasetNotFoundError, suggestion

logger = logging.getLogger(__name__)

_MAX_GUESSED: Final = 20  # scenes of a split that is small enough to guess what was meant


def official_scenes(split: str) -> tuple[str, ...]:
    """Names of the scenes of a split: an official one, or ``tune_train`` and ``tune_val`` of it."""
    file = resources.files("lidistill").joinpath("datasets", "nuscenes", "splits.yaml")
    lists = yaml.safe_load(file.read_text("utf-8"))
    if split == "tune_train":
        held_out = set(lists["tune_val"])
        return tuple(scene for scene in lists["train"] if scene not in held_out)
    return tuple(lists[split])


def scenes_of_split(
    split: str, scenes: Sequence[str] | None, *, known: Collection[str], version: str
) -> list[str]:
    """Names of the wanted scenes of a split, in order.

    Args:
        split: Name of the split, or ``"all"`` for every scene in the tables.
        scenes: Those of the split that are wanted; None: all.
        known: Scenes in the tables.
        version: Of the tables, for messages.

    Raises:
        DatasetNotFoundError: If one is not of the split.
    """
    names = set(known) if split == "all" else set(official_scenes(split))
    strangers = [scene for scene in scenes or () if scene not in names]
    if strangers:
        few = len(names) < _MAX_GUESSED
        msg = (
            f"{strangers[0]!r} is no scene of the split {split!r} of {version}; "
            f"{suggestion(strangers[0], names) if few else 'set split=all.'}"
        )
        raise DatasetNotFoundError(msg)
    return sorted(names if scenes is None else scenes)


def check_in_tables(
    scenes: Sequence[str], known: Collection[str], tables: Path, *, split: str, may_lack: bool
) -> None:
    """See to it that tables hold scenes, or say how many they lack.

    Args:
        scenes: Names of those that are wanted.
        known: Scenes in the tables.
        tables: Folder of the tables.
        split: What they are of, for messages.
        may_lack: Whether some may be absent, as long as one is there.

    Raises:
        DatasetNotFoundError: If one that must be there is not.
    """
    absent = [scene for scene in scenes if scene not in known]
    if absent and not (may_lack and len(absent) < len(scenes)):
        msg = (
            f"{tables}: its tables lack {len(absent)} of the {len(scenes)} wanted scenes of split "
            f"{split!r}, first {absent[0]}; set version and split to what is on disk, or "
            "missing=skip."
        )
        raise DatasetNotFoundError(msg)
    if absent:
        logger.warning("%s: left out %d scenes that are absent.", tables.parent, len(absent))
