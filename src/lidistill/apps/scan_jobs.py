"""Which file the output for every scan goes to."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, TypeAlias

from lidistill.errors import ConfigError, DatasetNotFoundError
from lidistill.scan_formats.scan_file import SCAN_SUFFIXES, scan_suffix

Existing: TypeAlias = Literal["refuse", "overwrite", "skip"]
"""What happens to outputs that are there already."""

_SCANS: Final = "scans"
"""Folder of the scans in a drive of one's own recordings."""
_BESIDE: Final = frozenset({"cameras", "labels", "splits"})
"""What lies beside it."""
_MAX_DEPTH: Final = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A scan, and the file of its output."""

    scan: Path
    file: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Jobs:
    """What is to be done, and what was done before."""

    to_do: tuple[Job, ...]
    done: tuple[Job, ...]
    """Outputs that are there already and stay."""


def plan_jobs(sources: Sequence[Path], folder: Path, *, suffix: str, existing: Existing) -> Jobs:
    """Which file each scan's output goes to.

    An output has its scan's name. Below a folder that was given, it also has the scan's path in
    that folder, without ``scans``: ``drive1/scans/000.bin`` becomes ``drive1/000.npy``. Where
    folders hold scans of the same names, each gets a folder of its own name.

    Args:
        sources: Scan files, folders of scans, drives, and folders of drives.
        folder: Where outputs go.
        suffix: Ending of their names.
        existing: What happens to outputs that are there; scans are never replaced.

    Raises:
        DatasetNotFoundError: If there is no scan.
        ConfigError: If outputs would lie among the scans, on each other, or on other files.
    """
    unique = list(dict.fromkeys(sources))
    found = [(source, scan) for source in unique for scan in _scans_of(source, folder)]
    if not found:
        msg = "no scan is given; name scan files, or folders of them."
        raise DatasetNotFoundError(msg)
    names = [_name(scan, source) for source, scan in found]
    num_folders = sum(source.is_dir() for source in unique)
    if num_folders > 1 and max(Counter(names).values()) > 1:
        names = [
            Path(source.resolve().name, name) if source.is_dir() else name
            for (source, _), name in zip(found, names, strict=True)
        ]
    taken: dict[Path, Path] = {}
    for (_, scan), name in zip(found, names, strict=True):
        file = folder / name.with_name(f"{name.name}{suffix}")
        if taken.setdefault(file, scan) != scan:
            msg = (
                f"{taken[file]} and {scan} would both become {file.relative_to(folder)}; give them "
                "different names, or call once for each."
            )
            raise ConfigError(msg)
        if scan.resolve().parent == file.resolve().parent:
            msg = f"the output folder {file.parent} holds the scan {scan}; choose another folder."
            raise ConfigError(msg)
    jobs = [Job(scan=scan, file=file) for file, scan in taken.items()]
    if existing != "skip":
        check_free([job.file for job in jobs], existing=existing)
        return Jobs(to_do=tuple(jobs), done=())
    return Jobs(
        to_do=tuple(job for job in jobs if not job.file.exists()),
        done=tuple(job for job in jobs if job.file.exists()),
    )


def check_free(files: Iterable[Path], *, existing: Existing) -> None:
    """Refuse to replace what is there, unless that is wanted.

    Raises:
        ConfigError: If one of the files exists.
    """
    there = [file for file in files if file.exists()] if existing == "refuse" else []
    if there:
        msg = (
            f"{there[0]} is there already; choose another folder, or give --overwrite, or "
            "--skip-existing to write only what is missing."
        )
        raise ConfigError(msg)


def _name(scan: Path, source: Path) -> Path:
    """What a scan's output is called, without ending: its path below the folder it was found in."""
    below = scan.relative_to(source) if source.is_dir() else Path(scan.name)
    stem = scan.name[: -len(scan_suffix(scan) or scan.suffix)] or scan.name
    return Path(*(part for part in below.parts[:-1] if part != _SCANS), stem)


def _scans_of(source: Path, output: Path) -> list[Path]:
    if not source.is_dir():
        if not source.exists():
            msg = f"{source} does not exist; give a scan file, or a folder of scans or drives."
            raise DatasetNotFoundError(msg)
        return [source]  # read_scan says what is wrong with it
    scans = _below(source, output.resolve(), depth=0)
    if not scans:
        msg = (
            f"{source} holds no scan, nor do folders in it (names that end in "
            f"{', '.join(SCAN_SUFFIXES)})."
        )
        raise DatasetNotFoundError(msg)
    return scans


def _below(folder: Path, output: Path, *, depth: int) -> list[Path]:
    """Scans of a folder; where it holds none itself, of its ``scans``, else of all folders in it.

    Links to folders are not followed: they may lead in a circle. Nor is the output folder.
    """
    entries = [entry for entry in sorted(folder.iterdir()) if not entry.name.startswith(".")]
    scans = [entry for entry in entries if entry.is_file() and scan_suffix(entry) is not None]
    if scans or depth == _MAX_DEPTH:
        return scans
    folders = [entry for entry in entries if entry.is_dir() and not entry.is_symlink()]
    folders = [entry for entry in folders if entry.resolve() != output]
    own = [entry for entry in folders if entry.name == _SCANS]
    inner = own or [entry for entry in folders if entry.name not in _BESIDE]
    return [scan for entry in inner for scan in _below(entry, output, depth=depth + 1)]
