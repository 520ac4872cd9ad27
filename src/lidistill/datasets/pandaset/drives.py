"""Which of PandaSet's drives are read: those that are there, are named, and are of the split."""

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Final

from lidistill.datasets.pandaset.drive import DriveFiles, is_drive, read_drive
from lidistill.errors import DatasetNotFoundError

_TRAIN_LATITUDE: Final = 37.6  # degrees; San Francisco lies north of it, El Camino Real south


def find_drives(
    root: Path, split: str, wanted: Sequence[str] | None, cameras: Collection[str]
) -> tuple[DriveFiles, ...]:
    """The drives of a split, in order.

    Args:
        root: The folder that holds them.
        split: ``"train"``, ``"val"``, or ``"all"``, which also takes drives without labels.
        wanted: Names of those that are wanted; None: all.
        cameras: Those whose images and calibration are looked for.

    Raises:
        DatasetNotFoundError: If there is no such folder, a wanted drive is not in it, the split of
            one is unknown, or none is of the split.
        FileFormatError: If a file of one is damaged.
    """
    if not root.is_dir():
        msg = f"{root} is not a folder; set root to the one that holds PandaSet's drives."
        raise DatasetNotFoundError(msg)
    folders = [root / name for name in wanted or sorted(path.name for path in root.iterdir())]
    absent = [folder.name for folder in folders if wanted and not is_drive(folder)]
    folders = [folder for folder in folders if is_drive(folder)]
    if absent or not folders:
        hint = f"; {root} itself is a drive, set root to {root.parent}" if is_drive(root) else ""
        what = f"the drive {absent[0]} is not there" if absent else "no drive is there"
        msg = f"{root}: {what}, expected folders like 002/lidar/00.pkl.gz{hint}."
        raise DatasetNotFoundError(msg)
    drives = [read_drive(folder, cameras) for folder in folders]
    kept = tuple(drive for drive in drives if _is_in(drive, split, root))
    if not kept:
        side = "above" if split == "train" else "of at most"
        msg = (
            f"{root}: none of its {len(drives)} drives is in the split {split!r}, which needs "
            f"annotations/semseg and a latitude {side} {_TRAIN_LATITUDE} degrees; split=all takes "
            "every drive."
        )
        raise DatasetNotFoundError(msg)
    return kept


def _is_in(drive: DriveFiles, split: str, root: Path) -> bool:
    if split == "all":
        return True
    if drive.latitude is None:
        msg = (
            f"{root / drive.name}: without meta/gps.json its split is unknown; unpack that file or "
            "set split=all."
        )
        raise DatasetNotFoundError(msg)
    side = "train" if drive.latitude > _TRAIN_LATITUDE else "val"
    return bool(drive.labels) and split == side
