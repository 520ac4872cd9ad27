"""The page inside of a notebook.

Shape letters: N points of a scan.
"""

import html
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike

from lidistill.datasets import FrameDataset
from lidistill.errors import ConfigError
from lidistill.labels import LabelMap
from lidistill.records import Frame
from lidistill.viewer.build import EXPORT_WIDTH, Network, build_content
from lidistill.viewer.export import single_page
from lidistill.viewer.models import PointModel
from lidistill.viewer.sources import choose_frames, open_source

_MOST: Final = 10
_PIXELS: Final = re.compile(r"[0-9]{1,5}(px|%|vh|em)")


class Page:
    """A page that Jupyter shows below the cell; ``save`` writes it to a file.

    Args:
        text: The HTML.
        height: Of the frame that it is shown in, as CSS has it.
    """

    def __init__(self, text: str, *, height: str = "640px") -> None:
        if not _PIXELS.fullmatch(height):
            msg = f"height={height!r} is no height, expected for example 640px or 80vh."
            raise ConfigError(msg)
        self.html, self.height = text, height

    def _repr_html_(self) -> str:
        """What Jupyter shows: an iframe that can run its script and reach nothing else."""
        style = f"width:100%;height:{self.height};border:0"
        return (
            f'<iframe sandbox="allow-scripts allow-downloads" style="{style}" '
            f'srcdoc="{html.escape(self.html)}"></iframe>'
        )

    def save(self, path: str | Path) -> Path:
        """Write the page as one HTML file."""
        target = Path(path)
        target.write_text(self.html, encoding="utf-8")
        return target


def view(
    model: PointModel | Sequence[PointModel] | None,
    scans: Any,
    *,
    max_frames: int = _MOST,
    height: str = "640px",
) -> Page:
    """Look at scans and a network's features of them, below a notebook's cell.

    Args:
        model: From ``lidistill.load``; a list shows several side by side; None shows the scans
            alone.
        scans: One or several paths of scans, folders of scans or a data set; or a data set, as
            its configuration builds it; or a list of pairs: (N, 3) points in metres, in the
            sensor's frame, and (N,) intensities or None.
        max_frames: Number of frames to show at most, evenly spread.
        height: Height of the page in CSS, for example ``640px``.

    Returns:
        The page. Jupyter shows it if it is the cell's last value; ``page.save("look.html")``
        writes it to a file.

    Raises:
        LidistillError: If there is nothing to show, or it cannot be read.
    """
    dataset = _dataset(scans)
    models = [] if model is None else list(model) if isinstance(model, Sequence) else [model]
    networks = [
        Network(name=f"{number} {one.checkpoint.name}" if len(models) > 1 else "network", model=one)
        for number, one in enumerate(models, start=1)
    ]
    content = build_content(
        dataset,
        choose_frames(dataset, most=max_frames),
        networks,
        title="lidistill",
        image_width=EXPORT_WIDTH,
    )
    return Page(single_page(content), height=height)


class _Arrays:
    """Points and intensities in memory as a data set."""

    def __init__(self, scans: Sequence[tuple[ArrayLike, ArrayLike | None]]) -> None:
        self._scans = scans
        self.frame_ids = tuple(f"scan {number}" for number in range(len(scans)))
        self.drive_ids = ("",) * len(scans)
        self.cameras = ()
        self.label_map = LabelMap(name="arrays", class_names=(), raw_to_train={}, raw_names={})

    def __len__(self) -> int:
        return len(self._scans)

    def __getitem__(self, index: int) -> Frame:
        points, intensity = self._scans[index]
        xyz = np.asarray(points, dtype=np.float32)
        return Frame(
            frame_id=self.frame_ids[index],
            sensor="own",
            points=xyz,
            intensity=None if intensity is None else np.asarray(intensity, dtype=np.float32),
            intensity_statistics=(0.0, 1.0),
        )


def _dataset(scans: Any) -> FrameDataset:
    if isinstance(scans, str | Path):
        return open_source([Path(scans)]).dataset
    if hasattr(scans, "frame_ids"):
        found: FrameDataset = scans
        return found
    items = list(scans)
    if items and all(isinstance(one, str | Path) for one in items):
        return open_source([Path(one) for one in items]).dataset
    if items and all(isinstance(one, tuple) and len(one) == 2 for one in items):
        return _Arrays(items)
    msg = (
        "scans is none of what can be shown: a path, several paths, a data set, or a list of "
        "(points, intensity)."
    )
    raise ConfigError(msg)
