"""Classes and single objects of scans of one's own, in one number a point.

Shape letters: N points.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from lidistill.apps.feature_files import Colour, Compute
from lidistill.errors import FileFormatError
from lidistill.figures.colors import label_colors, scale_colors
from lidistill.instances.boxes import InstanceConfig, read_boxes, shipped_boxes
from lidistill.instances.find import InstanceFinder

Neighbors: TypeAlias = int | Literal["as-released"] | None

CLASS_BITS: Final = 16
"""Of a label, the lower half; the upper one counts objects, as in SemanticKITTI."""
_MAX_OBJECTS: Final = (1 << 16) - 1
_GOLDEN: Final = 0.6180339887498949  # neighbouring numbers get colours far apart


def instance_config(
    boxes: str, class_names: Sequence[str], *, neighbors: Neighbors = None, split: bool = False
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


@dataclass(frozen=True, slots=True, kw_only=True)
class WithObjects:
    """A computation of classes that tells objects apart, too."""

    classes: Compute
    finder: InstanceFinder

    def __call__(
        self, points: NDArray[np.float32], intensity: NDArray[np.float32] | None
    ) -> NDArray[np.uint32]:
        """(N,) class in the lower 16 bits, number of the object in the upper ones, or 0.

        Raises:
            FileFormatError: If a scan has more objects than fit.
        """
        classes = self.classes(points, intensity)
        return packed(classes, self.finder(points, classes))


def packed(classes: NDArray[np.integer], objects: NDArray[np.integer]) -> NDArray[np.uint32]:
    """(N,) both in one number.

    Raises:
        FileFormatError: If there are more objects than fit.
    """
    if len(objects) and objects.max() > _MAX_OBJECTS:
        msg = (
            f"{objects.max()} objects, expected at most {_MAX_OBJECTS}, which fit into a label; "
            "is this a scan, or a map? Larger boxes join more points (--boxes)."
        )
        raise FileFormatError(msg)
    upper = np.left_shift(objects.astype(np.uint32), CLASS_BITS)
    return np.asarray(upper | classes.astype(np.uint32), np.uint32)


def object_colour(class_names: Sequence[str]) -> Colour:
    """Colours of packed labels: each object has its own, other points that of their class."""
    palette = label_colors(class_names)

    def colour(labels: NDArray[np.uint32]) -> NDArray[np.uint8]:
        objects = (labels >> CLASS_BITS).astype(np.float64)
        own = scale_colors(objects * _GOLDEN % 1.0, 0.0, 1.0)
        return np.where(objects[:, None] > 0, own, palette[labels & 0xFF])

    return colour
