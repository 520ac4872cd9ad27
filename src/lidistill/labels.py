"""Raw label ids to training ids, and the names of the classes."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import resources

import numpy as np
import yaml
from numpy.typing import NDArray

from lidistill.errors import FileFormatError

IGNORE = 255
"""Training id of points that count neither in a loss nor in a score."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelMap:
    """How a data set's raw ids become training ids.

    Attributes:
        name: The table's name, for messages.
        class_names: Name of each training id, from 0.
        raw_to_train: Training id (or ``IGNORE``) of every raw id that may occur.
        raw_names: Name of every raw id.
        common: Class that data sets share (or ``"ignore"``) for each class, as far as known.
    """

    name: str
    class_names: tuple[str, ...]
    raw_to_train: dict[int, int]
    raw_names: dict[int, str]
    common: Mapping[str, str] = field(default_factory=dict)

    @property
    def num_classes(self) -> int:
        """Number of training classes."""
        return len(self.class_names)

    def apply(self, raw: NDArray[np.integer], *, source: str) -> NDArray[np.uint8]:
        """Training ids of raw ids.

        Args:
            raw: (N,) raw ids.
            source: Where they come from, for the message.

        Raises:
            FileFormatError: If an id is not in the table.
        """
        ids = np.unique(raw)
        unknown = [int(i) for i in ids if int(i) not in self.raw_to_train]
        if unknown:
            msg = (
                f"{source}: unknown class id {unknown[0]} ({len(unknown)} such ids); the table "
                f"{self.name!r} knows {min(self.raw_to_train)} to {max(self.raw_to_train)}. "
                "Is this the label file of another data set?"
            )
            raise FileFormatError(msg)
        table = np.array([self.raw_to_train[int(i)] for i in ids], dtype=np.uint8)
        return table[np.searchsorted(ids, raw)]


def load_label_map(name: str) -> LabelMap:
    """Read a label table shipped with the package, for example ``"pandaset"``.

    The tables are YAML files in ``lidistill/label_maps``: ``classes``, a list of names, and
    ``raw``, a list of ``[raw id, raw name, class name or ignore]``, and ``common``, for each class
    the one of ``segment/common_classes.yaml`` that it is part of, or ignore.
    """
    text = resources.files("lidistill").joinpath("label_maps", f"{name}.yaml").read_text("utf-8")
    table = yaml.safe_load(text)
    classes = tuple(table["classes"])
    train_id = {class_name: i for i, class_name in enumerate(classes)} | {"ignore": IGNORE}
    return LabelMap(
        name=name,
        class_names=classes,
        raw_to_train={raw_id: train_id[class_name] for raw_id, _, class_name in table["raw"]},
        raw_names={raw_id: raw_name for raw_id, raw_name, _ in table["raw"]},
        common=table["common"],
    )


def shipped_label_maps() -> tuple[str, ...]:
    """Names that ``load_label_map`` takes."""
    folder = resources.files("lidistill").joinpath("label_maps")
    return tuple(sorted(file.name.removesuffix(".yaml") for file in folder.iterdir()))
