"""``lidistill view``: look at scans, and at what networks make of them, in a browser."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from lidistill.config import FrozenPrecision
from lidistill.errors import ConfigError

_Paths = Annotated[tuple[Path, ...], tyro.conf.Positional, tyro.conf.arg(metavar="PATH...")]
_Names = Annotated[tuple[str, ...], tyro.conf.arg(metavar="ID ...")]


@dataclass(frozen=True, slots=True, kw_only=True)
class ViewOptions:
    """Which frames are shown, and how they are computed."""

    drive: str | None = None
    """Show frames of this drive alone."""
    frames: _Names = ()
    """Show these frames alone."""
    max_frames: int | None = None
    """At most so many, evenly spread; default 60, and 10 with --export."""
    sensor: str | None = None
    """Which lidar of a data set; of own scans: which of the run's lidars they are from."""
    statistics: Path | None = None
    """File of `lidistill data stats` with the intensity statistics of another lidar."""
    intensity: str | None = None
    """Column of own scans to take as intensity; none: there is none. Default: the usual names."""
    most_different: bool = False
    """With two runs: show the frames on which they differ most, the most different one first."""
    no_teacher: bool = False
    """Leave out what a distillation's teacher says about the images."""
    text: Path | None = None
    """Folder with the text partner of the runs' teacher, to look for words: text/ (encoder and
    tokenizer) and a projection beside it."""
    teacher: str | None = None
    """Of a run with several teachers: whose space is shown, and what it says about the images."""
    device: str = "auto"
    """auto, cpu, cuda or cuda:1."""
    precision: FrozenPrecision = "fp32"
    """bf16: matrix products in 16 bits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Showing:
    """How a page is shown: by a server, or written to a file."""

    export: Path | None = None
    """Write a static page instead: a folder, or one file NAME.html."""
    overwrite: bool = False
    """Replace a page that is there."""
    output: Path | None = None
    """Where the page saves labels and heads; default: view/ in the run folder, or runs/view."""
    port: int = 0
    """Of the server; 0: a free one."""
    open: bool = False
    """Open the page in this machine's browser."""


_Options = Annotated[ViewOptions, tyro.conf.arg(name="")]
_Showing = Annotated[Showing, tyro.conf.arg(name="")]


def view(
    paths: _Paths,
    /,
    *,
    options: _Options = ViewOptions(),
    showing: _Showing = Showing(),
    json: bool = False,
) -> None:
    """Look at scans in a browser: click a point, and see what else is like it.

    Example: lidistill view runs/pretrain/pandaset-002 /data/mine --export look.html

    Without --export a small server answers on this machine alone, until Ctrl-C. Keys: press ? on
    the page.

    Args:
        paths: Run folders first (two stand side by side), then what to show: a data set, or scans
            and folders of them. A run alone shows its own data; scans alone are shown as they are.
        options: Which frames.
        showing: Where the page is.
        json: Print one JSON object instead of text.
    """
    if not paths:
        msg = "nothing to look at: give a run folder, scans, or the folder of a data set."
        raise ConfigError(msg)
    from lidistill.cli.showing import look_at

    look_at(paths, options, showing, as_json=json)
