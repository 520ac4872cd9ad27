"""How objects are told apart: what commands that do so share."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from lidistill.errors import ConfigError

if TYPE_CHECKING:
    from lidistill.instances.boxes import InstanceConfig
    from lidistill.instances.find import InstanceFinder


@dataclass(frozen=True, slots=True, kw_only=True)
class BoxOptions:
    """How points of a class are told apart into objects; see docs/instances.md."""

    boxes: str = "auto"
    """Sizes of objects: auto, a shipped table, or a YAML file: `car: [4.4, 1.8]`, metres."""
    neighbors: int | Literal["as-released"] | None = None
    """Nearest points that a point may be joined to, 32; as-released: see the docs."""
    split: bool = False
    """Cut clusters that are larger than their class's box."""

    def config(self, class_names: Sequence[str]) -> "InstanceConfig":
        """The boxes of some classes; raises as ``chosen_boxes``."""
        from lidistill.instances.boxes import chosen_boxes

        return chosen_boxes(self.boxes, class_names, neighbors=self.neighbors, split=self.split)

    def refuse_unused(self, option: str) -> None:
        """Refuse to be told how objects are told apart where none are.

        Args:
            option: What has them told apart.

        Raises:
            ConfigError: If something was said.
        """
        said = {
            "--boxes": self.boxes != "auto",
            "--neighbors": self.neighbors is not None,
            "--split": self.split,
        }
        given = [name for name, is_given in said.items() if is_given]
        if given:
            msg = (
                f"{', '.join(given)}: how objects are told apart, and none are; give {option}, too."
            )
            raise ConfigError(msg)


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectOptions(BoxOptions):
    """Whether objects are told apart, and how."""

    instances: bool = False
    """Tell objects apart: their numbers are the upper 16 bits of a label, or a field of a bag."""

    def finder(self, class_names: Sequence[str]) -> "InstanceFinder | None":
        """What tells them apart; None where that is not wanted. Raises as ``config``."""
        if not self.instances:
            return None
        from lidistill.instances.find import InstanceFinder

        return InstanceFinder(self.config(class_names), class_names)


Boxes = Annotated[BoxOptions, tyro.conf.arg(name="")]
DEFAULT_BOXES = BoxOptions()
Objects = Annotated[ObjectOptions, tyro.conf.arg(name="")]
NO_OBJECTS = ObjectOptions()
