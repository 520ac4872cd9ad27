"""A table of scores as colours."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray


def heat_map(
    values: NDArray[np.floating], rows: Sequence[str], columns: Sequence[str], path: Path
) -> None:
    """Draw scores in percent; the colour of a row is how far it is from the first one.

    Args:
        values: (rows, columns) percent, of which the first row is what others are compared with.
        rows: Names.
        columns: Names.
        path: PNG file to write.

    Raises:
        ValueError: If there are not as many names as rows or columns.
    """
    if values.shape != (len(rows), len(columns)):
        msg = f"{values.shape} values for {len(rows)} rows and {len(columns)} columns"
        raise ValueError(msg)
    size = (3.2 + 1.6 * len(columns), 1.4 + 0.24 * len(rows))
    figure = Figure(figsize=size, dpi=120, layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    axis = figure.subplots()
    lost = values - values[:1]
    reach = max(10.0, float(np.nanmax(np.abs(lost))))
    axis.imshow(lost, cmap=matplotlib.colormaps["RdBu"], vmin=-reach, vmax=reach, aspect="auto")
    for row, column in np.ndindex(values.shape):
        dark = abs(lost[row, column]) > 0.6 * reach
        text = f"{values[row, column]:.1f}"
        if row:
            text += f" ({lost[row, column]:+.1f})"
        color = "white" if dark else "black"
        axis.text(column, row, text, ha="center", va="center", fontsize=8, color=color)
    names = [name.replace("$", r"\$") for name in columns]
    axis.set_xticks(range(len(columns)), names, rotation=20, ha="right")
    axis.set_yticks(range(len(rows)), rows)
    axis.set_title(f"mIoU, percent\n(difference to {rows[0]})", fontsize=10)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, format="png")
