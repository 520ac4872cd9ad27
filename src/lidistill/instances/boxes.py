"""How large the objects of a class are, and how their points are told apart by it."""

from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Annotated, Literal, Self, TypeAlias

import yaml
from pydantic import Field, FiniteFloat, ValidationError, model_validator

from lidistill.config import Config, reason_of
from lidistill.errors import ConfigError, FileFormatError, suggestion
from lidistill.labels import load_label_map, shipped_label_maps
from lidistill.reading.files import MEND, blamed_on, read_file
from lidistill.reading.names import listed, shown
from lidistill.reading.yaml_text import parse_yaml

Side: TypeAlias = Annotated[FiniteFloat, Field(gt=0, le=100)]
"""Metres."""
_MAX_BYTES = 1 << 16


class InstanceConfig(Config):
    """Which classes are things, how large one is, and which points are of one."""

    boxes: Annotated[dict[str, tuple[Side, Side]], Field(min_length=1)]
    """Sides of an object by its class, metres, seen from above; the shorter one counts most."""
    neighbors: Annotated[int, Field(ge=1, le=1000)] | Literal["as-released"] = 32
    """Nearest points that a point may be joined to; the paper says 32. as-released: as the
    authors' published program has it, which overwrites the number it is given with that of the
    last class in its table, counted from 1."""
    split: bool = False
    """Cut clusters in two that are larger than their class's box."""
    margin: Annotated[FiniteFloat, Field(gt=0, le=10)] = 1.3
    """How much larger."""

    @model_validator(mode="before")
    @classmethod
    def _long_side_first(cls, values: object) -> object:
        if not isinstance(values, dict) or not isinstance(values.get("boxes"), dict):
            return values
        boxes = {
            name: sorted(box, reverse=True)
            if isinstance(box, list | tuple) and all(type(s) in {int, float} for s in box)
            else box
            for name, box in values["boxes"].items()
        }
        return values | {"boxes": boxes}

    def by_id(self, class_names: Sequence[str]) -> dict[int, tuple[float, float]]:
        """Long and short side by training id, in the order in which the boxes are given.

        Raises:
            ConfigError: If a box is of none of the classes.
        """
        strange = [name for name in self.boxes if name not in class_names]
        if strange:
            msg = f"a box is given for {shown(strange[0])}, which is no class of the run; "
            raise ConfigError(msg + suggestion(strange[0], class_names))
        number = {name: i for i, name in enumerate(class_names)}
        return {number[name]: box for name, box in self.boxes.items()}

    def num_neighbors(self, boxes: Mapping[int, object]) -> int:
        """Neighbours of every point.

        Args:
            boxes: By training id.
        """
        return list(boxes)[-1] + 1 if self.neighbors == "as-released" else self.neighbors

    def changed(self, **values: object) -> Self:
        """A checked copy with other values.

        Raises:
            ConfigError: If one makes no sense.
        """
        try:
            return type(self).model_validate(self.model_dump() | values)
        except ValidationError as error:
            first = error.errors()[0]
            msg = f"{first['loc'][0]}: {reason_of(first['msg'])}."
            raise ConfigError(msg) from error


def shipped_boxes(name: str, class_names: Sequence[str]) -> InstanceConfig:
    """The shipped table for some classes.

    Args:
        name: ``auto``: the table of the label map that has just these classes; or a table's name.
        class_names: Of the run.

    Raises:
        ConfigError: If there is none.
    """
    tables = _tables()
    found = name
    if name == "auto":
        known = [key for key in tables if key in shipped_label_maps()]
        fitting = [key for key in known if load_label_map(key).class_names == tuple(class_names)]
        if not fitting:
            msg = (
                f"no table of boxes is shipped for the classes {listed(class_names)}; write one, "
                "a line `class: [long side, short side]` in metres for each class of things, and "
                "give it with --boxes FILE."
            )
            raise ConfigError(msg)
        found = fitting[0]
    if found not in tables:
        msg = f"unknown table of boxes {shown(name)}; {suggestion(name, tables)}"
        raise ConfigError(msg)
    return InstanceConfig.model_validate({"boxes": tables[found]})


def chosen_boxes(
    boxes: str,
    class_names: Sequence[str],
    *,
    neighbors: int | Literal["as-released"] | None = None,
    split: bool = False,
) -> InstanceConfig:
    """How objects are told apart.

    Args:
        boxes: ``auto``, the name of a shipped table, or a YAML file.
        class_names: Of the run.
        neighbors: In place of 32.
        split: Cut clusters that are larger than their class's box.

    Raises:
        ConfigError: If there is no such table.
        FileFormatError: If the file holds none.
    """
    path = Path(boxes)
    is_file = path.suffix in {".yaml", ".yml"} or path.exists()
    config = read_boxes(path) if is_file else shipped_boxes(boxes, class_names)
    changes = {} if neighbors is None else {"neighbors": neighbors}
    return config.changed(split=split, **changes)


def read_boxes(path: Path) -> InstanceConfig:
    """A table of boxes from a YAML file: ``class: [long side, short side]``, metres.

    Raises:
        DatasetNotFoundError: If there is no such file.
        FileFormatError: If it holds anything else.
    """
    with blamed_on(path, MEND):
        values = parse_yaml(read_file(path, max_bytes=_MAX_BYTES))
    try:
        return InstanceConfig.model_validate({"boxes": values})
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"][1:3])
        msg = (
            f"{path}: {shown(where)}: {reason_of(first['msg'])[:200]}; expected lines like "
            "`car: [4.4, 1.8]`, the sides of a box in metres."
        )
        raise FileFormatError(msg) from error


def _tables() -> dict[str, dict[str, list[float]]]:
    file = resources.files("lidistill").joinpath("instances", "boxes.yaml")
    content: dict[str, dict[str, list[float]]] = yaml.safe_load(file.read_text("utf-8"))
    return content
