"""Scan files below a folder of one's own."""

import itertools
import logging
from pathlib import Path
from typing import Final

from lidistill.errors import DatasetNotFoundError
from lidistill.reading.files import may_look_into
from lidistill.reading.names import listed
from lidistill.scan_formats.scan_file import SCAN_SUFFIXES, instead_of_scans, scan_suffix

logger = logging.getLogger(__name__)

SCANS: Final = "scans"
"""Folder of the scans in a drive of one's own recordings."""
_BESIDE: Final = frozenset({"cameras", "labels", "splits"})
"""What lies beside it."""
_NUSCENES: Final = frozenset({"samples", "sweeps"})
_LABELS_OF_NUSCENES: Final = frozenset({"lidarseg", "panoptic"})
"""Folders beside those, whose files end as scans do."""
_MAX_DEPTH: Final = 8
_LOOKED_AT: Final = 1000  # names, for advice where there is no scan


def scans_of(source: Path, output: Path | None = None) -> list[Path]:
    """The scan that is given, or those of a folder.

    Of a folder that holds none itself these are those of its ``scans``, else of all folders in it;
    beside drives, which hold ``scans``, of those that are or hold some, and the others are named.
    Links to folders are not followed: they may lead in a circle.

    Args:
        source: A scan file, a folder of scans, a drive, or a folder of drives.
        output: Folder that is not looked into; None: there is none.

    Raises:
        DatasetNotFoundError: If there is nothing, or no scan in it.
    """
    if not source.is_dir():
        if not source.exists():
            msg = f"{source} does not exist; give a scan file, or a folder of scans or drives."
            raise DatasetNotFoundError(msg)
        return [source]  # read_scan says what is wrong with it
    scans = _below(source, None if output is None else output.resolve())
    if not scans:
        msg = f"{source} holds no scan, nor do folders in it (names that end in "
        there = itertools.islice((path.name for path in source.rglob("*")), _LOOKED_AT)
        raise DatasetNotFoundError(f"{msg}{', '.join(SCAN_SUFFIXES)}).{instead_of_scans(there)}")
    return scans


def scan_name(scan: Path, source: Path) -> Path:
    """What a scan is called, without ending: its path below the folder it was found in."""
    below = scan.relative_to(source) if source.is_dir() else Path(scan.name)
    stem = scan.name[: -len(scan_suffix(scan) or scan.suffix)] or scan.name
    return Path(*(part for part in below.parts[:-1] if part != SCANS), stem)


def _below(
    folder: Path, output: Path | None, *, depth: int = 0, only_drives: bool = False
) -> list[Path]:
    entries = [entry for entry in sorted(folder.iterdir()) if not entry.name.startswith(".")]
    # A link that leads nowhere, or a pipe, is read as well, and named by the error.
    scans = [entry for entry in entries if not entry.is_dir() and scan_suffix(entry) is not None]
    if (scans and not only_drives) or depth == _MAX_DEPTH:
        return [] if only_drives else scans
    folders = [entry for entry in entries if entry.is_dir() and not entry.is_symlink()]
    folders = [entry for entry in folders if entry.resolve() != output and may_look_into(entry)]
    names = {entry.name for entry in folders}
    if SCANS in names:
        return _below(folder / SCANS, output, depth=depth + 1)
    beside = _BESIDE | (_LABELS_OF_NUSCENES if names & _NUSCENES else set())
    inner = [entry for entry in folders if entry.name not in beside]
    drives = any((entry / SCANS).is_dir() for entry in inner)
    found = {
        entry: _below(entry, output, depth=depth + 1, only_drives=drives or only_drives)
        for entry in inner
    }
    if drives:
        _say_left_out([e for e in inner if not found[e] and _below(e, output, depth=depth + 1)])
    return [scan for entry in inner for scan in found[entry]]


def _say_left_out(folders: list[Path]) -> None:
    if folders:
        logger.warning(
            "%s: left out %s, whose files look like scans, beside drives (folders with %s/); give "
            "a folder by itself if its scans are wanted.",
            folders[0].parent,
            listed(folder.name for folder in folders),
            SCANS,
        )
