"""Scores over the values of several axes: one panel each, one row of panels for each benchmark."""

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """One axis of a study."""

    title: str
    values: tuple[str, ...]
    """Along the horizontal axis, in this order."""
    series: Mapping[str, Mapping[str, Point]]
    """Lines by name; of each, points by value."""
    yardsticks: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    """Marks by name; of each, a mean by value."""


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
    size = (1.0 + 3.9 * count, 0.6 + 3.9 * len(rows))
    figure = Figure(figsize=size, dpi=120, layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    grid = figure.subplots(len(rows), count, squeeze=False, sharey="row")
    for axes, (name, panels) in zip(grid, rows.items(), strict=True):
        for axis, panel in zip(axes, panels, strict=True):
            _draw(axis, panel)
        axes[0].set_ylabel(f"{_plain(name)}\n{label}")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, format="png")


def _draw(axis: Axes, panel: Panel) -> None:
    places = {value: float(number) for number, value in enumerate(panel.values)}
    palette = matplotlib.colormaps["tab10"]
    shift = 0.06
    for number, (name, points) in enumerate(panel.series.items()):
        offset = shift * (number - (len(panel.series) - 1) / 2)
        x = [places[value] + offset for value in points]
        means = [mean for mean, _ in points.values()]
        spreads = [spread for _, spread in points.values()]
        axis.errorbar(
            x,
            means,
            yerr=spreads if any(spreads) else None,
            label=_plain(name),
            color=palette(number % palette.N),
            marker=_MARKERS[number % len(_MARKERS)],
            markersize=5,
            capsize=3,
            linewidth=1.6,
        )
    for marker, (name, means_of) in zip(_YARDSTICKS, panel.yardsticks.items(), strict=False):
        x = [places[value] for value in means_of]
        y, label = list(means_of.values()), _plain(name)
        axis.scatter(x, y, marker=marker, color="0.35", label=label, zorder=3)
    axis.set_title(_plain(panel.title))
    axis.set_xticks(list(places.values()), [_plain(value) for value in places], rotation=20)
    axis.set_xlim(-0.4, len(places) - 0.6)
    axis.grid(axis="y", alpha=0.3)
    axis.spines[["top", "right"]].set_visible(False)
    if panel.series or panel.yardsticks:
        axis.legend(fontsize=8, frameon=False, loc="best")


def _plain(name: str) -> str:
    """A name that matplotlib does not read as a formula, nor hides from a legend."""
    return name.replace("$", r"\$").lstrip("_")
