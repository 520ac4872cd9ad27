"""What is computed at one go when many processes share the scans: the scans of one output file.

A unit is there whole or not at all, and which scans it holds depends on the scans alone, never on
who computes it or how many do: so two processes write what one writes, and a start after a stop
computes nothing twice.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Final, Literal, Self, TypeAlias

from lidistill.apps.feature_files import Failed, Written
from lidistill.apps.scan_jobs import Existing, Job, check_free
from lidistill.distributed.work_sharing import SharedWorkQueue
from lidistill.errors import ConfigError

Layout: TypeAlias = Literal["npy", "parquet"]
"""``npy``: a file for every scan; ``parquet``: one table for some scans of a drive."""

SCANS_PER_TABLE: Final = 16
_TABLE: Final = "part-{:05d}.parquet"


@dataclass(frozen=True, slots=True, kw_only=True)
class Unit:
    """Scans whose outputs go into one file."""

    file: Path
    jobs: tuple[Job, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A share of the units, for arrays of jobs that do not talk to each other."""

    number: int = 1
    """From 1."""
    count: int = 1

    @classmethod
    def parse(cls, text: str) -> Self:
        """From ``number/count``.

        Raises:
            ConfigError: If it is something else.
        """
        found = re.fullmatch(r"([0-9]{1,9})/([0-9]{1,9})", text, re.ASCII)
        number, count = (int(word) for word in found.groups()) if found else (0, 0)
        if not 1 <= number <= count:
            msg = (
                f"--part {text[:50]}: expected number/count, for example 3/16, from 1/16 to 16/16."
            )
            raise ConfigError(msg)
        return cls(number=number, count=count)

    def of(self, units: Sequence[Unit]) -> tuple[Unit, ...]:
        """The units that fall to this part; each falls to exactly one."""
        return tuple(units[self.number - 1 :: self.count])


def units_of(jobs: Sequence[Job], layout: Layout) -> tuple[Unit, ...]:
    """The units of some jobs, in the order of their files.

    Args:
        jobs: From ``plan_jobs``, with the files of a layout of one file a scan.
        layout: Of the outputs. Tables lie in the folders in which such files would.
    """
    in_order = sorted(jobs, key=lambda job: job.file)
    if layout == "npy":
        return tuple(Unit(file=job.file, jobs=(job,)) for job in in_order)
    units = []
    in_order.sort(key=lambda job: job.file.parent)
    for folder, drive in groupby(in_order, key=lambda job: job.file.parent):
        own = tuple(drive)
        units += [
            Unit(file=folder / _TABLE.format(number), jobs=own[begin : begin + SCANS_PER_TABLE])
            for number, begin in enumerate(range(0, len(own), SCANS_PER_TABLE))
        ]
    return tuple(units)


def done_before(units: Sequence[Unit], existing: Existing) -> tuple[Unit, ...]:
    """Units whose files are there and stay.

    Raises:
        ConfigError: If there are some and nobody has said what happens to them.
    """
    if existing != "skip":
        check_free((unit.file for unit in units), existing=existing)
        return ()
    return tuple(unit for unit in units if unit.file.exists())


def work_off(
    units: Sequence[Unit],
    team: SharedWorkQueue,
    work: Callable[[Iterable[Unit]], Iterable[Written | Failed]],
    *,
    existing: Existing,
) -> Iterator[Written | Failed]:
    """Write the units that fall to this process, and tell what became of each scan.

    Args:
        units: All of them, the same in every process.
        team: The processes that share them.
        work: Computes units and writes their files, in the order given.
        existing: With ``skip`` a unit is left out if its file is there when its turn comes, such as
            one that another job has written in the meantime.
    """
    due = (unit for unit in team.claim(units) if existing != "skip" or not unit.file.exists())
    yield from work(due)
