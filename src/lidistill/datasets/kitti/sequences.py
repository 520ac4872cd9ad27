"""Where SemanticKITTI's sequences and their calibrations lie, and which split they are of."""

import logging
from collections.abc import Collection
from importlib import resources
from pathlib import Path
from typing import Final

import yaml

from lidistill.errors import DatasetNotFoundError

logger = logging.getLogger(__name__)

NUM_SEQUENCES: Final = 22
"""Of the whole data set, counted from 00."""


def folder_of_sequences(root: Path) -> Path:
    """The folder that holds ``sequences``.

    Raises:
        DatasetNotFoundError: If there is none.
    """
    for folder in (root, root / "dataset"):
        if (folder / "sequences").is_dir():
            return folder
    msg = f"{root} has no folder sequences/ (nor dataset/sequences/); set root to the one that has."
    raise DatasetNotFoundError(msg)


def calibration_places(sequence: str) -> tuple[str, ...]:
    """Paths below the root that the calibration of a sequence may have, the first one first."""
    return (
        f"sequences/{sequence}/calib.txt",
        f"calib/{sequence}/calib.txt",
        f"calib/{sequence}.txt",
    )


def calibration_file(root: Path, sequence: str) -> Path:
    """Where the calibration of a sequence lies, or would lie."""
    places = [root / place for place in calibration_places(sequence)]
    return next((path for path in places if path.is_file()), places[0])


def official_sequences(split: str) -> tuple[str, ...]:
    """Names of the sequences of a split."""
    file = resources.files("lidistill").joinpath("datasets", "kitti", "splits.yaml")
    return tuple(f"{number:02d}" for number in yaml.safe_load(file.read_text("utf-8"))[split])


def wanted_sequences(
    root: Path, split: str, numbers: Collection[int] | None, *, may_lack: bool
) -> list[str]:
    """Names of the wanted sequences that are on disk.

    Args:
        root: The folder that holds ``sequences``.
        split: Name of the split, or ``"all"`` for every sequence on disk.
        numbers: Those of the split that are wanted; None: all.
        may_lack: Whether wanted ones may be absent, as long as one is there.

    Raises:
        DatasetNotFoundError: If one is not of the split, or one that must be there is not.
    """
    names = {f"{number:02d}" for number in range(NUM_SEQUENCES)}
    folders = (root / "sequences").iterdir()
    on_disk = {path.name for path in folders if (path / "velodyne").is_dir()} & names
    wanted = of_split = on_disk if split == "all" else set(official_sequences(split))
    if numbers is not None:
        wanted = {f"{number:02d}" for number in numbers}
        if split != "all" and not wanted <= of_split:
            msg = (
                f"sequence {min(wanted - of_split)} is not in the split {split!r} of "
                f"SemanticKITTI ({', '.join(sorted(of_split))}); name others, or set split=all."
            )
            raise DatasetNotFoundError(msg)
    absent = sorted(wanted - on_disk)
    if not wanted or (absent and not (may_lack and wanted & on_disk)):
        what = f"no sequences/{absent[0]}/velodyne" if absent else "no sequence with velodyne"
        msg = (
            f"{root} has {what}; found {', '.join(sorted(on_disk)) or 'none'}. Unpack "
            "data_odometry_velodyne.zip into it, name the sequences, or set missing=skip."
        )
        raise DatasetNotFoundError(msg)
    if absent:
        logger.warning("%s: left out the absent sequences %s.", root, ", ".join(absent))
    return sorted(wanted & on_disk)
