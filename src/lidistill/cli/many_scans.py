"""Features of many scans: how they are dealt out and what they are written into."""

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import TypeAlias

from lidistill.apps.feature_files import (
    Failed,
    FeatureColours,
    ScanWork,
    Written,
    as_record,
    from_record,
    write_outputs,
)
from lidistill.apps.feature_tables import TableWriter, about_features
from lidistill.apps.feature_units import Part, Unit, done_before, units_of, work_off
from lidistill.apps.features import FeatureModel
from lidistill.apps.folder_precision import settle_folder, settled_by_the_first
from lidistill.apps.scan_jobs import plan_jobs
from lidistill.apps.uses import Use
from lidistill.cli.output import OUT
from lidistill.cli.scan_options import ManyScans, ScanOptions
from lidistill.distributed.work_sharing import SharedWorkQueue
from lidistill.errors import ConfigError, require
from lidistill.training.progress import track

Results: TypeAlias = list[Written | Failed]


def write_features(
    run: Path,
    scans: Sequence[Path],
    output: Path,
    options: ScanOptions,
    many: ManyScans,
    *,
    head: tuple[str, ...] | None,
    quiet: bool = False,
) -> tuple[dict[str, object], Results]:
    """Write features of scans, shared by the processes of a start.

    Args:
        run: Whose network.
        scans: Files and folders.
        output: Folder.
        options: How scans are read.
        many: What features are written into.
        head: None: those of the backbone. Else those after the head, or after the one of several
            that is named.
        quiet: Print nothing, because something else is printed as JSON.

    Returns:
        ``channels`` and ``precision``, and what became of every scan; in the first process of all,
        in others of their own.
    """
    team = SharedWorkQueue.join()
    _check(many, options, team)
    everything = _units(many, scans, output)
    units = Part.parse(many.part).of(everything)
    done = done_before(units, options.existing) if team.rank == 0 else ()
    model = options.load(run, head=_one_name(head))
    projected = head is not None
    if projected:
        model.check_one_head()
    extract = model.project if projected else model.features
    channels = sum(model.head_widths) if projected else model.num_channels
    work = options.work(model, partial(extract, dtype=many.dtype))
    precision = _precision(model, everything, output, work, options, team, projected=projected)
    before: Results = []
    write: Callable[[Iterable[Unit]], Iterable[Written | Failed]]
    if many.format == "parquet":
        about = about_features(
            model, head=projected, dtype=many.dtype, channels=channels, precision=precision
        )
        write = table = TableWriter(work, output, about)
        before += table.check_done(done)
    else:
        write = _FileWriter(work, done, ply=options.ply)
    if done and not quiet:
        number = sum(len(unit.jobs) for unit in done)
        OUT.print(f"skipped     {number} scans whose outputs are there already")
    if team.rank == 0:
        team.wait_for_first()  # it has looked at what is there, which now grows
    steps = work_off(units, team, write, existing=options.existing)
    total = sum(len(unit.jobs) for unit in units) // team.size
    own = [as_record(one) for one in track(steps, "scans", total=total)]
    results = before + [from_record(one) for one in team.gather(own)]
    return {"channels": channels, "precision": precision}, results


def _precision(
    model: FeatureModel,
    everything: Sequence[Unit],
    output: Path,
    work: ScanWork,
    options: ScanOptions,
    team: SharedWorkQueue,
    *,
    projected: bool,
) -> str:
    """In what features are computed: what the first process decides or finds, in all of them."""
    use: Use = "head" if projected else "features"
    if team.rank > 0:
        team.wait_for_first()
        return settled_by_the_first(model, use, output)
    stays = options.existing == "skip" and any(unit.file.exists() for unit in everything)
    jobs = [job for unit in everything for job in unit.jobs]
    return settle_folder(model, use, jobs, output, work, existing=options.existing, done=stays)


def _one_name(head: tuple[str, ...] | None) -> str | None:
    """The name behind --head.

    Raises:
        ConfigError: If there are several.
    """
    if head is not None and len(head) > 1:
        msg = (
            f"--head takes one name at most, found {' '.join(head)}; put scans and folders before "
            "--head."
        )
        raise ConfigError(msg)
    return head[0] if head else None


class _FileWriter:
    """Writes a file for every scan."""

    def __init__(self, work: ScanWork, done: Sequence[Unit], *, ply: bool) -> None:
        earlier = [job for unit in done for job in unit.jobs]
        self._work = work
        self._colour = FeatureColours(earlier) if ply else None

    def __call__(self, units: Iterable[Unit]) -> Iterable[Written | Failed]:
        jobs = (job for unit in units for job in unit.jobs)
        return write_outputs(self._work, jobs, colour=self._colour)


def _check(many: ManyScans, options: ScanOptions, team: SharedWorkQueue) -> None:
    """Refuse what does not go together.

    Raises:
        ConfigError: If colours are asked of what cannot give them.
        MissingPackageError: If ``pyarrow`` is needed and not installed.
    """
    alone = team.size == 1 and Part.parse(many.part).count == 1
    if options.ply and not (alone and many.format == "npy"):
        msg = (
            "--ply: the first scan gives the colours of all, so it needs one process, without "
            "--part, and --format npy."
        )
        raise ConfigError(msg)
    if many.format == "parquet":
        require("pyarrow.parquet", extra="fleet")


def _units(many: ManyScans, scans: Sequence[Path], output: Path) -> tuple[Unit, ...]:
    """All of them, whatever part this is; the same in every process."""
    jobs = plan_jobs(scans, output, suffix=".npy", existing="overwrite")
    return units_of(jobs.to_do, many.format)
