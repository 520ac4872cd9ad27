"""Scan files below a folder of one's own."""

import itertools
from pathlib import Path
from typing import Final

from lidistill.errors import DatasetNotFoundError
from lidistill.reading.files import may_look_into
from lidistill.scan_formats.scan_file import SCAN_SUFFIXES, instead_of_scans, scan_suffix

SCANS: Final = "scans"
"""Folder of the scans in a drive of one's own recordings."""
_BESIDE: Final = frozenset({"cameras", "labels", "splits"})
"""What lies beside it."""
_MAX_DEPTH: Final = 8
_LOOKED_AT: Final = 1000  # names, for advice where there is no scan


def scans_of(source: Path, output: Path | None = None) -> list[Path]:
    """The scan that is given, or those of a folder.

    Of a folder that holds none itself these are those of its ``scans``, else of all folders in it.
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
    scans = _below(source, None if output is None else output.resolve(), depth=0)
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


def _below(folder: Path, output: Path | None, *, depth: int) -> list[Path]:
    entries = [entry for entry in sorted(folder.iterdir()) if not entry.name.startswith(".")]
    # A link that leads nowhere, or a pipe, is read as well, and named by the error.
    scans = [entry for entry in entries if not entry.is_dir() and scan_suffix(entry) is not None]
    if scans or depth == _MAX_DEPTH:
        return scans
    folders = [entry for entry in entries if entry.is_dir() and not entry.is_symlink()]
    folders = [entry for entry in folders if entry.resolve() != output and may_look_into(entry)]
    own = [entry for entry in folders if entry.name == SCANS]
    inner = own or [entry for entry in folders if entry.name not in _BESIDE]
    return [scan for entry in inner for scan in _below(entry, output, depth=depth + 1)]
