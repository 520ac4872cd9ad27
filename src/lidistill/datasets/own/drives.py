"""Which drives of a user's own recordings are read, and the calibration that each has."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from lidistill.datasets.own.drive import Drive, read_drive, subfolders
from lidistill.datasets.own.files import read_calibration
from lidistill.errors import DatasetNotFoundError
from lidistill.reading.files import may_look_into
from lidistill.reading.names import same_letters

CALIBRATION: Final = "calibration.yaml"
"""File of a drive, or of the root for all drives that have none of their own."""


def find_drives(root: Path) -> tuple[str, ...]:
    """Names of the drives in a root, in order; none where the root is a drive itself.

    Raises:
        DatasetNotFoundError: If there is no such folder.
    """
    if not root.is_dir():
        msg = f"{root} is not a folder; set root to the one that holds {CALIBRATION}."
        raise DatasetNotFoundError(msg)
    folders = filter(may_look_into, subfolders(root))
    return tuple(folder.name for folder in folders if (folder / "scans").is_dir())


def read_drives(
    root: Path, names: Sequence[str], wanted: Sequence[str] | None
) -> tuple[Drive, ...]:
    """The wanted drives, in order, or the one that the root is.

    Args:
        root: The folder that holds them.
        names: Those that are in it.
        wanted: Names of those to read; None: all.

    Raises:
        DatasetNotFoundError: If a wanted one is not there, or the root is a drive and holds some.
        FileFormatError: If a calibration, a time or a pose of one makes no sense.
    """
    alone = (root / "scans").is_dir()
    chosen = None if wanted is None else {same_letters(name) for name in wanted}
    absent = sorted((chosen or set()) - {same_letters(name) for name in names})
    if absent or alone == bool(names):
        what = "neither" if not alone else "both"
        found = f"the drives {', '.join(names) or 'none'}, not {absent[0]}" if absent else what
        msg = (
            f"{root} holds {found}; expected scans/ (a single drive), or drives that hold "
            "scans/ each, not both. docs/datasets/own.md shows the layout."
        )
        raise DatasetNotFoundError(msg)
    kept = [name for name in names if chosen is None or same_letters(name) in chosen]
    # The path of a root's own drive is the root.
    return tuple(_read_drive(root, name) for name in kept or [""])


def _read_drive(root: Path, name: str) -> Drive:
    own, shared = root / name / CALIBRATION, root / CALIBRATION
    return read_drive(root / name, name, read_calibration(own if own.exists() else shared))
