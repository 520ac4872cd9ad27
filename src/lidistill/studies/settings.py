"""What is varied on a benchmark: one axis at a time, or every combination."""

import itertools
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from lidistill.errors import ConfigError
from lidistill.reading.names import shown
from lidistill.studies.config import Study, changes_in

Change: TypeAlias = tuple[str, str, Any]
"""Recipe, dotted key and value."""
_MAX_SETTINGS: Final = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A point of the figure."""

    axis: str
    series: str
    value: str

    def __str__(self) -> str:
        return self.value if self.series == self.axis else f"{self.series} {self.value}"


def settings(
    study: Study, benchmark: str
) -> Iterator[tuple[tuple[Place, ...], tuple[Change, ...]]]:
    """What is varied on a benchmark: places of the axes, and the changes that make them.

    Raises:
        ConfigError: If these are more than any study can run.
    """
    each = (list(_points(study, axis, benchmark)) for axis in study.axes)
    axes = [points for points in each if points]
    single = ([point] for points in axes for point in points)
    chosen: Iterable[Sequence[tuple[Place, tuple[Change, ...]]]] = single
    if study.design == "grid" and axes:
        if (count := math.prod(map(len, axes))) > _MAX_SETTINGS:
            msg = (
                f"design grid is {count:,} combinations on the benchmark {shown(benchmark)}, "
                f"expected at most {_MAX_SETTINGS:,}; set design: star, or give fewer values."
            )
            raise ConfigError(msg)
        chosen = itertools.product(*axes)
    for points in chosen:
        places = tuple(place for place, _ in points)
        yield places, tuple(change for _, changes in points for change in changes)


def _points(study: Study, axis: str, benchmark: str) -> Iterator[tuple[Place, tuple[Change, ...]]]:
    for series, values in study.axes[axis].items():
        for name, value in values.items():
            if value.only is None or benchmark in value.only:
                here = (value.only or {}).get(benchmark, {})
                changes = (*changes_in(value.changes), *changes_in(here))
                yield Place(axis=axis, series=series, value=name), changes
