"""Whether the points of scans can be metres in the frame of a lidar, as a network wants them."""

import logging
from typing import Final

import numpy as np
from numpy.typing import NDArray

from lidistill.scan_formats.binary import MAX_RANGE

logger = logging.getLogger(__name__)

_MOST: Final = 0.5  # share of the points outside of the field of view; of street lidars at most 0.3
_NEAR: Final = 2.0  # metres within which a vehicle has next to nothing
_NEARLY_ALL: Final = 0.99
_FEW: Final = 100  # points, which say nothing


class ScaleWatch:
    """Looks at the points of scans, and warns once of each thing."""

    def __init__(self) -> None:
        self._warned = self._warned_of_far = False

    def measured(self, points: NDArray[np.float32]) -> NDArray[np.bool_]:
        """(N,) which points a lidar can have measured: none is kilometres beyond any range.

        One of them would make the voxels of all others coarse, which are counted from the scan's
        minimum in 32 bits. Where all are as far, the scan is in other coordinates, and all stay.

        Args:
            points: (N, 3); NaN is no measurement either.
        """
        x, y, z = np.abs(points.T)
        near = np.asarray((x <= MAX_RANGE) & (y <= MAX_RANGE) & (z <= MAX_RANGE))
        if not near.any():
            return np.ones(len(points), dtype=bool)
        num_far = len(points) - np.count_nonzero(near) - np.count_nonzero(np.isnan(points).any(1))
        if num_far and not self._warned_of_far:
            self._warned_of_far = True
            logger.warning(
                "%d of %d points of a scan lie farther than %g m and are left out like beams that "
                "did not come back (said once).",
                num_far, len(points), MAX_RANGE,
            )  # fmt: skip
        return near

    def look_at(self, points: NDArray[np.float32], inside: NDArray[np.bool_]) -> None:
        """Warn where most points lie outside of a network's field of view, or all are very near.

        Args:
            points: (N, 3) finite, in the frame that the network takes for the sensor's.
            inside: (N,) which of them lie in the field of view.
        """
        if self._warned or len(points) < _FEW:
            return
        outside = 1 - np.count_nonzero(inside) / len(points)
        near = np.count_nonzero(np.einsum("nc,nc->n", points, points) < _NEAR**2) / len(points)
        if outside > _MOST:
            found = f"{outside:.0%} of the points of a scan lie outside of the field of view"
        elif near > _NEARLY_ALL:
            found = f"{near:.0%} of the points of a scan lie within {_NEAR:g} m of the sensor"
        else:
            return
        self._warned = True
        logger.warning(
            "%s: are they in metres, and in the sensor's own frame? Features of other points are "
            "worth little.",
            found,
        )
