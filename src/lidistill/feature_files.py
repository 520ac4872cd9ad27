"""One output file for every scan file: features, or classes.

Shape letters: N points of a scan.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeAlias

import numpy as np
import yaml
from numpy.typing import NDArray

from lidistill.data.scanfile import SCAN_SUFFIXES, Scan, read_scan, scan_suffix
from lidistill.engine.durable import replace_text
from lidistill.errors import ConfigError, DatasetNotFoundError, FileFormatError
from lidistill.labels import IGNORE

Output: TypeAlias = NDArray[Any]
Compute: TypeAlias = Callable[[NDArray[np.float32], NDArray[np.float32] | None], Output]
"""From (N, 3) points and (N,) intensities to (N, …) outputs; see ``features.FeatureModel``."""

NO_INTENSITY: Final = "none"
CLASS_TABLE: Final = "labels.yaml"


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A scan, and the file of its output."""

    scan: Path
    file: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """A file that was written."""

    scan: Path
    file: Path
    num_points: int
    num_without: int
    """Points outside the field of view or not finite: NaN rows, or class 255."""


def plan_jobs(sources: Sequence[Path], folder: Path, *, suffix: str, overwrite: bool) -> list[Job]:
    """Which file each scan's output goes to.

    Args:
        sources: Scan files, and folders of them (not of folders).
        folder: Where outputs go.
        suffix: Ending of their names.
        overwrite: Whether files that are there already may be replaced; scans never are.

    Raises:
        DatasetNotFoundError: If there is no scan.
        ConfigError: If outputs would lie among the scans, on each other, or on other files.
    """
    scans = list(dict.fromkeys(scan for source in sources for scan in _scans_of(source)))
    if not scans:
        msg = "no scan is given; name scan files, or folders of them."
        raise DatasetNotFoundError(msg)
    taken: dict[str, Path] = {}
    for scan in scans:
        name = scan.name[: -len(scan_suffix(scan) or scan.suffix)]
        if name in taken:
            msg = (
                f"{taken[name]} and {scan} would both become {name}{suffix}; give them different "
                "names, or call once for each."
            )
            raise ConfigError(msg)
        taken[name] = scan
        if scan.resolve().parent == folder.resolve():
            msg = f"the output folder {folder} holds the scan {scan}; choose another folder."
            raise ConfigError(msg)
    jobs = [Job(scan=scan, file=folder / f"{name}{suffix}") for name, scan in taken.items()]
    check_free([job.file for job in jobs], overwrite=overwrite)
    return jobs


def check_free(files: Iterable[Path], *, overwrite: bool) -> None:
    """Refuse to replace what is there, unless that is wanted.

    Raises:
        ConfigError: If one of the files exists.
    """
    there = [] if overwrite else [file for file in files if file.exists()]
    if there:
        msg = f"{there[0]} is there already; choose another folder, or give --overwrite."
        raise ConfigError(msg)


def write_outputs(
    compute: Compute, jobs: Sequence[Job], *, intensity: str | None
) -> Iterator[Written]:
    """Compute and write one scan after the other; what was written before an error stays.

    Args:
        compute: From points and intensities to what is written.
        jobs: Scans and their files.
        intensity: Column to take as intensity; ``none``: take none; None: the usual names.

    Raises:
        FileFormatError: If a scan cannot be used; the message names it.
    """
    column = None if intensity == NO_INTENSITY else intensity
    for job in jobs:
        scan = read_scan(job.scan, intensity=column)
        values = None if intensity == NO_INTENSITY else _intensity(scan, job.scan)
        try:
            output = compute(scan.points, values)
        except FileFormatError as error:
            msg = f"scan {job.scan}: {error}"
            raise FileFormatError(msg) from error
        _write(output, job.file)
        yield Written(
            scan=job.scan,
            file=job.file,
            num_points=len(output),
            num_without=int(np.count_nonzero(_is_without(output))),
        )


def as_half(features: Output) -> NDArray[np.float16]:
    """Features in half precision.

    Raises:
        ConfigError: If one is too large for it.
    """
    with np.errstate(over="ignore"):
        half = features.astype(np.float16)
    if np.isinf(half).any():
        largest = float(np.nanmax(np.abs(features)))
        msg = f"a feature of {largest:g} does not fit into float16; give --dtype float32."
        raise ConfigError(msg)
    return half


def write_class_table(class_names: Sequence[str], path: Path) -> None:
    """Write what the class ids mean, as the data set ``folder`` reads it."""
    ids = dict(enumerate(class_names)) | {IGNORE: "ignore"}
    table = {"classes": list(class_names), "ids": ids}
    replace_text(path, yaml.safe_dump(table, sort_keys=False, allow_unicode=True))


def _scans_of(source: Path) -> list[Path]:
    if not source.is_dir():
        return [source]  # read_scan says what is wrong with it
    files = [path for path in sorted(source.iterdir()) if not path.name.startswith(".")]
    scans = [path for path in files if path.is_file() and scan_suffix(path) is not None]
    if not scans:
        inner = next((path for path in files if path.is_dir()), None)
        hint = "" if inner is None else f", but folders; give one of them, for example {inner}"
        msg = f"{source} holds no scan (names that end in {', '.join(SCAN_SUFFIXES)}){hint}."
        raise DatasetNotFoundError(msg)
    return scans


def _intensity(scan: Scan, path: Path) -> NDArray[np.float32]:
    if scan.intensity is None:
        msg = (
            f"scan {path} has no intensity among x, y, z, {', '.join(scan.columns)}; name the "
            "column (--intensity NAME), or go without (--intensity none)."
        )
        raise FileFormatError(msg)
    return scan.intensity


def _is_without(output: Output) -> NDArray[np.bool_]:
    """(N,) which points have no feature or class."""
    if output.dtype.kind != "f":
        return np.asarray(output == IGNORE)
    return np.asarray(np.isnan(output[:, 0]))


def _write(output: Output, file: Path) -> None:
    """A whole file or none, in the format that its name tells."""
    file.parent.mkdir(parents=True, exist_ok=True)
    side = file.with_name(f".writing-{file.name}")
    try:
        with side.open("wb") as stream:
            if file.suffix == ".npy":
                np.save(stream, output)
            else:  # .label, as SemanticKITTI has it
                stream.write(output.astype("<u4").tobytes())
        side.replace(file)
    finally:
        side.unlink(missing_ok=True)
