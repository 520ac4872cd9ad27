"""What is done with an index of objects: searching it, choosing frames by it."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import tyro
from numpy.typing import NDArray
from rich.table import Table

from lidistill.cli.fleet_index import IndexOptions
from lidistill.cli.output import OUT, positive, print_json
from lidistill.cli.terminal import command
from lidistill.errors import ConfigError
from lidistill.fleet.selection import Strategy

if TYPE_CHECKING:
    from lidistill.fleet.schema import AboutIndex
    from lidistill.fleet.table import FleetIndex, Space


_Index = Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="INDEX")]
_COLUMNS = ("similarity", "frame", "object", "label", "confidence", "x", "y", "z", "points")


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """What is looked for: one of these."""

    point: str | None = None
    """What is like this point: FRAME:INDEX of the index's data."""
    image: Path | None = None
    """What is like this image, as the run's teacher sees it."""
    label: str | None = None
    """Objects predicted to be of this class, the surest first."""
    text: str | None = None
    """What is like these words, for a teacher with a text partner."""
    partner: Path | None = None
    """Folder with that partner: text/ (encoder and tokenizer), and projection beside it."""

    def given(self) -> tuple[str, str]:
        """The one that is given, and its value.

        Raises:
            ConfigError: If it is none, or several.
        """
        if self.text is not None and self.partner is None:
            msg = (
                "--text needs --partner FOLDER, which reads text for the run's teacher; without "
                "one search by an image of the thing (--image), a point of it, or a class."
            )
            raise ConfigError(msg)
        every = {
            "point": self.point,
            "image": self.image,
            "label": self.label,
            "text": self.text,
        }
        found = [(name, str(value)) for name, value in every.items() if value is not None]
        if len(found) != 1:
            msg = f"give one of --point, --image, --label, --text; found {len(found)}."
            raise ConfigError(msg)
        return found[0]


_Query = Annotated[Query, tyro.conf.arg(name="")]


def search(
    index: _Index,
    /,
    *,
    query: _Query = Query(),
    count: int = 20,
    sheet: Path | None = None,
    exact: bool = False,
    device: str = "auto",
    json: bool = False,
) -> None:
    """The objects of all drives that are most like a point, an image, or of a class.

    Example: lidistill search index --point 002/14/pandar64:1207 --sheet alike.png

    Args:
        index: Folder or address of an index.
        query: What is looked for.
        count: How many objects.
        sheet: PNG with the image crops of what is found.
        exact: Look at every row, also where the table is large.
        device: auto, cpu, cuda or cuda:1; where the network or the teacher computes.
        json: Print one JSON object instead of text.
    """
    from lidistill.apps.fleet_search import class_query, write_sheet
    from lidistill.fleet.table import FleetIndex

    name, value = query.given()
    positive("count", count)
    table = FleetIndex.open(index)
    if name == "label":
        rows = class_query(table, value, count)
    else:
        vector, space = _vector(table, query, device)
        rows = table.nearest(vector, space, count, exact=exact)
    num_crops = None
    if sheet is not None and rows:
        num_crops = write_sheet(rows, sheet, title=f"{name} {value}")
    frames = list(dict.fromkeys(row["frame"] for row in rows))
    look = _look(table.about, frames)
    if json:
        print_json({"query": {name: value}, "objects": rows, "view": look, "crops": num_crops})
        return
    OUT.print(_table(rows))
    if num_crops is not None:
        OUT.print(f"sheet       {sheet} ({num_crops} of {len(rows)} objects are on an image)")
    if rows:
        OUT.print(f"look        {look}")


def select(
    index: _Index,
    /,
    *,
    count: int = 100,
    strategy: Strategy = "coverage",
    seed: int = 0,
    json: bool = False,
) -> None:
    """Which frames to label next, by the objects that they show.

    Example: lidistill select index --count 100

    coverage: so that every object of the fleet is like one of a chosen frame; typical: the most
    typical objects of as many clusters; uncertain: where the run is least sure of its classes; even
    and random: what to compare with.

    Args:
        index: Folder or address of an index.
        count: How many frames.
        strategy: How they are chosen.
        seed: Of what is done by lot.
        json: Print one JSON object instead of text.
    """
    from lidistill.apps.fleet_select import select_frames
    from lidistill.fleet.table import FleetIndex

    positive("count", count)
    rows = select_frames(FleetIndex.open(index), count, strategy, seed=seed)
    if json:
        keys = ("frame", "drive", "number", "objects")
        frames = [{key: row[key] for key in keys} for row in rows]
        print_json({"strategy": strategy, "seed": seed, "frames": frames})
        return
    for row in rows:
        OUT.print(row["frame"])


def _look(about: "AboutIndex", frames: Sequence[str]) -> str:
    """The command that shows some frames as the index has read them."""
    options = {
        "sensor": about.sensor,
        "intensity": about.intensity,
        "statistics": about.statistics,
        "teacher": about.teacher,
    }
    given = [part for key, value in options.items() if value for part in (f"--{key}", value)]
    return command("lidistill", "view", about.run, *about.data, "--frames", *frames, *given)


def _vector(table: "FleetIndex", query: Query, device: str) -> "tuple[NDArray[np.floating], Space]":
    """What is looked for, and in which space."""
    from lidistill.apps.feature_tables import weights_digest
    from lidistill.apps.fleet_search import image_query, point_direction, text_query

    about = table.about
    options = IndexOptions(
        teacher=about.teacher,
        sensor=about.sensor,
        intensity=about.intensity,
        statistics=None if about.statistics is None else Path(about.statistics),
        device=device,
    )
    source = options.source([Path(one) for one in about.data])
    model = options.model(Path(about.run), source)
    if weights_digest(model) != about.weights:
        msg = (
            f"{about.run} has other weights than when the index was made; index it again, or put "
            "the former run back."
        )
        raise ConfigError(msg)
    if query.image is not None:
        return image_query(table, model, query.image), "head"
    if query.text is not None and query.partner is not None:
        return text_query(table, model, query.text, query.partner), "head"
    assert query.point is not None  # noqa: S101  one of the four is given
    return point_direction(model, source.dataset, query.point), "vector"


def _table(rows: Sequence[dict[str, Any]]) -> Table:
    columns = [name for name in _COLUMNS if any(row.get(name) is not None for row in rows)]
    table = Table(box=None, pad_edge=False)
    for name in columns:
        table.add_column(name, justify="left" if name in {"frame", "label"} else "right")
    for row in rows:
        table.add_row(*(_cell(row[name]) for name in columns))
    return table


def _cell(value: object) -> str:
    return f"{value:.3f}" if isinstance(value, float) else "" if value is None else str(value)
