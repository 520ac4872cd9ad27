"""Which file the output for every scan goes to."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

from lidistill.errors import ConfigError, DatasetNotFoundError
from lidistill.scan_formats.scan_folder import scan_name, scans_of

Existing: TypeAlias = Literal["refuse", "overwrite", "skip"]
"""What happens to outputs that are there already."""


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
    found = [(source, scan) for source in unique for scan in scans_of(source, folder)]
    if not found:
        msg = "no scan is given; name scan files, or folders of them."
        raise DatasetNotFoundError(msg)
    names = [scan_name(scan, source) for source, scan in found]
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
