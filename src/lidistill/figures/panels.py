"""Scores over the values of several axes: one panel each, one row of panels for each benchmark."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TypeAlias

import matplotlib
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

Point: TypeAlias = tuple[float, float]
"""Mean and spread of a score, percent; a spread of 0 is not drawn."""
_MARKERS: Final = "osD^vP"
_YARDSTICKS: Final = ("_", "x", "+")
_GREY: Final = "0.35"
_WIDTH, _HEIGHT = 3.9, 3.9  # inches of a panel, at least
_VALUE: Final = 0.35  # inches along the horizontal axis that a value takes at least
_MANY_VALUES: Final = 5
_MANY_ENTRIES: Final = 12
_LONGEST: Final = 28  # letters of a name


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """One axis of a study."""

    title: str
    values: tuple[str, ...]
    """Along the horizontal axis, in this order."""
    series: Mapping[str, Mapping[str, Point]]
    """Lines by name; of each, points by value."""
    yardsticks: Mapping[str, Mapping[str, Mapping[str, float]]] = field(default_factory=dict)
    """Marks by name; of each, a mean by the series that it belongs to, and by value."""

    @property
    def lines(self) -> tuple[str, ...]:
        """Series that have points or marks."""
        marked = (series for by_series in self.yardsticks.values() for series in by_series)
        return tuple(dict.fromkeys([*self.series, *marked]))


def panel_figure(rows: Mapping[str, Sequence[Panel]], path: Path, *, label: str) -> None:
    """Draw panels, those of a row on one scale.

    Args:
        rows: Panels by the name of what they are scored on.
        path: PNG file to write.
        label: What is scored, for the vertical axes.

    Raises:
        ValueError: If rows have different numbers of panels, or there is none.
    """
    widths = {len(panels) for panels in rows.values()}
    if len(widths) != 1 or 0 in widths:
        msg = f"rows of {sorted(widths)} panels; expected the same number in each, and at least one"
        raise ValueError(msg)
    count = widths.pop()
    most = max(len(panel.values) for panels in rows.values() for panel in panels)
    size = (1.0 + max(_WIDTH, _VALUE * most) * count, 0.6 + _HEIGHT * len(rows))
    figure = Figure(figsize=size, dpi=120, layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    grid = figure.subplots(len(rows), count, squeeze=False, sharey="row")
    for axes, (name, panels) in zip(grid, rows.items(), strict=True):
        for axis, panel in zip(axes, panels, strict=True):
            _draw(axis, panel)
        axes[0].set_ylabel(f"{_plain(name)}\n{label}")
        _make_room_above(axes[0], max(len(panel.lines) + len(panel.yardsticks) for panel in panels))
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, format="png")


def _draw(axis: Axes, panel: Panel) -> None:
    places = {value: float(number) for number, value in enumerate(panel.values)}
    shift = min(0.1, 0.6 / max(len(panel.lines), 1))
    for number, name in enumerate(panel.lines):
        offset = shift * (number - (len(panel.lines) - 1) / 2)
        beside = {value: place + offset for value, place in places.items()}
        _draw_series(axis, panel, name, number, beside)
    for marker, name in zip(_YARDSTICKS, panel.yardsticks, strict=False):
        axis.scatter([], [], marker=marker, color=_GREY, label=_plain(name))
    axis.set_title(_plain(panel.title))
    labels = [_plain(value) for value in places]
    many = len(places) > _MANY_VALUES
    axis.set_xticks(list(places.values()), labels, rotation=60 if many else 20)
    axis.set_xlim(-0.4, max(len(places), 1) - 0.6)
    axis.grid(axis="y", alpha=0.3)
    axis.spines[["top", "right"]].set_visible(False)
    entries = len(panel.lines) + len(panel.yardsticks)
    if entries:
        columns = _columns(entries)
        axis.legend(fontsize=8, frameon=False, loc="upper center", ncols=columns)


def _draw_series(
    axis: Axes, panel: Panel, name: str, number: int, places: Mapping[str, float]
) -> None:
    """A line, and in its colour what it is to be compared with."""
    palette = matplotlib.colormaps["tab10"]
    color = palette(number % palette.N)
    points = panel.series.get(name, {})
    spreads = [spread for _, spread in points.values()]
    axis.errorbar(
        [places[value] for value in points],
        [mean for mean, _ in points.values()],
        yerr=spreads if any(spreads) else None,
        label=_plain(name),
        color=color,
        marker=_MARKERS[number % len(_MARKERS)],
        markersize=5,
        capsize=3,
        linewidth=1.6,
    )
    for marker, by_series in zip(_YARDSTICKS, panel.yardsticks.values(), strict=False):
        means = by_series.get(name, {})
        x = [places[value] for value in means]
        axis.scatter(x, list(means.values()), marker=marker, color=color, zorder=3)


def _columns(entries: int) -> int:
    return 2 if entries <= _MANY_ENTRIES else 3


def _make_room_above(axis: Axes, entries: int) -> None:
    """Keep the upper part of a row of panels free for legends of so many entries."""
    low, high = axis.get_ylim()
    share = min(0.65, 0.02 + 0.064 * math.ceil(entries / _columns(entries)))
    axis.set_ylim(low, low + (high - low) / (1 - share))


def _plain(name: str) -> str:
    """A short name that matplotlib does not read as a formula, nor hides from a legend."""
    short = name if len(name) <= _LONGEST else f"{name[: _LONGEST - 1]}…"
    return short.replace("$", r"\$").lstrip("_")
