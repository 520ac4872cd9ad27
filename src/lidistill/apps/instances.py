"""Classes and single objects of scans of one's own, in one number a point.

Shape letters: N points.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from lidistill.apps.feature_files import Colour, Compute
from lidistill.apps.prepared_scan import PreparedScan
from lidistill.errors import FileFormatError
from lidistill.figures.colors import label_colors, number_colors
from lidistill.instances.find import InstanceFinder

CLASS_BITS: Final = 16
"""Of a label, the lower half; the upper one counts objects, as in SemanticKITTI."""
_MAX_OBJECTS: Final = (1 << 16) - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class WithObjects:
    """A computation of classes that tells objects apart, too."""

    classes: Compute
    finder: InstanceFinder

    def __call__(self, scan: PreparedScan, intensity: None) -> NDArray[np.uint32]:
        """(N,) class in the lower 16 bits, number of the object in the upper ones, or 0.

        Raises:
            FileFormatError: If a scan has more objects than fit.
        """
        classes = self.classes(scan, intensity)
        return packed(classes, self.finder(scan.points, classes))


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
        objects = labels >> CLASS_BITS
        return np.where(objects[:, None] > 0, number_colors(objects), palette[labels & 0xFF])

    return colour
