"""Where SemanticKITTI's sequences and their calibrations lie, and which split they are of."""

from importlib import resources
from pathlib import Path

import yaml

from lidistill.errors import DatasetNotFoundError


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


def calibration_file(root: Path, sequence: str) -> Path:
    """Where the calibration of a sequence lies, or would lie."""
    places = (
        root / "sequences" / sequence / "calib.txt",
        root / "calib" / sequence / "calib.txt",
        root / "calib" / f"{sequence}.txt",
    )
    return next((path for path in places if path.is_file()), places[0])


def official_sequences(split: str) -> tuple[str, ...]:
    """Names of the sequences of a split."""
    file = resources.files("lidistill").joinpath("datasets", "kitti", "splits.yaml")
    return tuple(f"{number:02d}" for number in yaml.safe_load(file.read_text("utf-8"))[split])
