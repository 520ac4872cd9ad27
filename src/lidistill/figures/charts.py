"""Charts of a run as PNG files: loss curve, confusion matrix, comparison of probes.

Shape letters: C classes.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

_CURVES = (
    ("loss", "loss", "tab:blue"),
    ("cosine", "cosine to the teacher", "tab:green"),
    ("class_cosine", "cosine, class tokens", "tab:olive"),
    ("accuracy", "accuracy", "tab:green"),
    ("lr", "learning rate", "tab:gray"),
)
"""Key in the log, name on the axis, colour."""
_DPI = 120


def loss_curve(records: Sequence[Mapping[str, float]], path: Path) -> None:
    """Draw loss, cosine or accuracy, and learning rate over the steps of a run.

    Args:
        records: Lines of a run's ``log.jsonl``, each with its ``step``.
        path: PNG file to write.

    Raises:
        ValueError: If no record has a loss.
    """
    curves = [curve for curve in _CURVES if any(curve[0] in record for record in records)]
    if "loss" not in {key for key, _, _ in curves}:
        msg = f"none of the {len(records)} records has a loss, so there is no curve to draw"
        raise ValueError(msg)
    figure = _figure(9, 1 + 2.1 * len(curves))
    axes = figure.subplots(len(curves), 1, sharex=True, squeeze=False)[:, 0]
    for axis, (key, label, color) in zip(axes, curves, strict=True):
        points = [(record["step"], record[key]) for record in records if key in record]
        steps, values = np.array(points, dtype=np.float64).T
        if key == "lr":
            axis.plot(steps, values, color=color)
        else:
            _raw_and_smooth(axis, steps, values, color)
        axis.set_ylabel(label)
        axis.grid(alpha=0.3)
        axis.spines[["top", "right"]].set_visible(False)
        axis.ticklabel_format(style="plain" if key != "lr" else "sci", axis="y", scilimits=(-2, 3))
    axes[-1].set_xlabel("step")
    axes[-1].xaxis.set_major_locator(MaxNLocator(integer=True))
    _save(figure, path)


def smooth(values: NDArray[np.float64], window: int) -> NDArray[np.float64]:
    """Running mean over a centred window, of which only what exists counts at both ends.

    Args:
        values: (N,) numbers.
        window: Width of the window; an even one is widened by one.
    """
    half = window // 2
    sums = np.concatenate([[0.0], np.cumsum(values)])
    index = np.arange(len(values))
    first, stop = np.maximum(index - half, 0), np.minimum(index + half + 1, len(values))
    return (sums[stop] - sums[first]) / (stop - first)


def confusion_figure(
    confusion: NDArray[np.integer], class_names: Sequence[str], path: Path
) -> None:
    """Draw a confusion matrix, each row as shares of its true class, with the IoU beside it.

    Args:
        confusion: (C, C) counts, true class by predicted class.
        class_names: C names.
        path: PNG file to write.

    Raises:
        ValueError: If the matrix is not C by C.
    """
    num_classes = len(class_names)
    if confusion.shape != (num_classes, num_classes):
        msg = f"a confusion matrix of shape {confusion.shape} for {num_classes} classes"
        raise ValueError(msg)
    truth = confusion.sum(axis=1)
    share = 100 * _divide(confusion, np.broadcast_to(truth[:, None], confusion.shape))
    size = 3.5 + 0.5 * num_classes
    figure = _figure(size + 1.5, size)
    matrix, margin = figure.subplots(
        1, 2, sharey=True, gridspec_kw={"width_ratios": [max(num_classes, 3), 3]}
    )
    colors = matplotlib.colormaps["Blues"].with_extremes(bad="0.93")
    matrix.imshow(np.ma.masked_invalid(share), cmap=colors, vmin=0, vmax=100, aspect="auto")
    for row, column in np.argwhere(share >= 0.5):
        value = share[row, column]
        matrix.text(
            column,
            row,
            f"{value:.0f}",
            ha="center",
            va="center",
            fontsize=9,
            color="white" if value > 55 else "black",
        )
    _frame_diagonal(matrix, num_classes)
    names = [_plain(name) for name in class_names]
    counted = [f"{name}  {_short(count)}" for name, count in zip(names, truth, strict=True)]
    matrix.set_xticks(range(num_classes), names, rotation=90)
    matrix.set_yticks(range(num_classes), counted)
    matrix.set_xlabel("predicted")
    matrix.set_ylabel("true, number of points")
    matrix.set_title("where the points of each true class go, percent")
    hits = np.diag(confusion)
    _iou_margin(margin, 100 * _divide(hits, truth + confusion.sum(axis=0) - hits))
    _save(figure, path)


def matrix_figure(
    values: Sequence[Sequence[float]], names: Sequence[str], path: Path, *, rows: str, columns: str
) -> None:
    """Draw a square matrix of fractions as percent, for example scores from set to set.

    Under each number stands how far it is from the diagonal of its column.

    Args:
        values: One row for each name, one column for each.
        names: Of rows and columns.
        path: PNG file to write.
        rows: What a row stands for.
        columns: What a column stands for.

    Raises:
        ValueError: If the matrix is not square, or has other than one row for each name.
    """
    table = 100 * np.asarray(values, dtype=np.float64)
    if table.shape != (len(names), len(names)):
        msg = f"a matrix of shape {table.shape} for {len(names)} names"
        raise ValueError(msg)
    size = 2.5 + 0.9 * len(names)
    figure = _figure(size + 1, size)
    axis = figure.subplots()
    colors = matplotlib.colormaps["Blues"].with_extremes(bad="0.93")
    most = np.nanmax(table, initial=10.0)
    axis.imshow(np.ma.masked_invalid(table), cmap=colors, vmin=0, vmax=1.1 * most)
    for row, column in np.argwhere(~np.isnan(table)):
        value, own = table[row, column], table[column, column]
        shade = "white" if value > 0.6 * most else "black"
        alone = row == column or np.isnan(own)
        text = f"{value:.1f}" if alone else f"{value:.1f}\n({value - own:+.1f})"
        axis.text(column, row, text, ha="center", va="center", color=shade)
    _frame_diagonal(axis, len(names))
    labels = [_plain(name) for name in names]
    axis.set_xticks(range(len(names)), labels, rotation=30, ha="right")
    axis.set_yticks(range(len(names)), labels)
    axis.set_ylabel(rows)
    axis.set_xlabel(columns)
    axis.set_title("mIoU, percent (difference to the run that learned there)")
    _save(figure, path)


def iou_bars(
    results: Mapping[str, NDArray[np.floating]], class_names: Sequence[str], path: Path
) -> None:
    """Draw the IoU of every class for several results beside each other.

    Args:
        results: (C,) fractions by name; NaN where a class has nothing to score.
        class_names: C names.
        path: PNG file to write.

    Raises:
        ValueError: If there is no result, or one is of another number of classes.
    """
    wrong = [name for name, iou in results.items() if iou.shape != (len(class_names),)]
    if not results or wrong:
        found = f"{wrong[0]!r} does not have" if wrong else "there is no result with"
        msg = f"{found} one IoU for each of {len(class_names)} classes"
        raise ValueError(msg)
    figure = _figure(max(7.0, 3 + 0.14 * (len(class_names) + 1) * (len(results) + 1)), 5)
    axis = figure.subplots()
    places = np.arange(len(class_names) + 1, dtype=np.float64)
    places[0] -= 0.5
    width = 0.85 / len(results)
    palette = matplotlib.colormaps["tab10"]
    for number, (name, iou) in enumerate(results.items()):
        heights = 100 * np.concatenate([[_mean(iou)], iou])
        offset = (number - (len(results) - 1) / 2) * width
        label = f"{_plain(name)}: {heights[0]:.1f}"
        color = palette(number % palette.N)
        axis.bar(places + offset, np.nan_to_num(heights), width, label=label, color=color)
    axis.set_xticks(places, ["mean", *map(_plain, class_names)], rotation=60, ha="right")
    axis.set_ylabel("IoU, percent")
    axis.axvline(0.25, color="0.6", linewidth=0.8)
    axis.grid(axis="y", alpha=0.3)
    axis.set_axisbelow(True)
    axis.spines[["top", "right"]].set_visible(False)
    legend = axis.legend(title="mean IoU", loc="upper left", bbox_to_anchor=(1.0, 1.0))
    legend.set_frame_on(False)
    _save(figure, path)


def _raw_and_smooth(
    axis: Axes, steps: NDArray[np.float64], values: NDArray[np.float64], color: str
) -> None:
    window = max(1, len(values) // 40)
    if window == 1:
        axis.plot(steps, values, color=color, marker=".")
        return
    axis.plot(steps, values, color=color, alpha=0.25, linewidth=0.8)
    mean = smooth(values, window)
    axis.plot(steps, mean, color=color, linewidth=1.8)
    axis.annotate(
        f"{mean[-1]:.3f}", (steps[-1], mean[-1]), xytext=(4, 0), textcoords="offset points"
    )


def _iou_margin(axis: Axes, iou: NDArray[np.float64]) -> None:
    axis.barh(range(len(iou)), np.nan_to_num(iou), color="tab:blue", alpha=0.7)
    for row, value in enumerate(iou):
        text = "none" if np.isnan(value) else f"{value:.1f}"
        axis.text(np.nan_to_num(value) + 2, row, text, va="center", ha="left", fontsize=9)
    axis.set_xlim(0, 135)
    axis.set_xticks([0, 50, 100])
    axis.tick_params(axis="y", labelleft=False)
    axis.set_title(f"IoU, mean {_mean(iou):.1f}")
    axis.spines[["top", "right"]].set_visible(False)


def _frame_diagonal(axis: Axes, size: int) -> None:
    for place in range(size):
        corner = (place - 0.5, place - 0.5)
        axis.add_patch(Rectangle(corner, 1, 1, fill=False, edgecolor="0.45", linewidth=0.8))


def _short(count: int) -> str:
    """A number of points in few characters: 640, 12k, 3.1M."""
    if count < 1000:
        return str(count)
    return f"{count / 1000:.0f}k" if count < 1_000_000 else f"{count / 1_000_000:.1f}M"


def _figure(width: float, height: float) -> Figure:
    """A figure that no pyplot state knows of, so nothing has to be closed."""
    figure = Figure(figsize=(width, height), dpi=_DPI, layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    return figure


def _save(figure: Figure, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, format="png")


def _plain(name: str) -> str:
    """A name that matplotlib does not read as a formula, nor hides from a legend."""
    return name.replace("$", r"\$").lstrip("_")


def _divide(part: NDArray[np.integer], whole: NDArray[np.integer]) -> NDArray[np.float64]:
    nothing = np.full(part.shape, np.nan)
    return np.divide(part, whole, out=nothing, where=whole > 0)


def _mean(iou: NDArray[np.floating]) -> float:
    present = iou[~np.isnan(iou)]
    return float(present.mean()) if present.size else float("nan")
