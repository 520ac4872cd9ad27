"""What the columns of an index are, and what an index says about itself.

Shape letters: C channels, T channels of the teacher.
"""

from typing import Any, Final, Literal

from lidistill.config import Config
from lidistill.errors import require
from lidistill.fleet.objects import IndexedObject

FORMAT: Final = 1


class AboutIndex(Config):
    """What an index says about itself: only rows of one network go into it."""

    format: Literal[1] = FORMAT
    weights: str
    """Checksum of the network's weights."""
    channels: int
    """C."""
    head_channels: int = 0
    """T; 0: no vectors in the teacher's space."""
    teacher: str | None = None
    """Whose space that is, where the run learned from several."""
    class_names: tuple[str, ...] = ()
    """That the run predicts."""
    run: str
    """Run folder, as it was given."""
    data: tuple[str, ...]
    """Data set or scans, as they were given."""
    objects: Literal["density", "class"] = "density"
    """How objects were found."""
    boxes: dict[str, Any] | None = None
    """How objects of a class were told apart, as ``InstanceConfig`` has it; None for density."""
    sensor: str | None = None
    """Lidar that was read, where the data set has several."""
    intensity: str | None = None
    """Column of own scans that was taken as intensity."""
    statistics: str | None = None
    """File with the intensity statistics of another lidar."""


def object_schema(about: AboutIndex) -> Any:
    """Columns of the table of objects, for Arrow."""
    arrow = require("pyarrow", extra="fleet")
    text, number, whole = arrow.string(), arrow.float32(), arrow.int32()
    fields = [
        *(("frame", text), ("drive", text), ("object", whole), ("time", arrow.float64())),
        *((name, number) for name in ("x", "y", "z", "length", "width", "height", "heading")),
        *(("points", whole), ("label", text), ("confidence", number)),
        *(("image", text), ("view", text)),
        *((name, whole) for name in ("left", "top", "right", "bottom")),
        *(("batch", arrow.int64()), ("vector", arrow.list_(number, about.channels))),
    ]
    if about.head_channels:
        fields.append(("head", arrow.list_(number, about.head_channels)))
    return arrow.schema(fields)


def frame_schema() -> Any:
    """Columns of the table of frames, for Arrow."""
    arrow = require("pyarrow", extra="fleet")
    text, whole = arrow.string(), arrow.int64()
    return arrow.schema(
        [
            *(("frame", text), ("drive", text), ("number", whole), ("objects", whole)),
            *(("reason", text), ("batch", whole)),
        ]
    )


def object_row(one: IndexedObject, batch: int) -> dict[str, Any]:
    """An object as a row; ``batch`` says with which others it was written."""
    (x, y), crop = one.box.center, one.crop
    row: dict[str, Any] = {"frame": one.frame, "drive": one.drive, "object": one.number}
    row |= {"time": one.time, "x": x, "y": y, "z": (one.bottom + one.top) / 2}
    row |= {"length": one.box.long, "width": one.box.short, "height": one.top - one.bottom}
    row |= {"heading": one.box.heading, "points": one.num_points}
    row |= {"label": one.label, "confidence": one.confidence, "batch": batch}
    sides = ("image", "view", "left", "top", "right", "bottom")
    row |= {side: None if crop is None else getattr(crop, side) for side in sides}
    row["vector"] = one.vector
    return row if one.head is None else row | {"head": one.head}
