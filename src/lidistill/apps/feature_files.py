"""One output file for every scan file: features, or classes.

Shape letters: N points of a scan.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from lidistill.apps.scan_jobs import Job
from lidistill.atomic_write import replacing
from lidistill.errors import DatasetNotFoundError, FileFormatError, first_line
from lidistill.figures.cloud import write_ply
from lidistill.figures.features import PcaBasis, fit_pca, pca_colors
from lidistill.labels import IGNORE
from lidistill.reading.files import open_file
from lidistill.reading.names import listed
from lidistill.scan_formats.scan_file import Scan, read_scan

Output: TypeAlias = NDArray[Any]
Compute: TypeAlias = Callable[[NDArray[np.float32], NDArray[np.float32] | None], Output]
"""From (N, 3) points and (N,) intensities to (N, …) outputs; see ``features.FeatureModel``."""

NO_INTENSITY: Final = "none"
_GREY: Final = 110  # of points without a feature


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """A file that was written."""

    scan: Path
    file: Path
    num_points: int
    num_without: int
    """Points outside the field of view or without return: NaN rows, or class 255."""
    num_missing: int
    """Those without return: at (0, 0, 0) or not finite."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed:
    """A scan that could not be used."""

    scan: Path
    reason: str


def as_record(result: Written | Failed) -> dict[str, Any]:
    """The same for JSON."""
    return {
        key: str(value) if isinstance(value, Path) else value
        for key, value in asdict(result).items()
    }


def from_record(record: dict[str, Any]) -> Written | Failed:
    """What ``as_record`` was made of."""
    scan = Path(record["scan"])
    if "file" not in record:
        return Failed(scan=scan, reason=record["reason"])
    counts = {key: value for key, value in record.items() if key.startswith("num_")}
    return Written(scan=scan, file=Path(record["file"]), **counts)


Colour: TypeAlias = Callable[[Output], NDArray[np.uint8]]
"""From (N, …) outputs to (N, 3) red, green and blue."""


def write_outputs(
    compute: Compute, jobs: Sequence[Job], *, intensity: str | None, colour: Colour | None = None
) -> Iterator[Written | Failed]:
    """Compute and write one scan after the other; a scan that cannot be used ends nothing.

    Args:
        compute: From points and intensities to what is written.
        jobs: Scans and their files.
        intensity: Column to take as intensity; ``none``: take none; None: the usual names.
        colour: Writes a coloured ``.ply`` beside each file.
    """
    for job in jobs:
        try:
            yield _write_one(compute, job, intensity=intensity, colour=colour)
        except (FileFormatError, DatasetNotFoundError) as error:
            yield Failed(scan=job.scan, reason=str(error))


def _write_one(
    compute: Compute, job: Job, *, intensity: str | None, colour: Colour | None
) -> Written:
    scan, output = computed(compute, job.scan, intensity)
    if colour is not None:
        # Before the numbers: with --skip-existing these say that a scan is done.
        without = _is_without(output)
        colors = np.full((len(output), 3), _GREY, np.uint8)
        colors[~without] = colour(output[~without])
        write_ply(scan.points, colors, job.file.with_suffix(".ply"))
    _write(output, job.file)
    return written(job, job.file, scan, output)


def computed(compute: Compute, path: Path, column: str | None) -> tuple[Scan, Output]:
    """A scan and what is computed of it.

    Args:
        compute: From points and intensities.
        path: The scan's file.
        column: To take as intensity; see ``intensity_of``.

    Raises:
        DatasetNotFoundError: If there is no such file.
        FileFormatError: If it cannot be used; the message names the scan.
    """
    scan, values = intensity_of(path, column)
    try:
        return scan, compute(scan.points, values)
    except FileFormatError as error:
        msg = f"scan {path}: {error}"
        raise FileFormatError(msg) from error


def written(job: Job, file: Path, scan: Scan, output: Output) -> Written:
    """The account of an output.

    Args:
        job: What was done.
        file: Where the output is.
        scan: Of the job.
        output: Of the scan.
    """
    return Written(
        scan=job.scan,
        file=file,
        num_points=len(output),
        num_without=int(np.count_nonzero(_is_without(output))),
        num_missing=int(np.count_nonzero(np.isnan(scan.points[:, 0]))),
    )


class FeatureColours:
    """Principal components of features as colours, the same for all scans of a call.

    The components are those of the first scan, or of the first output that is there already, so
    that a call that goes on paints as the one before.

    Args:
        done: Outputs of an earlier call.
    """

    def __init__(self, done: Sequence[Job]) -> None:
        self._done = done
        self._basis: PcaBasis | None = None

    def __call__(self, features: Output) -> NDArray[np.uint8]:
        """(N, 3) colours of (N, C) features."""
        if not len(features):
            return np.zeros((0, 3), np.uint8)
        if self._basis is None:
            earlier = _read_features(self._done[0].file) if self._done else features
            fits = earlier.shape[1:] == features.shape[1:] and len(earlier)
            self._basis = fit_pca(earlier if fits else features)
        return pca_colors(features, basis=self._basis)


def _read_features(file: Path) -> Output:
    """(N, C) finite rows of an output of an earlier call."""
    try:
        with open_file(file) as stream:
            features = np.lib.format.read_array(stream, allow_pickle=False)
    except (ValueError, EOFError) as error:
        msg = f"{file} is no output of this command ({first_line(error)}); delete it."
        raise FileFormatError(msg) from error
    if features.ndim != 2 or features.dtype.kind != "f":
        return np.zeros((0, 0), np.float32)
    return features[np.isfinite(features).all(axis=1)]


def intensity_of(path: Path, column: str | None) -> tuple[Scan, NDArray[np.float32] | None]:
    """A scan, and its intensity as a network takes it.

    Args:
        path: The scan's file.
        column: To take as intensity; ``none``: there is none; None: the usual names.

    Raises:
        DatasetNotFoundError: If there is no such file.
        FileFormatError: If it cannot be used, or has no intensity.
    """
    if column == NO_INTENSITY:
        return read_scan(path), None
    scan = read_scan(path, intensity=column)
    if scan.intensity is None:
        msg = (
            f"scan {path} has no intensity among x, y, z, {listed(scan.columns)}; name "
            "the column (--intensity NAME), or go without (--intensity none)."
        )
        raise FileFormatError(msg)
    return scan, scan.intensity


def _is_without(output: Output) -> NDArray[np.bool_]:
    """(N,) which points have no feature or class."""
    if output.dtype.kind != "f":
        return np.asarray(output == IGNORE)
    return np.asarray(np.isnan(output[:, 0]))


def _write(output: Output, file: Path) -> None:
    """A whole file or none, in the format that its name tells."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with replacing(file) as side, side.open("wb") as stream:
        if file.suffix == ".npy":
            np.save(stream, output)
        else:  # .label, as SemanticKITTI has it
            stream.write(output.astype("<u4").tobytes())
