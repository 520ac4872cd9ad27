"""From runs and paths to the content of a page."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np

from lidistill.datasets import FrameDataset
from lidistill.training.progress import ProgressBar
from lidistill.viewer.content import Content, ShownFinding
from lidistill.viewer.models import ImageFeatures, PointModel, Queries, ViewedModel
from lidistill.viewer.shown_frames import ShownFrames

logger = logging.getLogger(__name__)
SERVER_WIDTH: Final = 1280
"""Images on a page that a server feeds are at most so wide, pixels."""
EXPORT_WIDTH: Final = 960
"""And on a page that is sent around."""
_FITTED_ON: Final = 10  # frames that bases and colours are fitted on


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    """A network to show, and its teacher where one is at hand."""

    name: str
    model: PointModel
    teacher: ImageFeatures | None = None
    queries: Queries = field(default_factory=Queries)


def build_content(
    dataset: FrameDataset,
    indices: Sequence[int],
    networks: Sequence[Network] = (),
    *,
    title: str,
    image_width: int = SERVER_WIDTH,
    findings: tuple[ShownFinding, ...] | None = None,
) -> Content:
    """Read frames once, and fit what all of them share.

    Args:
        dataset: What is shown.
        indices: Frames of it.
        networks: Side by side where there are two.
        title: What the page is called.
        image_width: Images wider than this are made smaller, pixels.
        findings: What a check has found; None: nothing was checked.

    Raises:
        LidistillError: If a frame cannot be read.
    """
    with ProgressBar("reading frames", total=len(indices)) as bar:
        frames = ShownFrames(dataset, indices, image_width=image_width, on_frame=bar.advance)
    content = Content(frames, title=title)
    content.findings = findings
    spread = np.linspace(0, len(frames) - 1, min(_FITTED_ON, len(frames))).round().astype(int)
    fitted_on = list(dict.fromkeys(spread.tolist()))
    for network in networks:
        with ProgressBar(f"features of {network.name}", total=len(fitted_on)) as bar:
            model = ViewedModel(
                network.name,
                network.model,
                frames.__getitem__,
                fitted_on=fitted_on,
                teacher=network.teacher,
                queries=network.queries,
                on_frame=bar.advance,
            )
        content.add(model)
    return content


def names_of(runs: Sequence[Path]) -> list[str]:
    """What to call each of some runs: its folder, with as many above it as tell them apart."""
    parts = [run.resolve().parts for run in runs]
    for length in range(1, max(map(len, parts), default=0) + 1):
        names = ["/".join(one[-length:]) for one in parts]
        if len(set(names)) == len(names):
            return names
    return [f"{'/'.join(one[-2:])} ({number})" for number, one in enumerate(parts, start=1)]
