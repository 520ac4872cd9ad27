"""One output file for every scan file: features, or classes.

Shape letters: N points of a scan.
"""

import contextlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from lidistill.apps.prepared_scan import PreparedScan
from lidistill.apps.scan_jobs import Job
from lidistill.atomic_write import replacing
from lidistill.errors import DatasetNotFoundError, FileFormatError, first_line
from lidistill.figures.cloud import write_ply
from lidistill.figures.features import PcaBasis, fit_pca, pca_colors
from lidistill.labels import IGNORE
from lidistill.loading.prefetch import prefetch
from lidistill.reading.files import open_file
from lidistill.reading.names import listed
from lidistill.scan_formats.intensities import NO_INTENSITY
from lidistill.scan_formats.scan_file import Scan, read_scan

Output: TypeAlias = NDArray[Any]
Compute: TypeAlias = Callable[[PreparedScan, None], Output]
"""From a prepared scan to (N, …) outputs; methods of ``features.FeatureModel`` are such."""
Prepare: TypeAlias = Callable[[NDArray[np.float32], NDArray[np.float32] | None], PreparedScan]
"""From (N, 3) points and (N,) intensities; see ``features.FeatureModel.prepare``."""

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Computed:
    """A scan, and what was computed of it."""

    job: Job
    scan: Scan
    output: Output


@dataclass(frozen=True, slots=True, kw_only=True)
class ScanWork:
    """What is done with every scan of a call."""

    compute: Compute
    prepare: Prepare
    intensity: str | None
    """Column to take as intensity; ``none``: take none; None: the usual names."""

    def on(self, jobs: Iterable[Job]) -> Iterator[Computed | Failed]:
        """Compute one scan after the other, in their order; write nothing.

        A scan that cannot be used gives a ``Failed``, and the next one follows. While the network
        computes a scan, a thread reads and prepares the next.

        Args:
            jobs: Scans and their files; one is taken ahead.
        """
        for found in prefetch(self._read, jobs):
            if isinstance(found, Failed):
                yield found
                continue
            job, scan, prepared = found
            try:
                with _named(job.scan):
                    output = self.compute(prepared, None)
            except FileFormatError as error:
                yield Failed(scan=job.scan, reason=str(error))
                continue
            yield Computed(job=job, scan=scan, output=output)

    def prepared(self, jobs: Iterable[Job]) -> Iterator[PreparedScan]:
        """Scans that can be read, prepared one after the other as they are asked for."""
        for job in jobs:
            found = self._read(job)
            if not isinstance(found, Failed):
                yield found[2]

    def _read(self, job: Job) -> tuple[Job, Scan, PreparedScan] | Failed:
        try:
            scan, values = intensity_of(job.scan, self.intensity)
            with _named(job.scan):
                prepared = self.prepare(scan.points, values)
            return job, scan, replace(prepared, name=str(job.scan))
        except (FileFormatError, DatasetNotFoundError) as error:
            return Failed(scan=job.scan, reason=str(error))


@contextlib.contextmanager
def _named(scan: Path) -> Iterator[None]:
    """Errors inside name the scan."""
    try:
        yield
    except FileFormatError as error:
        msg = f"scan {scan}: {error}"
        raise FileFormatError(msg) from error


def write_outputs(
    work: ScanWork, jobs: Iterable[Job], *, colour: Colour | None = None
) -> Iterator[Written | Failed]:
    """Compute and write one scan after the other; a scan that cannot be used ends nothing.

    Args:
        work: From a scan to what is written.
        jobs: Scans and their files; one is taken ahead.
        colour: Writes a coloured ``.ply`` beside each file.
    """
    for found in work.on(jobs):
        if isinstance(found, Failed):
            yield found
            continue
        try:
            yield _write_one(found, colour)
        except (FileFormatError, DatasetNotFoundError) as error:
            yield Failed(scan=found.job.scan, reason=str(error))


def _write_one(found: Computed, colour: Colour | None) -> Written:
    job, output = found.job, found.output
    if colour is not None:
        # Before the numbers: with --skip-existing these say that a scan is done.
        without = _is_without(output)
        colors = np.full((len(output), 3), _GREY, np.uint8)
        colors[~without] = colour(output[~without])
        write_ply(found.scan.points, colors, job.file.with_suffix(".ply"))
    _write(output, job.file)
    return written(found, job.file)


def written(found: Computed, file: Path) -> Written:
    """The account of an output.

    Args:
        found: The output, and of what.
        file: Where it is.
    """
    return Written(
        scan=found.job.scan,
        file=file,
        num_points=len(found.output),
        num_without=int(np.count_nonzero(_is_without(found.output))),
        num_missing=int(np.count_nonzero(np.isnan(found.scan.points[:, 0]))),
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
        return read_scan(path, intensity=NO_INTENSITY), None
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
